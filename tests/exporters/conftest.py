"""A checkpoint of a LAN learner on Checkers, written as lan-train writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.checkers import SPEC
from envs.types import EnvSpec
from trainer.config import TrainConfig
from trainer.learning.lan import LanLearner
from trainer.learning.learner import LearnerSettings
from trainer.runs.checkpoint import Checkpoint, save_checkpoint


def make_checkpoint(spec: EnvSpec = SPEC, seed: int = 0) -> Checkpoint:
    """Weights drawn wide, so that memories move and agents do different things."""
    torch.manual_seed(seed)
    learner = LanLearner(spec, LearnerSettings(), torch.device("cpu"))
    with torch.no_grad():
        for parameter in learner.advantage.parameters():
            parameter.mul_(3.0)
    return Checkpoint(
        spec=spec,
        algorithm="lan",
        backend="sim",
        config=TrainConfig(map=spec.name, seed=seed).to_dict(),
        env_steps=12_345,
        episodes=678,
        updates=1_356,
        win_rate=0.75,
        project_version="0.1.0",
        learner=learner.state_dict(),
        trainer={},
    )


@pytest.fixture
def checkpoint() -> Checkpoint:
    """A checkpoint in memory."""
    return make_checkpoint()


@pytest.fixture
def checkpoint_for() -> Callable[[EnvSpec], Checkpoint]:
    """Makes a checkpoint for another environment."""
    return make_checkpoint


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run directory's run.pt, with some fields of the checkpoint replaced."""

    def write(name: str = "run", **changes: object) -> Path:
        run_dir = tmp_path / name
        run_dir.mkdir()
        save_checkpoint(run_dir / "run.pt", replace(make_checkpoint(), **changes))
        return run_dir / "run.pt"

    return write
