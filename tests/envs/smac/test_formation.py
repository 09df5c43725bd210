"""Where units stand at the start of a battle."""

import dataclasses
import math

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import STEP
from envs.errors import InputError
from envs.smac.formation import Placed, formations, place_groups
from envs.smac.maps import MAP_NAMES, SpawnGroup, load_map
from envs.smac.units import CUSTOM_TYPE_ORDER, UNITS, UnitType

PUSHED = 0.25
"""Cells by which a loop's collisions push a unit at most."""

# What replays of the real game show of the agents, cells from the spawn point, in creation order.
# map | slots of the units in the game's memory | positions
EXACT = """
3m       | new     | 0,0  0,-.68848  .68848,0
8m       | new     | 0,0  0,-.68848  .68848,0  0,.68848  -.68848,0  .75,-.75  .75,.75  -.75,.75
2s3z     | new     | 0,0  0,-1.18848  .94141,-.49463  .75171,.75171  -.75195,.75171
2s3z     | 4 1 0 7 8 | 0,0  0,-1.18848  .91943,-.65454  .75171,.75171  -.75195,.75171
corridor | new     | 0,0  0,-.93848  .93848,0  0,.93848  -.93848,0  1,-1
MMM2     | new     | 0,0  0,-.68848  .68848,0  0,.68848  -.68848,0  .75,-.75  .75,.75  \
-.83105,.96606  -.83081,-.96655  0,0
MMM2     | 9 15 6 1 16 0 3 8 12 11 | 0,0  0,-.68848  .68848,0  0,.68848  -.68848,0  .75,-.75  .75,.75  \
-.83105,.96606  -1.125,-1.125  0,0
"""

# The cells in which replays show the enemies, in creation order. The plateau's edge is in the way of the
# last zerglings of 2c_vs_64zg.
CELLS = """
2c_vs_64zg | 16,9 16,8 16,9 16,9 15,9 16,8 16,9 15,9 15,8 16,7 17,9 16,10 14,9 16,7 17,9 15,10 \
14,8 17,8 16,10 14,9 15,7 17,7 17,10 14,10 14,7 16,6 18,9 16,11 13,9 16,6 18,9 15,11 \
13,8 18,8 16,11 13,9 15,6 17,6 18,10 14,11 13,7 18,7 17,11 13,10 14,6 16,6 19,9 13,9 \
16,6 19,9 13,8 19,8 13,9 15,6 18,6 18,11 13,11 13,6 17,6 19,10 13,7 19,7 13,10 14,6
corridor   | 27,28 27,27 28,28 27,28 27,28 28,27 28,28 27,28 27,27 27,26 29,28 27,29 26,28 28,26 29,28 27,29 \
26,27 29,27 28,29 26,28 27,26 29,26 29,29 26,29
MMM2       | 23,16 23,15 23,16 23,16 22,16 23,15 23,16 22,16 22,15 23,14 24,16 23,16
"""


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def points(text: str) -> list[tuple[float, float]]:
    return [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split())]


def standing(placed: list[Placed]) -> list[tuple[float, float]]:
    return [(unit.point_x + unit.dx, unit.point_y + unit.dy) for unit in placed]


@pytest.mark.parametrize(("name", "slots", "places"), rows(EXACT), ids=lambda text: text[:12])
def test_agents_stand_where_replays_of_the_real_game_show_them(name: str, slots: str, places: str) -> None:
    order = None if slots == "new" else [int(slot) for slot in slots.split()]
    placed = place_groups(load_map(name), load_map(name).ally_spawns, order)
    assert [(round(unit.dx, 5), round(unit.dy, 5)) for unit in placed] == points(places)
    for x, y in standing(placed):
        assert (x * 4096, y * 4096) == (int(x * 4096), int(y * 4096))


def test_a_spawn_point_is_rounded_to_the_games_grid() -> None:
    first = place_groups(load_map("corridor"), load_map("corridor").ally_spawns)[0]
    assert (round(first.point_x, 5), round(first.point_y, 5)) == (19.03979, 19.11987)


@pytest.mark.parametrize(("name", "cells"), rows(CELLS), ids=lambda text: text[:12])
def test_enemies_stand_in_the_cells_where_replays_show_them(name: str, cells: str) -> None:
    placed = place_groups(load_map(name), load_map(name).enemy_spawns)
    assert [(math.floor(x), math.floor(y)) for x, y in standing(placed)] == points(cells)


def test_units_of_a_plane_never_overlap() -> None:
    for name in MAP_NAMES:
        for sides in formations(load_map(name)):
            for placed in sides:
                for i, (a, (ax, ay)) in enumerate(zip(placed, standing(placed), strict=True)):
                    for b, (bx, by) in zip(placed[:i], standing(placed)[:i], strict=True):
                        stats = UNITS[a.unit], UNITS[b.unit]
                        if len({(unit.is_air, unit.crosses_cliffs) for unit in stats}) == 1:
                            apart = stats[0].radius + stats[1].radius - 1 / 16
                            assert math.hypot(ax - bx, ay - by) >= apart


def test_slots_matter_where_two_types_share_a_point_and_nowhere_else() -> None:
    mixed = {"2s3z", "3s5z", "1c3s5z", "3s5z_vs_3s6z", "MMM", "MMM2"}
    for name in MAP_NAMES:
        variants = formations(load_map(name))
        assert len(variants) == (32 if name in mixed else 1)
        assert (len({str(variant) for variant in variants}) > 1) == (name in mixed)
    first = [unit[3:] for unit in formations(load_map("2s3z"))[0][0]]
    assert first == [unit[3:] for unit in place_groups(load_map("2s3z"), load_map("2s3z").ally_spawns)]
    second = [variant[0][2] for variant in formations(load_map("2s3z"))]
    swapped = sum(round(unit.dx, 5) == 0.91943 for unit in second)
    assert 8 <= swapped <= 20  # of 32; 28 of 64 in replays


def test_colossi_and_air_neither_block_nor_are_blocked():
    groups = [SpawnGroup(UnitType.COLOSSUS, 1, 9, 16), SpawnGroup(UnitType.STALKER, 1, 9, 16)]
    assert [(unit.dx, unit.dy) for unit in place_groups(load_map("1c3s5z"), groups)] == [(0, 0), (0, 0)]


def test_a_group_that_does_not_fit_is_refused():
    full = dataclasses.replace(load_map("3m"), walkable=np.zeros((32, 32), np.bool_))
    with pytest.raises(InputError, match="3m: 3 of 3 marines do not fit"):
        place_groups(full, [SpawnGroup(UnitType.MARINE, 3, 9, 16)])


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_everybody_starts_on_walkable_ground_near_the_spawn_point(map_name, turned):
    smac_map = load_map(map_name)
    env = BattleEnv(smac_map, n_battles=16, seed=0, turned_formation=turned)
    env.reset()
    units = env.units
    cells = smac_map.colossus_walkable | smac_map.walkable
    walkable = cells[units.x.astype(int), units.y.astype(int)] | (units.types == UnitType.MEDIVAC)
    assert walkable.all()
    N, world = env.spec.n_agents, env._worlds
    points = world.sites[0, 0, :, :2].T[:, None]
    assert np.hypot(*np.array([units.x, units.y]) - points).max() < 6
    if not turned:
        agents = [ordered(units.types[0, :N], site[:N, :2] + site[:N, 2:]) for site in world.sites[0]]
        for battle in range(env.n_battles):
            x, y = units.x[battle], units.y[battle]
            variants = [v for v, xy in enumerate(agents) if (xy == np.stack([x[:N], y[:N]], 1)).all()]
            starts = (world.sites[0, variants, N:, :2] + world.sites[0, variants, N:, 2:]).transpose(2, 0, 1)
            walked = np.hypot(x[N:] - starts[0], y[N:] - starts[1])  # the enemies, for one loop
            assert (walked <= world.s[0, STEP, N:] + PUSHED).all(axis=1).any()


def ordered(types, places):
    """Places by type, then x, then y, as agents are numbered."""
    ranks = [CUSTOM_TYPE_ORDER.index(UnitType(kind)) for kind in types]
    return places[np.lexsort((places[:, 1], places[:, 0], ranks))]


def test_a_turned_formation_differs_by_episode_and_keeps_distances():
    env = BattleEnv(load_map("2s3z"), n_battles=64, seed=0, turned_formation=True)
    env.reset()
    first = np.arctan2(
        env.units.y[:, 6] - 16, env.units.x[:, 6] - 23
    )  # the second enemy stalker, off the centre
    assert np.ptp(first) > 5  # of 2 pi
    assert np.hypot(env.units.y[:, 6] - 16, env.units.x[:, 6] - 23) == pytest.approx(1.19, abs=0.3)
