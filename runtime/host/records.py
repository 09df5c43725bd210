"""Battles of `lan-play` on disk: as a page to be watched, or all actions, a JSON object per line."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envs.files import write_atomically
from envs.types import FloatArray, IntArray, MultiAgentEnv, TimeStep
from runtime.host.game import EpisodeResult

if TYPE_CHECKING:
    from envs.battle.env import BattleEnv


class PageWatcher:
    """Records the first battles as a page; InputError at the first one unless the simulator plays it."""

    def __init__(self, env: MultiAgentEnv) -> None:
        from envs.battle.record import Recorder

        self._env = cast("BattleEnv", env)  # the recorder itself looks whether it is one
        self._recorder = Recorder("agents over gRPC")

    def begin(self, step: TimeStep) -> None:
        """A battle begins."""
        self._recorder.begin(self._env, step)

    def step(self, step: TimeStep, actions: IntArray, advantages: FloatArray) -> None:
        """A step was played."""
        self._recorder.step(self._env, step, actions, advantages)

    def write(self, path: Path) -> None:
        """Write the page; InputError when that fails."""
        self._recorder.write(path)


def write_record(path: Path, results: Sequence[EpisodeResult]) -> None:
    """Write one line per battle: its number, outcome and actions [T][N]; InputError when that fails."""
    lines = [
        json.dumps(
            {
                "episode": result.episode,
                "won": result.won,
                "return": result.episode_return,
                "fallbacks": result.fallbacks,
                "actions": result.actions.tolist(),
            }
        )
        for result in results
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())
