"""Walking, walls and collisions of the battle simulator: one test per rule, numbers worked out by hand."""

import numpy as np
import pytest

from envs.battle.fields import FIXED, HEALTH, Order, X, Y
from envs.smac.maps import load_map
from envs.smac.units import UnitType as Type

FAR = (Type.ZEALOT, 30.0, 30.0)
GRID = 16 / 4096
"""Positions lie on the grid of 1/4096 cell: so much may a few loops differ from what is worked out."""


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (Type.MARINE, 1.125),
        (Type.MARAUDER, 1.125),
        (Type.STALKER, 1.47655),  # 2.9531 cells/s, half a second
        (Type.ZEALOT, 1.125),
        (Type.COLOSSUS, 1.125),
        (Type.HYDRALISK, 1.125),
        (Type.ZERGLING, 1.47655),
        (Type.BANELING, 1.25),
    ],
)
def test_free_movement_per_step(battlefield, kind, cells):
    field = battlefield([(kind, 10, 10)], [FAR])
    field.order(0, Order.MOVE, x=20, y=10)
    field.play(8)
    assert field.at(0) == pytest.approx((10 + cells, 10), abs=GRID)


def test_a_move_order_of_two_cells_takes_a_marine_two_steps_and_ends_there(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [FAR])
    field.order(0, Order.MOVE, x=10, y=12)
    field.play(8)
    assert field.at(0) == pytest.approx((10, 11.125), abs=GRID)
    field.play(8)
    assert field.at(0) == pytest.approx((10, 12), abs=GRID)
    assert field.units.order[0, 0] == Order.STOP


def test_medivac_accelerates_at_2_3125_to_2_75_cells_per_second(battlefield):
    field = battlefield([(Type.MEDIVAC, 5, 10)], [FAR])
    field.order(0, Order.MOVE, x=31, y=10)
    field.play(8)
    # speed grows by 2.3125/256 cells/loop every loop: 1 + 2 + ... + 8 = 36 of them
    assert field.at(0)[0] - 5 == pytest.approx(36 * 2.3125 / 256, abs=GRID)
    field.play(16)
    before = field.at(0)[0]
    field.play(1)
    assert field.at(0)[0] - before == pytest.approx(2.75 / 16, abs=GRID)


def test_a_structure_does_not_move(battlefield):
    field = battlefield([(Type.SPINE_CRAWLER, 10, 10)], [FAR])
    field.order(0, Order.MOVE, x=20, y=10)
    field.play(16)
    assert field.at(0) == (10, 10)


def test_nobody_enters_unwalkable_cells(battlefield):
    ground = np.ones((32, 32), np.bool_)
    ground[12:, :] = False
    field = battlefield([(Type.STALKER, 10, 10)], [(Type.ZEALOT, 3, 3)], walkable=ground)
    field.order(0, Order.MOVE, x=20, y=14.5)
    field.play(80)
    assert field.at(0) == (12 - 0.4375, 14.5)  # as near as it gets: its inner radius of .5 less 1/16


def test_a_walk_around_a_wall_finds_the_shortest_way(battlefield):
    ground = np.ones((32, 32), np.bool_)
    ground[15, 5:] = False  # a wall across the map with a gap below row 5
    field = battlefield([(Type.STALKER, 10.5, 15.5)], [(Type.ZEALOT, 30, 30)], walkable=ground)
    field.order(0, Order.MOVE, x=20.5, y=15.5)
    path, x_seen = 0.0, []
    before = field.at(0)
    for _ in range(400):
        field.play(1)
        now = field.at(0)
        path += float(np.hypot(now[0] - before[0], now[1] - before[1]))
        x_seen.append(now)
        before = now
        if field.units.order[0, 0] == Order.STOP:
            break
    assert before == pytest.approx((20.5, 15.5), abs=GRID)
    # straight to the corner (15, 5), past the wall, and up again: 11.42 + 1 + 11.85; cells cost a bit
    assert 24 < path < 26
    assert all(ground[int(x), int(y)] for x, y in x_seen)


def test_corridor_is_crossed_through_its_choke(battlefield):
    smac_map = load_map("corridor")
    field = battlefield([(Type.ZEALOT, 19, 19)], [(Type.ZERGLING, 28, 28)], walkable=smac_map.walkable)
    field.order(0, Order.MOVE, x=4.47, y=4.33)
    loops = field.loops_until(lambda: field.units.order[0, 0] == Order.STOP)
    assert field.at(0) == pytest.approx((4.47, 4.33), abs=GRID)
    straight = np.hypot(19 - 4.47, 19 - 4.33) / 2.25 * 16
    assert straight <= loops < 1.1 * straight


def test_only_colossi_cross_cliffs(battlefield):
    smac_map = load_map("2c_vs_64zg")
    field = battlefield(
        [(Type.COLOSSUS, 16, 16), (Type.STALKER, 14, 16)],
        [(Type.ZERGLING, 2, 9)],
        walkable=smac_map.walkable,
        colossus_walkable=smac_map.colossus_walkable,
    )
    for agent, x in ((0, 16), (1, 14)):
        field.order(agent, Order.MOVE, x=x, y=9)
    colossus = field.loops_until(lambda: field.units.order[0, 0] == Order.STOP)
    stalker = colossus + field.loops_until(lambda: field.units.order[0, 1] == Order.STOP)
    assert colossus == 50  # 7 cells at 2.25 cells/s, straight over the cliff: 49.8 loops
    assert stalker > 110  # by the ramp at the side: 21 cells at 2.9531 cells/s
    assert field.at(1) == pytest.approx((14, 9), abs=GRID)


def test_overlap_is_removed_at_once_but_a_unit_is_pushed_a_quarter_cell_at_most(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 10.25, 10)], [FAR])
    field.play(1)  # they touch at .6875: each yields half of .4375
    assert field.f[X, :2].tolist() == [10 - 0.21875, 10.25 + 0.21875]
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 10.0625, 10)], [FAR])
    field.play(1)  # overlap .625: each yields .25 of its .3125
    assert field.f[X, :2].tolist() == [10 - 0.25, 10.0625 + 0.25]
    field.play(1)
    assert field.f[X, :2].tolist() == [10 - 0.3125, 10.0625 + 0.3125]


def test_a_crowd_pressed_against_a_wall_stays_out_of_it_and_does_not_stack_up(battlefield):
    ground = np.ones((32, 32), np.bool_)
    ground[:, 20:] = False
    crowd = [(Type.ZERGLING, 10 + i, 8 + j) for i in range(6) for j in range(5)]
    field = battlefield(crowd, [FAR], walkable=ground)
    for agent in range(len(crowd)):
        field.order(agent, Order.MOVE, x=12.5, y=25)
    deep = np.zeros((30, 30), int)
    for _ in range(160):
        field.play(1)
        x, y = field.f[X, :30], field.f[Y, :30]
        assert y.max() <= 20 - 0.3125
        apart = np.hypot(x[:, None] - x, y[:, None] - y) + np.eye(30)
        deep = np.where(apart < 0.6875 - 0.4, deep + 1, 0)  # the crowd presses them this deep
        assert deep.max() <= 8
    assert y.max() == 20 - 0.3125


def test_units_on_exactly_one_place_are_parted(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 10, 10)], [FAR])
    field.play(4)
    assert np.hypot(*np.subtract(field.at(0), field.at(1))) == pytest.approx(0.6875, abs=GRID)


def test_who_fires_stands_fixed_and_walkers_yield(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 11, 10)], [(Type.ZEALOT, 10, 14)])
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(2)
    field.f[0, 1] = 10.5  # put the other one half into the shooter
    field.play(1)
    assert field.k[FIXED, 0] == 1
    assert field.at(0) == (10, 10)
    assert field.at(1) == (10.6875, 10)  # all of the overlap of .1875


def test_air_and_colossi_collide_with_no_ground_unit(battlefield):
    field = battlefield([(Type.COLOSSUS, 10, 10), (Type.MEDIVAC, 10, 10.1)], [(Type.ZEALOT, 10.1, 10)])
    field.play(4)
    assert [field.at(u)[0] for u in range(3)] == pytest.approx([10, 10, 10.1], abs=GRID)
    assert [field.at(u)[1] for u in range(3)] == pytest.approx([10, 10.1, 10], abs=GRID)


def test_colossi_collide_with_each_other(battlefield):
    field = battlefield([(Type.COLOSSUS, 10, 10), (Type.COLOSSUS, 10.5, 10)], [FAR])
    field.play(8)
    assert field.at(1)[0] - field.at(0)[0] == pytest.approx(1.4375, abs=GRID)  # twice .75 - 1/16


def test_an_opponent_in_the_way_is_walked_around(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, 12, 10)])
    field.order(0, Order.MOVE, x=14, y=10)
    loops = field.loops_until(lambda: field.units.order[0, 0] == Order.STOP)
    assert field.at(0) == pytest.approx((14, 10), abs=GRID)
    assert field.at(1) == pytest.approx((12, 10), abs=0.05)  # it stood still and was not pushed away
    free = 4 / 2.25 * 16
    assert free < loops < 1.25 * free


def test_melee_units_surround_their_victim(battlefield):
    ring = [(Type.ZERGLING, 10.0 + 0.8 * i, 10.0) for i in range(6)]
    field = battlefield(ring, [(Type.ZEALOT, 20, 10)])
    for agent in range(6):
        field.order(agent, Order.ATTACK_UNIT, target=6)
    field.f[HEALTH, 6] = 1e6
    field.play(
        140
    )  # the last one has 8.4 cells to go and 3 around the zealot: 62 loops if nobody is in the way
    assert field.k[FIXED, :6].sum() == 6
    angles = np.arctan2(field.f[1, :6] - field.at(6)[1], field.f[0, :6] - field.at(6)[0])
    assert np.ptp(np.sort(np.abs(angles))) > 1.5  # not all from the side they came from
