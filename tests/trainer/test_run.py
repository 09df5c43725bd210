"""A training run learns, repeats itself, and continues as if it had never been interrupted."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from recall_env import RecallEnv

from trainer.algorithms import make_learner
from trainer.checkpoint import load_checkpoint
from trainer.config import TrainConfig
from trainer.metrics import read_metrics
from trainer.rollout import random_actions
from trainer.run import DivergedError, RunState, TrainingRun
from trainer.session import learner_settings

CONFIG = TrainConfig(
    map="recall",
    steps=1_600,
    seed=5,
    envs=4,
    batch_episodes=16,
    target_update_interval=50,
    learning_rate=3e-3,
    epsilon_anneal_steps=600,
    eval_interval_steps=800,
    eval_episodes=16,
    log_interval_steps=100,
    replay_episodes=200,
)


class Silent:
    def __init__(self, stop_after: int | None = None) -> None:
        self.run: TrainingRun | None = None
        self.stop_after = stop_after

    def progress(self, state: RunState, epsilon: float) -> None:
        if self.run is not None and self.stop_after is not None and state.episodes >= self.stop_after:
            self.run.stop_requested = True

    def record(self, record: dict[str, Any]) -> None:
        return None


def make_run(run_dir: Path, config: TrainConfig = CONFIG, *, resume: bool = False) -> TrainingRun:
    torch.manual_seed(config.seed)
    run_dir.mkdir(exist_ok=True)
    env, eval_env = RecallEnv(config.envs, config.seed), RecallEnv(config.eval_episodes, config.seed + 1)
    learner = make_learner(config.algorithm, env.spec, learner_settings(config), torch.device("cpu"))
    checkpoint = load_checkpoint(run_dir) if resume else None
    return TrainingRun(config, "sim", run_dir, env, eval_env, learner, "test", checkpoint)


def train(
    run_dir: Path, config: TrainConfig = CONFIG, *, resume: bool = False, stop_after: int | None = None
) -> None:
    run, reporter = make_run(run_dir, config, resume=resume), Silent(stop_after)
    reporter.run = run
    run.run(reporter)
    run.close()


def without_clock(run_dir: Path) -> list[str]:
    records = read_metrics(run_dir)
    return [json.dumps({k: v for k, v in record.items() if not k.startswith("wall_")}) for record in records]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("finished")
    torch.set_num_threads(1)
    train(run_dir)
    return run_dir


def test_the_team_learns_to_remember(finished: Path) -> None:
    evaluations = [record for record in read_metrics(finished) if record["kind"] == "evaluation"]
    assert evaluations[0]["env_steps"] == 0
    assert evaluations[0]["win_rate"] < 0.5
    assert evaluations[-1]["win_rate"] > 0.9


def test_two_updates_follow_every_episode_once_replay_is_filled(finished: Path) -> None:
    checkpoint = load_checkpoint(finished)
    assert checkpoint.env_steps == 4 * checkpoint.episodes
    assert checkpoint.updates == 2 * (checkpoint.episodes - 12)  # the first update comes with 16 episodes


def test_the_same_seed_writes_the_same_metrics(finished: Path, tmp_path: Path) -> None:
    train(tmp_path)
    assert without_clock(tmp_path) == without_clock(finished)
    other = tmp_path / "other"
    train(other, replace(CONFIG, seed=6, steps=800))
    assert without_clock(other)[1:] != without_clock(finished)[1 : len(without_clock(other))]


@pytest.mark.parametrize("stop_after", [1, 17, 203])
def test_a_stopped_run_continues_as_if_it_had_not_been(
    finished: Path, tmp_path: Path, stop_after: int
) -> None:
    train(tmp_path, stop_after=stop_after)
    assert load_checkpoint(tmp_path).env_steps < CONFIG.steps
    train(tmp_path, resume=True)
    assert without_clock(tmp_path) == without_clock(finished)
    one, other = load_checkpoint(tmp_path).advantage, load_checkpoint(finished).advantage
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_killed_run_goes_back_to_its_checkpoint_and_writes_the_same(finished: Path, tmp_path: Path) -> None:
    run = make_run(tmp_path)
    reporter = Silent(stop_after=350)
    reporter.run = run
    run.checkpoint = lambda save=run.checkpoint: save() if run.state.env_steps < 1000 else None  # type: ignore[method-assign, misc]
    run.run(reporter)  # wrote metrics and learned beyond its last checkpoint, as a killed process would have
    run.close()
    assert load_checkpoint(tmp_path).env_steps < 1000 < read_metrics(tmp_path)[-1]["env_steps"]
    train(tmp_path, resume=True)
    assert without_clock(tmp_path) == without_clock(finished)


def test_training_stops_once_two_evaluations_in_a_row_are_good(tmp_path: Path) -> None:
    train(tmp_path, replace(CONFIG, steps=40_000, until_win_rate=0.9))
    rates = [record["win_rate"] for record in read_metrics(tmp_path) if record["kind"] == "evaluation"]
    assert min(rates[-2:]) >= 0.9
    assert load_checkpoint(tmp_path).env_steps < 40_000


def test_the_best_checkpoint_is_kept(finished: Path) -> None:
    rates = [
        r["win_rate"] for r in read_metrics(finished) if r["kind"] == "evaluation" and r["env_steps"] > 0
    ]
    assert load_checkpoint(finished / "best.pt").win_rate == max(rates)


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path: Path) -> None:
    run = make_run(tmp_path)
    run.env.step = lambda actions, step=run.env.step: replace(  # type: ignore[method-assign, misc]
        step(actions), reward=np.full(CONFIG.envs, np.nan if run.state.env_steps > 850 else 0, np.float32)
    )
    with pytest.raises(DivergedError, match="its batch is in"):
        run.run(Silent())
    run.close()
    assert (tmp_path / "diverged-batch.pt").exists()
    assert load_checkpoint(tmp_path).env_steps <= 850
    assert all(torch.isfinite(p).all() for p in load_checkpoint(tmp_path).advantage.values())


def test_random_actions_are_uniform_over_the_available_ones() -> None:
    rng = np.random.default_rng(0)
    avail = np.array([[[False, True, False, True, True], [True, False, False, False, False]]])
    drawn = np.stack([random_actions(avail, rng)[0] for _ in range(3000)])
    counts = np.bincount(drawn[:, 0], minlength=5)
    assert counts[0] == counts[2] == 0
    assert np.all(np.abs(counts[[1, 3, 4]] - 1000) < 120)  # 4.6 standard deviations
    assert (drawn[:, 1] == 0).all()
