"""Where units stand at the start of a battle."""

import dataclasses

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.errors import InputError
from envs.smac.formation import place_groups
from envs.smac.maps import MAP_NAMES, SpawnGroup, load_map
from envs.smac.units import UNITS, UnitType


def test_sites_are_a_hexagonal_lattice_filled_from_330_degrees_on():
    placed = place_groups(load_map("8m"), [SpawnGroup(UnitType.MARINE, 8, 9, 16)])
    spacing = 2 * 0.375 + 0.02
    angles = [None, 330, 30, 90, 150, 210, 270]
    assert (placed[0].dx, placed[0].dy) == pytest.approx((0, 0))
    for unit, angle in zip(placed[1:7], angles[1:], strict=True):
        offset = spacing * np.cos(np.radians(angle)), spacing * np.sin(np.radians(angle))
        assert (unit.dx, unit.dy) == pytest.approx(offset)
    # the second ring's nearest sites are at sqrt(3) spacings and multiples of 60 degrees
    assert np.hypot(placed[7].dx, placed[7].dy) == pytest.approx(spacing * np.sqrt(3))


def test_later_types_take_the_sites_that_are_free():
    placed = place_groups(
        load_map("2s3z"), [SpawnGroup(UnitType.STALKER, 2, 9, 16), SpawnGroup(UnitType.ZEALOT, 3, 9, 16)]
    )
    for i, a in enumerate(placed):
        for b in placed[:i]:
            apart = UNITS[a.unit].separation_radius + UNITS[b.unit].separation_radius
            assert np.hypot(a.dx - b.dx, a.dy - b.dy) >= apart - 1e-6


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
    points = env._world.sites
    away = np.hypot(units.x - points[:, 0], units.y - points[:, 1])
    assert away.max() < 6
    if not turned:
        assert (
            np.abs(units.x[:, env.spec.n_agents :] - points[env.spec.n_agents :, [0, 2]].sum(1)).max() <= 0.9
        )


def test_a_turned_formation_differs_by_episode_and_keeps_distances():
    env = BattleEnv(load_map("2s3z"), n_battles=64, seed=0, turned_formation=True)
    env.reset()
    first = np.arctan2(
        env.units.y[:, 6] - 16, env.units.x[:, 6] - 23
    )  # the second enemy stalker, off the centre
    assert np.ptp(first) > 5  # of 2 pi
    assert np.hypot(env.units.y[:, 6] - 16, env.units.x[:, 6] - 23) == pytest.approx(1.27, abs=0.3)
