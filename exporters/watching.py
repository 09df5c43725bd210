"""Writes battles of `lan-eval` as a page to watch."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from envs.battle.record import Recorder
from envs.smac.shown import ShowsUnits
from envs.types import IntArray, MultiAgentEnv, Team, TimeStep
from trainer.playing.rollout import Watcher


class Watchers(list[Watcher]):
    """Several watchers, which all see every step."""

    def begin(self, step: TimeStep) -> None:
        """A round of battles begins."""
        for watcher in self:
            watcher.begin(step)

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """A step was played."""
        for watcher in self:
            watcher.step(step, actions)


class RecordingWatcher:
    """Hands each step of slot 0 to a recorder, with the team's advantages if it has them."""

    def __init__(self, env: ShowsUnits, recorder: Recorder) -> None:
        self.env, self.recorder = env, recorder
        self.team: Team | None = None

    def begin(self, step: TimeStep) -> None:
        """A battle begins."""
        self.recorder.begin(self.env, step)

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """A step was played."""
        self.recorder.step(self.env, step, actions, getattr(self.team, "advantages", None))


@contextlib.contextmanager
def recording(
    env: MultiAgentEnv, make_team: Callable[[], Team], player: str, path: Path
) -> Iterator[tuple[Callable[[], Team], RecordingWatcher]]:
    """Record the battles inside the `with` block; they must use the teams and the watcher that it yields.

    The page is written at the end, however the block ends, unless nothing was played.
    """
    recorder = Recorder(player)
    watcher = RecordingWatcher(cast("ShowsUnits", env), recorder)

    def make_watched() -> Team:
        watcher.team = make_team()
        return watcher.team

    try:
        yield make_watched, watcher
    finally:
        if recorder.n_battles:
            recorder.write(path)
