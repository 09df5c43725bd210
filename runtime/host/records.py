"""Battles of `lan-play` on disk: as a page to be watched, or all actions, a JSON object per line.

A record grows with every battle, so that a run that ends early leaves what was played.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envs.errors import InputError
from envs.types import FloatArray, IntArray, MultiAgentEnv, TimeStep
from runtime.host.game import EpisodeResult

if TYPE_CHECKING:
    from envs.smac.shown import ShowsUnits

log = logging.getLogger("lan.play")


class Record(ABC):
    """The file of `--record`. What the disk refuses is tried again after every battle, and by `close`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._refused = False

    def note(self, result: EpisodeResult) -> None:
        """Keep a battle that has ended."""
        self._take(result)
        try:
            self._save()
        except InputError as error:
            if not self._refused:
                log.warning("%s; the battles go on, and each tries again", error)
            self._refused = True

    def close(self) -> None:
        """Write what is not yet written; InputError when that fails."""
        self._save()

    @abstractmethod
    def _take(self, result: EpisodeResult) -> None:
        """Take a battle into memory."""

    @abstractmethod
    def _save(self) -> None:
        """Write what is not yet written; InputError when the disk says no."""


class PageRecord(Record):
    """A page that shows the first battles; it watches the environment, which must show its units."""

    def __init__(self, path: Path, env: MultiAgentEnv) -> None:
        from envs.battle.record import Recorder

        super().__init__(path)
        self._env = cast("ShowsUnits", env)  # the recorder itself looks whether it is one
        self._recorder = Recorder("agents over gRPC")
        self._is_new = False

    def begin(self, step: TimeStep) -> None:
        """A battle begins; InputError where units are not shown."""
        before = self._recorder.n_battles
        self._recorder.begin(self._env, step)
        self._is_new |= self._recorder.n_battles > before

    def step(self, step: TimeStep, actions: IntArray, advantages: FloatArray) -> None:
        """A step was played."""
        self._recorder.step(self._env, step, actions, advantages)

    def _take(self, result: EpisodeResult) -> None:
        pass  # it has watched

    def _save(self) -> None:
        if self._is_new:
            self._recorder.write(self.path)
            self._is_new = False


class ActionsRecord(Record):
    """One line per battle: its number, outcome and actions [T][N]."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._unsaved = b""
        self._descriptor = -1

    def _take(self, result: EpisodeResult) -> None:
        line = json.dumps(
            {
                "episode": result.episode,
                "won": result.won,
                "return": result.episode_return,
                "fallbacks": result.fallbacks,
                "actions": result.actions.tolist(),
            }
        )
        self._unsaved += line.encode() + b"\n"

    def _save(self) -> None:
        try:
            if self._unsaved and self._descriptor < 0:
                self._descriptor = os.open(
                    self.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666
                )
            while self._unsaved:
                written = os.write(self._descriptor, self._unsaved)
                self._unsaved = self._unsaved[written:]
        except OSError as error:
            raise InputError(f"cannot write {self.path}: {error.strerror or error}") from None

    def close(self) -> None:
        """Write what is not yet written, and close the file; InputError when that fails."""
        try:
            super().close()
        finally:
            if self._descriptor >= 0:
                with contextlib.suppress(OSError):  # what cannot be synced is written nevertheless
                    os.fsync(self._descriptor)
                os.close(self._descriptor)
                self._descriptor = -1
