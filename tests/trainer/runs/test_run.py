"""A training run learns, repeats itself, and continues as if it had never been interrupted."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.errors import DivergedError, InputError
from envs.types import IntArray, TimeStep
from tests.trainer.support.recall_env import RecallEnv
from tests.trainer.support.small_runs import CONFIG, Silent, make_run, train, without_clock
from trainer.config import ResolvedConfig
from trainer.playing.collector import StrictCollector
from trainer.playing.policy import random_actions
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.metrics import read_metrics

SHORT = replace(CONFIG, steps=288, eval_interval_steps=96, eval_episodes=4, replay_episodes=36)


@dataclass(frozen=True)
class Undisturbed:
    config: ResolvedConfig
    run_dir: Path


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


def test_parts_of_an_update_wait_until_they_make_a_whole(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(run_dir, replace(SHORT, updates_per_episode=0.375, first_update_episodes=4, batch_episodes=4))
    checkpoint = load_checkpoint(run_dir)
    assert checkpoint.episodes == 72  # in rounds of 4, each worth 1.5 updates
    assert checkpoint.updates == 27


VARIANTS: dict[str, dict[str, Any]] = {
    "strict": {},
    "overlap": {"overlap": "on"},
    "fast": {"td_lambda": 0.7, "target_tau": 0.05, "updates_per_episode": 0.375},
}


@pytest.fixture(scope="module", params=list(VARIANTS))
def undisturbed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    """A short run in the strict order, one that plays and learns at once, and one as a preset has it."""
    config = replace(SHORT, **VARIANTS[request.param])
    run_dir = tmp_path_factory.mktemp("undisturbed")
    train(run_dir, config)
    return Undisturbed(config, run_dir)


@pytest.mark.parametrize(
    ("settings", "warns"),
    [
        ({}, False),
        ({"updates_per_episode": 1e-9}, True),
        ({"updates_per_episode": 1 / CONFIG.steps}, False),
        ({"first_update_episodes": CONFIG.steps + 1, "replay_episodes": CONFIG.steps + 1}, True),
    ],
)
def test_a_run_that_cannot_learn_says_so_at_its_start(
    settings: dict[str, Any], warns: bool, tmp_path: Path
) -> None:
    with make_run(tmp_path, replace(CONFIG, **settings)) as run:
        assert any("nothing will be learned" in note for note in run.notes) is warns


def test_the_same_seed_writes_the_same_metrics(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """However long playing takes beside learning."""
    run = make_run(tmp_path, undisturbed.config)
    step = run.env.step

    def slow_step(actions: IntArray) -> TimeStep:
        time.sleep(0.002 * (run.clocks.episodes % 3))
        return step(actions)

    run.env.step = slow_step  # type: ignore[method-assign]
    run.run(Silent())
    run.close()
    assert without_clock(tmp_path) == without_clock(undisturbed.run_dir)
    other = tmp_path / "other"
    train(other, replace(undisturbed.config, seed=6, steps=160))
    assert without_clock(other)[1:] != without_clock(undisturbed.run_dir)[1 : len(without_clock(other))]


@pytest.mark.parametrize("stop_after", [1, 17, 61])
def test_a_stopped_run_continues_as_if_it_had_not_been(
    undisturbed: Undisturbed, tmp_path: Path, stop_after: int
) -> None:
    config = undisturbed.config
    train(tmp_path, config, stop_after=stop_after)
    assert load_checkpoint(tmp_path).env_steps < config.steps
    train(tmp_path, config, resume=True)
    assert without_clock(tmp_path) == without_clock(undisturbed.run_dir)
    one, other = load_checkpoint(tmp_path).advantage, load_checkpoint(undisturbed.run_dir).advantage
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_killed_run_goes_back_to_its_checkpoint_and_writes_the_same(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    config = undisturbed.config
    run = make_run(tmp_path, config)
    reporter = Silent(stop_after=66)
    reporter.run = run
    run.checkpoint = lambda *args, save=run.checkpoint, **best: (  # type: ignore[method-assign, misc]
        save(*args, **best) if run.clocks.env_steps < 150 else None
    )
    run.run(reporter)  # wrote metrics and learned beyond its last checkpoint, as a killed process would have
    run.close()
    assert load_checkpoint(tmp_path).env_steps < 150 < read_metrics(tmp_path)[-1]["env_steps"]
    train(tmp_path, config, resume=True)
    assert without_clock(tmp_path) == without_clock(undisturbed.run_dir)


def test_a_finished_run_that_goes_on_equals_one_that_was_told_at_once(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    train(tmp_path, replace(undisturbed.config, steps=160))
    train(tmp_path, undisturbed.config, resume=True)
    one, other = load_checkpoint(tmp_path).advantage, load_checkpoint(undisturbed.run_dir).advantage
    assert all(torch.equal(one[name], other[name]) for name in other)


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
    run = make_run(tmp_path, SHORT)
    run.env.step = lambda actions, step=run.env.step: replace(  # type: ignore[method-assign, misc]
        step(actions), reward=np.full(SHORT.envs, np.nan if run.clocks.env_steps > 150 else 0, np.float32)
    )
    with pytest.raises(DivergedError, match="its batch is in"):
        run.run(Silent())
    run.close()
    assert (tmp_path / "diverged-batch.pt").exists()
    assert load_checkpoint(tmp_path).env_steps <= 150
    assert all(torch.isfinite(p).all() for p in load_checkpoint(tmp_path).advantage.values())


def test_a_gpu_without_room_names_the_setting_to_lower(tmp_path: Path) -> None:
    run = make_run(tmp_path, SHORT)

    def out_of_memory(batch: object) -> dict[str, torch.Tensor]:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    run.learner.update = out_of_memory  # type: ignore[method-assign]
    with pytest.raises(InputError, match=r"lower --batch-episodes than 16, or .* --resume .* --device cpu"):
        run.run(Silent())
    run.close()
    assert load_checkpoint(tmp_path).env_steps == 0


def test_replay_beyond_its_memory_lies_on_disk_and_changes_nothing(
    undisturbed: Undisturbed, tmp_path: Path
) -> None:
    config = replace(undisturbed.config, replay_memory=2e-6)  # two thousand bytes: six episodes
    run, reporter = make_run(tmp_path, config), Silent(stop_after=54)
    reporter.run = run
    run.run(reporter)
    assert any(episode.on_disk for episode in run.replay.episodes_since(0))
    assert run.replay.memory_bytes <= 2e-6 * 2**30 < run.replay.nbytes
    run.close()
    train(tmp_path, config, resume=True)
    assert without_clock(tmp_path) == without_clock(undisturbed.run_dir)


def test_a_close_that_fails_leaves_nothing_else_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    closed: list[RecallEnv] = []

    def fails(collector: StrictCollector) -> None:
        raise OSError("the player is gone")

    monkeypatch.setattr(RecallEnv, "close", lambda env: closed.append(env))
    monkeypatch.setattr(StrictCollector, "close", fails)
    with pytest.raises(OSError, match="the player is gone"), make_run(tmp_path, SHORT) as run:
        pass
    assert closed == [run.env, run.eval_env]
    with pytest.raises(ValueError, match="closed file"):
        run.metrics.write({"kind": "train", "env_steps": 0})


def test_exploration_falls_while_the_run_goes_on(finished: Path) -> None:
    rates = {record["env_steps"]: record["epsilon"] for record in read_metrics(finished)}
    assert rates[0] == 1.0
    assert {rate for steps, rate in rates.items() if steps >= 600} == {0.05}
    falling = [rate for steps, rate in rates.items() if steps <= 600]
    assert falling == sorted(falling, reverse=True)
    assert len(set(falling)) > 4


def test_random_actions_are_uniform_over_the_available_ones() -> None:
    rng = np.random.default_rng(0)
    avail = np.array([[[False, True, False, True, True], [True, False, False, False, False]]])
    drawn = np.stack([random_actions(avail, rng)[0] for _ in range(3000)])
    counts = np.bincount(drawn[:, 0], minlength=5)
    assert counts[0] == counts[2] == 0
    assert np.all(np.abs(counts[[1, 3, 4]] - 1000) < 120)  # 4.6 standard deviations
    assert (drawn[:, 1] == 0).all()
