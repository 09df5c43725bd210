"""An environment that gives way to a signal, however long a live game takes to start."""

from __future__ import annotations

from envs.slots import WrappedEnv
from envs.stopping import StopWish
from envs.types import BoolArray, IntArray, MultiAgentEnv, TimeStep


class InterruptibleEnv(WrappedEnv):
    """An environment whose calls, which block the event loop, a wish to stop interrupts."""

    def __init__(self, env: MultiAgentEnv, stop: StopWish) -> None:
        super().__init__(env)
        self._stop = stop

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """As the inner environment's; KeyboardInterrupt."""
        self._stop.blocks = True
        try:
            return self._env.reset(mask)
        finally:
            self._stop.blocks = False

    def step(self, actions: IntArray) -> TimeStep:
        """As the inner environment's; KeyboardInterrupt."""
        self._stop.blocks = True
        try:
            return self._env.step(actions)
        finally:
            self._stop.blocks = False
