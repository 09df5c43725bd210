"""One battle after the other on the simulator: what the interfaces to other people's code share."""

from __future__ import annotations

import secrets
from pathlib import Path

import numpy as np

from envs.battle.env import BattleEnv
from envs.battle.record import Recorder
from envs.errors import InputError
from envs.slots import whole_seed
from envs.smac.smac_map import SmacMap
from envs.types import BoolArray, IntArray, TimeStep


class SingleBattle:
    """The battle that is played, and how it was played so far; every one is a function of seed and number.

    seed: None draws one. ValueError when something is asked for before the first reset, or a step after the
    end of a battle.
    """

    def __init__(self, smac_map: SmacMap, seed: int | None) -> None:
        self.env = BattleEnv(smac_map, seed=secrets.randbits(31) if seed is None else whole_seed(seed))
        self.spec = self.env.spec
        self._step: TimeStep | None = None
        self._actions: list[IntArray] = []

    @property
    def shown(self) -> TimeStep:
        """The last time step, one battle."""
        if self._step is None:
            raise ValueError("no battle has begun: call reset() first")
        return self._step

    @property
    def alive(self) -> tuple[BoolArray, BoolArray]:
        """[N] and [E]: which agents and which enemies live."""
        alive = self.env.units.alive[0] > 0
        return alive[: self.spec.n_agents], alive[self.spec.n_agents :]

    @property
    def steps(self) -> int:
        """Steps played in this battle."""
        return len(self._actions)

    def reset(self, seed: int | None = None) -> None:
        """Begin the next battle, with a `seed` the first one of that seed."""
        if seed is not None:
            self.env.seed, self.env.next_episode = whole_seed(seed), 0
        self._step, self._actions = self.env.reset(), []

    def step(self, actions: IntArray) -> None:
        """Play one step; actions [N]. ValueError when one is not available."""
        if self.shown.done[0]:
            raise ValueError("the battle has ended: call reset()")
        self._step = self.env.step(actions[None])
        self._actions.append(actions)

    def save_page(self, path: Path) -> None:
        """Write the battle so far as a page to watch in a browser: it is played again and recorded.

        Its folder is made where it is missing. InputError when no battle has begun, or the disk says no.
        """
        episode = int(self.env.episodes[0])
        if episode < 0:
            raise InputError("no battle has begun that could be saved: call reset() first")
        recorder = Recorder(f"seed {self.env.seed}, battle {episode}")
        with BattleEnv(self.env.smac_map, seed=self.env.seed) as env:
            env.next_episode = episode
            recorder.begin(env, env.reset())
            for actions in self._actions:
                recorder.step(env, env.step(actions[None]), actions[None])
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(f"cannot make the folder {path.parent}: {error.strerror or error}") from None
        recorder.write(path)

    def close(self) -> None:
        """Release what the simulator holds."""
        self.env.close()


def whole_actions(actions: object, n_agents: int) -> IntArray:
    """[N] the actions given as a list, an array or a tensor; ValueError when they are no N whole numbers."""
    given = np.asarray([int(action) for action in actions] if hasattr(actions, "__iter__") else actions)
    if given.shape != (n_agents,):
        raise ValueError(f"actions is {given.shape}, not ({n_agents},): one action for every agent")
    return given.astype(np.int64)
