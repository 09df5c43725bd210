"""Agents are numbered by custom unit type, then x, then y: in the simulator and from the game's own units."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from envs.battle import fields, opening
from envs.battle.env import BattleEnv
from envs.battle.roster import make_world
from envs.sc2.descriptors import protocol_module
from envs.sc2.numbers import AGENTS, ENEMIES
from envs.sc2.reading import Roster
from envs.smac.maps import load_map
from envs.smac.units import CUSTOM_TYPE_ORDER, SC2_UNIT_IDS, UnitType

NAMES = ("MMM2", "1c3s5z", "bane_vs_bane", "27m_vs_30m")
PLACES = [(3.0, 5.0), (1.0, 7.0), (3.0, 4.0), (1.0, 7.0), (9.0, 0.0), (2.0, 2.0), (0.0, 8.0)]
IN_ORDER = [(0.0, 8.0), (1.0, 7.0), (1.0, 7.0), (2.0, 2.0), (3.0, 4.0), (3.0, 5.0), (9.0, 0.0)]
"""`PLACES` by x, then y."""


@pytest.mark.parametrize("name", NAMES)
def test_a_battle_begins_with_its_agents_in_order(name: str) -> None:
    env = BattleEnv(load_map(name), n_battles=8, seed=3, turned_formation=True)
    env.reset()
    N, units = env.spec.n_agents, env.units
    ranks = [CUSTOM_TYPE_ORDER.index(UnitType(kind)) for kind in units.types[0, :N]]
    for x, y in zip(units.x[:, :N], units.y[:, :N], strict=True):
        assert np.lexsort((y, x, ranks)).tolist() == list(range(N))


def test_the_simulator_orders_equal_x_by_y_and_types_on_their_own() -> None:
    world = make_world(load_map("MMM2"))  # two marauders, seven marines, a medivac
    f = np.zeros((fields.F_ROWS, world.sites.shape[1]))
    f[[fields.X, fields.Y], :10] = np.array([(8.0, 1.0), (4.0, 1.0), *PLACES, (0.0, 0.0)]).T
    opening._number_agents(f, world)
    placed = list(zip(*f[[fields.X, fields.Y], :10].tolist(), strict=True))
    assert placed == [(4.0, 1.0), (8.0, 1.0), *IN_ORDER, (0.0, 0.0)]


def test_the_games_units_are_ordered_by_type_then_x_then_y() -> None:
    smac_map = load_map("MMM2")
    numbers = {UnitType.MARAUDER: 1970, UnitType.MARINE: 1971, UnitType.MEDIVAC: 1972}
    kinds = [UnitType.MEDIVAC, *[UnitType.MARINE] * 7, *[UnitType.MARAUDER] * 2]
    places = [(0.0, 0.0), *PLACES, (8.0, 1.0), (4.0, 1.0)]
    enemies = [(30.0 - u, float(u)) for u in range(smac_map.n_enemies)]
    shown = [
        unit(AGENTS, numbers[kind], u, at) for u, (kind, at) in enumerate(zip(kinds, places, strict=True))
    ]
    for u, (kind, at) in enumerate(zip(smac_map.enemy_types, enemies, strict=True), start=len(shown)):
        shown.append(unit(ENEMIES, SC2_UNIT_IDS[kind], u, at))
    roster = Roster(smac_map, shown)
    assert roster.utype.tolist() == [*smac_map.ally_types, *smac_map.enemy_types]
    placed = list(zip(roster.x.tolist(), roster.y.tolist(), strict=True))
    assert placed == [(4.0, 1.0), (8.0, 1.0), *IN_ORDER, (0.0, 0.0), *enemies]


def unit(owner: int, kind: int, tag: int, at: tuple[float, float]) -> Any:
    """A unit as the game shows one."""
    shown = protocol_module("raw").Unit(owner=owner, unit_type=kind, tag=tag, health=1.0)
    shown.pos.x, shown.pos.y = at
    return shown
