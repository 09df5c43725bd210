"""Layout, sightings, reward and end against what SMACv2's package showed of recorded battles.

The recording is an excerpt that tests.envs.sc2.support.record_smacv2 made with the package, on the stand-in.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from envs.smac.layout import write_views
from envs.smac.maps import load_map
from envs.smac.memory import Memory, make_memory
from envs.smac.reward import RUNNING, WON, battle_outcome, step_reward
from envs.smac.sightings import begin_memory, look
from envs.smac.tables import layout_tables

TOLERANCE: Final = 1e-6
NAMES: Final = ("protoss_5_vs_5", "terran_5_vs_5", "zerg_5_vs_5", "terran_5_vs_5_epo")


@pytest.fixture(scope="module")
def recorded() -> Any:
    with np.load(Path(__file__).with_name("recorded_smacv2.npz")) as file:
        return dict(file)


@pytest.mark.parametrize("name", NAMES)
def test_every_recorded_step_is_shown_rewarded_and_ended_as_by_smacv2(recorded: Any, name: str) -> None:
    battle = {key.removeprefix(f"{name}/"): recorded[key] for key in recorded if key.startswith(f"{name}/")}
    smac_map = load_map(name)
    spec, types = smac_map.spec, battle["types"].astype(np.int64)
    tables = layout_tables(smac_map)._replace(max_reward=float(battle["max_reward"]))
    memory = Memory(*(array[0] for array in make_memory(smac_map, 1)))
    begin_memory(memory, np.uint64(battle["seed"]), np.uint64(0))
    x, y, health, shield = (battle[unit] for unit in ("x", "y", "health", "shield"))
    steps = len(x)
    assert steps > 20
    obs = np.zeros((spec.n_agents, spec.obs_dim), np.float32)
    state = np.zeros(spec.state_dim, np.float32)
    avail = np.zeros((spec.n_agents, spec.n_actions), np.bool_)
    for t in range(steps):
        for _ in range(1 if t else 2):
            look(tables, memory, types, x[t], y[t], health[t])
        units = types, x[t], y[t], health[t], shield[t], battle["energy"][t], battle["cooldown"][t]
        write_views(tables, memory, t, *units, obs, state, avail)
        np.testing.assert_allclose(obs, battle["obs"][t], rtol=0, atol=TOLERANCE, err_msg=f"obs {t}")
        np.testing.assert_allclose(state, battle["state"][t], rtol=0, atol=TOLERANCE, err_msg=f"state {t}")
        np.testing.assert_array_equal(avail, battle["avail_actions"][t], err_msg=f"avail {t}")
        if t:
            outcome = battle_outcome(tables, types, health[t])
            reward = step_reward(tables, health[t], shield[t], health[t - 1], shield[t - 1], outcome)
            assert abs(reward - battle["reward"][t]) <= TOLERANCE, t
            assert (outcome != RUNNING) == battle["done"][t], t
            assert (outcome == WON) == battle["won"][t], t


def test_the_excerpt_shows_what_makes_smacv2_differ(recorded: Any) -> None:
    """Enemies that are in sight but hidden, enemies alone in reach, and rewards."""
    wins = sum(int(recorded[f"{name}/won"].any()) for name in NAMES)
    assert 0 < wins < len(NAMES)
    for name in NAMES:
        assert (recorded[f"{name}/reward"] > 0).sum() > 5
        assert recorded[f"{name}/obs"].any()
    shown = {name: recorded[f"{name}/obs"][..., 4 : 4 + 5 * 8].any(axis=2).mean() for name in NAMES[1::2]}
    assert shown["terran_5_vs_5_epo"] < 0.9 * shown["terran_5_vs_5"]
