"""Writes battles of `lan-eval` as data for offline learners."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.outcomes import EpisodeStats
from envs.outputs import check_output
from envs.types import EnvSpec
from envs.version import project_version, source_commit
from trainer.playing.rollout import Scribe
from trainer.replay.dataset import DatasetWriter


class BattleData:
    """The `scribe` watches a round of battles, and `add` keeps those of them that were played to the end."""

    def __init__(self, writer: DatasetWriter) -> None:
        self.writer, self.scribe = writer, Scribe()

    def add(self, played: list[EpisodeStats]) -> None:
        """Keep the battles of the round that the scribe saw last, in the order of their slots."""
        self.writer.add(self.scribe.episodes([stats.length_steps for stats in played]))


@contextlib.contextmanager
def battle_data(path: Path, spec: EnvSpec, about: dict[str, Any]) -> Iterator[BattleData]:
    """Write the battles that are added inside the block, also where it is interrupted."""
    versions = {"project_version": project_version(), "commit": source_commit()}
    with DatasetWriter(path, spec, about | versions) as writer:
        yield BattleData(writer)


def check_dataset(path: Path) -> None:
    """InputError unless a new file can be written there."""
    if path.suffix != ".npz":
        raise InputError(f"--dataset {path}: battles are written as NAME.npz")
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(f"--dataset {path} exists; name another file")
    check_output("--dataset", path)
