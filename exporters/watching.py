"""Battles of `lan-eval` written as a page to be watched."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

from envs.battle.env import BattleEnv
from envs.battle.record import Recorder
from envs.errors import InputError
from envs.types import IntArray, MultiAgentEnv, Team, TimeStep


class RecordingWatcher:
    """Hands what is played on slot 0 to a recorder, with the advantages of the team, where it has any."""

    def __init__(self, env: BattleEnv, recorder: Recorder) -> None:
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
    """Record what is played inside the `with`, by the teams and under the eyes of the watcher it gives.

    The page is written at the end; InputError at once when it could not be, or when `env` shows no units.
    """
    if not path.parent.is_dir():
        raise InputError(f"--record {path}: there is no folder {path.parent}")
    recorder = Recorder(player)
    watcher = RecordingWatcher(cast("BattleEnv", env), recorder)

    def make_watched() -> Team:
        watcher.team = make_team()
        return watcher.team

    yield make_watched, watcher
    recorder.write(path)
