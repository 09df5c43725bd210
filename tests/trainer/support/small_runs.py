"""Whole training runs of a few seconds on the recall environment."""

import json
from pathlib import Path
from typing import Any

import torch

from tests.trainer.support.recall_env import RecallEnv
from trainer.config import ResolvedConfig, TrainConfig, resolve
from trainer.learning.algorithms import make_learner
from trainer.runs.assembly import learner_settings
from trainer.runs.clocks import Clocks
from trainer.runs.directory import RunDirectory
from trainer.runs.metrics import read_metrics
from trainer.runs.run import TrainingRun, make_replay

ASKED = TrainConfig(
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
CONFIG = resolve(ASKED)


class Silent:
    def __init__(self, stop_after: int | None = None) -> None:
        self.run: TrainingRun | None = None
        self.stop_after = stop_after
        self.warnings: list[str] = []

    def progress(self, clocks: Clocks, epsilon: float) -> None:
        if self.run is not None and self.stop_after is not None and clocks.episodes >= self.stop_after:
            self.run.stop_requested = True

    def record(self, record: dict[str, Any]) -> None:
        return None

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def make_run(run_dir: Path, config: ResolvedConfig = CONFIG, *, resume: bool = False) -> TrainingRun:
    torch.manual_seed(config.seed)
    run_dir.mkdir(exist_ok=True)
    env, eval_env = RecallEnv(config.envs, config.seed), RecallEnv(config.eval_episodes, config.seed + 1)
    learner = make_learner(config.algorithm, env.spec, learner_settings(config), torch.device("cpu"))
    directory = RunDirectory(run_dir, config.keep_checkpoints)
    found = directory.find(lambda: make_replay(config, env.spec)) if resume else None
    if found is not None:
        directory.go_back_to(found)
    return TrainingRun(config, "sim", directory, env, eval_env, learner, found=found)


def train(
    run_dir: Path, config: ResolvedConfig = CONFIG, *, resume: bool = False, stop_after: int | None = None
) -> None:
    with make_run(run_dir, config, resume=resume) as run:
        reporter = Silent(stop_after)
        reporter.run = run
        run.run(reporter)


def without_clock(run_dir: Path) -> list[str]:
    records = read_metrics(run_dir)
    return [json.dumps({k: v for k, v in record.items() if not k.startswith("wall_")}) for record in records]
