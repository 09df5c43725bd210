"""A run directory, written so that a run killed at any moment can be resumed.

A checkpoint is three steps in this order: append replay, flush metrics, rename `run.pt` into place. The last
makes the others count: on resume, everything after the newest readable checkpoint is dropped and made again.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from envs.errors import InputError
from envs.files import replacing, sync_folder
from trainer.replay.buffer import ReplayBuffer
from trainer.replay.segments import ReplaySegments
from trainer.runs.checkpoint import Checkpoint, read_checkpoint, save_checkpoint
from trainer.runs.config_file import BEST_NAME, REPLAY_NAME, RUN_NAME
from trainer.runs.metrics import MetricsWriter

EARLIER = re.compile(r"run-(\d+)\.pt")


@dataclass(frozen=True)
class Found:
    """A checkpoint to go on from, and its replay; `unusable`: each newer one, and why it cannot be used."""

    path: Path
    checkpoint: Checkpoint
    replay: ReplayBuffer
    unusable: dict[Path, InputError]


class RunDirectory:
    """The last `keep_checkpoints` checkpoints, `run.pt` and `run-STEPS.pt`, and the replay they need."""

    def __init__(self, path: Path, keep_checkpoints: int) -> None:
        self.path = path
        self.keep_checkpoints = keep_checkpoints
        self.segments = ReplaySegments(path / REPLAY_NAME)
        self.saved_steps: int | None = None  # environment steps of the newest checkpoint
        self._saved_episodes = 0
        self._earlier: dict[Path, int] = {}  # oldest first; how many episodes each one knows of

    @property
    def is_new(self) -> bool:
        """Whether no checkpoint was ever written: a run killed before its first one begins anew."""
        checkpoints = (self.path / RUN_NAME).exists() or self._earlier_paths()
        return not checkpoints and not self.segments.folder.exists()

    def save(self, checkpoint: Checkpoint, replay: ReplayBuffer, metrics: MetricsWriter) -> None:
        """Make `checkpoint` the newest; OSError when the disk says no, and the newest stays as it was."""
        self.segments.append(replay)
        metrics.flush()
        newest = self.path / RUN_NAME
        if self.saved_steps is not None and self.keep_checkpoints > 1:
            earlier = self.path / f"run-{self.saved_steps:08d}.pt"
            link_or_copy(newest, earlier)
            self._earlier.pop(earlier, None)
            self._earlier[earlier] = self._saved_episodes
        save_checkpoint(newest, checkpoint)
        self.saved_steps, self._saved_episodes = checkpoint.env_steps, checkpoint.episodes
        with contextlib.suppress(OSError):  # all is saved; the next time removes what is no longer needed
            self._tidy(replay)

    def _tidy(self, replay: ReplayBuffer) -> None:
        while len(self._earlier) > self.keep_checkpoints - 1:
            path = next(iter(self._earlier))
            path.unlink(missing_ok=True)
            del self._earlier[path]
        oldest = min([self._saved_episodes, *self._earlier.values()])
        self.segments.drop(before=oldest - replay.capacity_episodes, after=replay.inserted)

    def keep_best(self) -> None:
        """Make the newest checkpoint the best too, by a second name; OSError when the disk says no."""
        beside = self.path / f".{BEST_NAME}"
        link_or_copy(self.path / RUN_NAME, beside)
        beside.replace(self.path / BEST_NAME)

    def find(self, make_replay: Callable[[], ReplayBuffer], replay_memory_bytes: float = math.inf) -> Found:
        """The newest checkpoint that can be resumed exactly, with its replay; no file is changed.

        InputError when there is none. OSError when a file cannot be read now: that is no reason to go back
        to an earlier one.
        """
        unusable: dict[Path, InputError] = {}
        for path in [self.path / RUN_NAME, *reversed(self._earlier_paths())]:
            try:
                checkpoint = read_checkpoint(path)
                replay = make_replay()
                self.segments.load(replay, checkpoint.episodes, replay_memory_bytes)
            except InputError as error:
                unusable[path] = error
                continue
            return Found(path, checkpoint, replay, unusable)
        raise next(iter(unusable.values()))

    def go_back_to(self, found: Found) -> None:
        """Make a checkpoint the newest: rename unusable ones to `*.damaged`, delete later replay."""
        for newer in found.unusable:
            if newer.exists():
                newer.replace(newer.with_suffix(".damaged"))
        found.path.replace(self.path / RUN_NAME)
        checkpoint = found.checkpoint
        if checkpoint.clocks.is_best:
            self.keep_best()  # a kill may have come between the two
        self.segments.drop(before=0, after=checkpoint.episodes)
        self.saved_steps, self._saved_episodes = checkpoint.env_steps, checkpoint.episodes
        for earlier in self._earlier_paths():
            try:
                self._earlier[earlier] = read_checkpoint(earlier).episodes
            except InputError:
                earlier.replace(earlier.with_suffix(".damaged"))

    def _earlier_paths(self) -> list[Path]:
        matches = [(path, EARLIER.fullmatch(path.name)) for path in self.path.glob("run-*.pt")]
        return [path for _, path in sorted((int(match[1]), path) for path, match in matches if match)]


def link_or_copy(source: Path, target: Path) -> None:
    """Give a file a second name, which stays when the first is given to another file."""
    target.unlink(missing_ok=True)
    try:
        os.link(source, target)
    except OSError:  # a file system without links
        with source.open("rb") as original, replacing(target) as copy:
            shutil.copyfileobj(original, copy)
    else:
        sync_folder(target.parent)
