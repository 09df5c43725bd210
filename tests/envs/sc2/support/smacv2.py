"""SMACv2's unmodified package plays the simulator's battles: with its teams, starts and random draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from envs.battle import fields
from envs.battle.env import BattleEnv
from envs.compiled import kernel
from envs.sc2.official_v2 import package_arguments
from envs.smac.memory import Memory
from envs.smac.rng import Seeds, uniform
from envs.smac.sightings import begin_memory
from envs.smac.units import UnitType
from envs.types import Team


@kernel
def next_number(rng: Seeds) -> float:
    """The next number of a stream."""
    return uniform(rng)


class LookingStream:
    """The draws by which agents look, from the stream that the simulator has for them."""

    def __init__(self, env: BattleEnv) -> None:
        self._env = env
        self._memory = Memory(*(array[0].copy() for array in env._memory))

    def begin(self) -> None:
        """Start over with the episode that the simulator has just begun."""
        begin_memory(self._memory, self._env._seed, np.uint64(self._env.episodes[0]))

    def random(self) -> float:
        """In place of numpy's `rand`."""
        return next_number(self._memory.rng)

    def shuffle(self, items: list[Any]) -> None:
        """In place of Python's `shuffle`."""
        for i in range(len(items) - 1, 0, -1):
            j = int(self.random() * (i + 1))
            items[i], items[j] = items[j], items[i]


def episode_config(env: BattleEnv) -> dict[str, Any]:
    """The teams and starts of the simulator's battle 0, as the package's generators would give them."""
    n, kinds = env.spec.n_agents, env._worlds.t[0, fields.TYPE]
    points = env._worlds.sites[0, 0, :, :2]
    order = np.argsort(env._worlds.t[0, fields.CREATED])
    names = [UnitType(kinds[u]).name.lower() for u in order]
    return {
        "team_gen": {"ally_team": names[:n], "enemy_team": names[n:], "id": 0},
        "ally_start_positions": {"item": points[order[:n]], "id": 0},
        "enemy_start_positions": {"item": points[order[n:]], "id": 0},
    }


Shown = dict[str, Any]


def play_both(
    env: BattleEnv,
    wrapper: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    episodes: int,
    team: Team,
) -> Iterator[tuple[Shown, Shown]]:
    """Play `episodes` battles in the simulator and in the package; yields what both show, step by step."""
    stream = LookingStream(env)
    monkeypatch.setattr("random.shuffle", stream.shuffle)
    monkeypatch.setattr("numpy.random.rand", stream.random)
    package = wrapper(**package_arguments(env.smac_map), seed=env.seed, difficulty="7")
    try:
        for _ in range(episodes):
            ours = env.reset()
            stream.begin()
            package.env.reset(episode_config(env))  # it looks, as a runner does again
            reward, ended, won = 0.0, False, False
            while True:
                theirs = {
                    "obs": np.array(package.get_obs()),
                    "state": package.get_state(),
                    "avail_actions": np.array(package.get_avail_actions(), np.bool_),
                    "reward": reward,
                    "done": ended,
                    "won": won,
                }
                yield {name: getattr(ours, name)[0] for name in theirs}, theirs
                if ended:
                    break
                actions = team(ours)
                ours = env.step(actions)
                reward, ended, info = package.step(actions[0].tolist())
                won = bool(info["battle_won"])
    finally:
        package.close()
