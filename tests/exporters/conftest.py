"""A checkpoint of a LAN learner on Checkers, written as lan-train writes it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.checkers import SPEC
from envs.types import EnemyRows, EnvSpec
from tests.trainer.support.learning import settings
from trainer.config import TrainConfig, resolve
from trainer.learning.lan import LanLearner
from trainer.runs.checkpoint import Checkpoint, save_checkpoint
from trainer.runs.clocks import Clocks


def make_checkpoint(
    spec: EnvSpec = SPEC,
    seed: int = 0,
    *,
    agent_types: tuple[str, ...] | None = None,
    enemies: EnemyRows | None = None,
) -> Checkpoint:
    """Weights drawn wide, so that memories move and agents do different things.

    Those of embeddings and queries stay, since values made of two wide factors round by more.
    """
    torch.manual_seed(seed)
    learner = LanLearner(spec, settings(), torch.device("cpu"), agent_types=agent_types, enemies=enemies)
    with torch.no_grad():
        for name, parameter in learner.advantage.named_parameters():
            if "embed" not in name and "query" not in name:
                parameter.mul_(3.0)
    return Checkpoint(
        spec=spec,
        backend="sim",
        config=resolve(TrainConfig(map=spec.name, seed=seed)).to_dict(),
        agent_types=agent_types,
        enemies=enemies,
        project_version="0.1.0",
        states={
            "clocks": Clocks(env_steps=12_345, episodes=678, win_rate=0.75).state_dict(),
            "learner": learner.state_dict() | {"updates": 1_356},
        },
    )


@pytest.fixture
def checkpoint() -> Checkpoint:
    """A checkpoint in memory."""
    return make_checkpoint()


@pytest.fixture
def checkpoint_for() -> Callable[..., Checkpoint]:
    """Makes a checkpoint for another environment."""
    return make_checkpoint


@pytest.fixture
def write_checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Writes a run directory's run.pt, with some fields of the checkpoint, or its `learner`, replaced."""

    def write(name: str = "run", *, learner: dict[str, object] | None = None, **changes: object) -> Path:
        run_dir = tmp_path / name
        run_dir.mkdir()
        checkpoint = replace(make_checkpoint(), **changes)
        if learner is not None:
            checkpoint.states["learner"] = {"updates": 0} | learner
        save_checkpoint(run_dir / "run.pt", checkpoint)
        return run_dir / "run.pt"

    return write
