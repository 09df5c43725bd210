"""Our class beside SMACv2's on the stand-in game: own positions, ranges, and which enemies agents know of.

On maps that SMACv2 still plays: its types of units fail on the others. Skipped without the package.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.interfaces import StarCraft2Env
from envs.make import prepare_for_games
from envs.sc2.client import run_config
from envs.smac.memory import ORDER, Memory, make_memory
from envs.smac.sightings import begin_memory, look

needs_smacv2 = pytest.mark.skipif(
    importlib.util.find_spec("smacv2") is None, reason="SMACv2 is not installed"
)
SEED = 5


def first_order(ours: StarCraft2Env, episode: int) -> list[int]:
    """The order of the first of the two looks with which a battle begins."""
    env = ours._battle.env
    units = env.units
    memory = Memory(*(array[0] for array in make_memory(env.smac_map, 1)))
    begin_memory(memory, np.uint64(SEED), np.uint64(episode))
    columns = (units.x[0].copy(), units.y[0].copy(), units.health[0].copy())
    look(env._tables, memory, units.types.reshape(-1)[-len(columns[0]) :].copy(), *columns)
    return list(memory.agents[ORDER])


@needs_smacv2
@pytest.mark.parametrize("probability", [0.0, 1.0])
@pytest.mark.parametrize("map_name", ["3s_vs_5z", "6h_vs_8z", "corridor", "2c_vs_64zg"])
def test_ours_is_smacv2s_class_with_its_settings(
    sc2_path: Path, monkeypatch: pytest.MonkeyPatch, map_name: str, probability: float
) -> None:
    prepare_for_games()
    run_config(None)  # before the package imports pysc2
    package: Any = importlib.import_module("smacv2.env.starcraft2.starcraft2")
    keywords = {"obs_own_pos": True, "use_unit_ranges": True, "prob_obs_enemy": probability}
    official = package.StarCraft2Env(map_name=map_name, seed=SEED, **keywords)
    ours = StarCraft2Env(map_name, seed=SEED, reward_regeneration=False, **keywords)
    orders: list[list[int]] = []
    monkeypatch.setattr(package.random, "shuffle", lambda agents: agents.__setitem__(slice(None), orders[-1]))
    rng = np.random.default_rng(SEED)
    for episode in range(4):
        ours.reset()
        orders.append(first_order(ours, episode))
        official.reset()
        ended = False
        while not ended:
            orders.append(list(ours._battle.env._memory.agents[0, ORDER]))
            np.testing.assert_allclose(ours.get_obs(), official.get_obs(), rtol=0, atol=1e-6)
            np.testing.assert_allclose(ours.get_state(), official.get_state(), rtol=0, atol=1e-6)
            avail, last = ours.get_avail_actions(), -3 if episode % 2 else 0
            assert avail == official.get_avail_actions()
            actions = [int(rng.choice(np.flatnonzero(can)[last:])) for can in avail]
            reward, ended, info = ours.step(actions)
            assert official.step(actions) == (pytest.approx(reward, abs=1e-6), ended, info)
    official.close()
