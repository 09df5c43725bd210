"""How the real game starts battles, walks, and keeps off walls: one test per rule, each with its evidence."""

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import FIXED, HEALTH, TARGET, Order, X, Y
from envs.smac.formation import formations
from envs.smac.maps import EnemyOrder, load_map
from envs.smac.units import UnitType as Type

FAR = (Type.ZEALOT, 28.0, 28.0)
GRID = 1 / 4096
SIDES = {"east": (1, 0), "west": (-1, 0), "north": (0, 1), "south": (0, -1)}


def attack_move(x, y):
    return EnemyOrder("attack_move", ((x, y),))


def walled(side):
    """A ground whose cells beyond 12 or before 8 cannot be walked on, and the wall's line."""
    ground = np.ones((32, 32), np.bool_)
    ground[{"east": np.s_[12:], "west": np.s_[:8], "north": np.s_[:, 12:], "south": np.s_[:, :8]}[side]] = 0
    return ground, 12 if side in ("east", "north") else 8


# 1. Start. Evidence: replays, and recordings of 3m, whose first row has an enemy at 22.859.
def test_a_battle_begins_on_the_formations_places_and_a_loops_walk_later():
    env = BattleEnv(load_map("3m"), n_battles=32, seed=0)
    env.reset()
    x, y = env.units.x, env.units.y
    assert (np.ptp(x, axis=0) == 0).all()  # nobody is shaken
    assert (np.ptp(y, axis=0) == 0).all()
    # The agents, by x then y: (0, -.6885) and (0, 0) and (.6885, 0) from (9, 16), on the grid.
    assert (x[0, :3] * 4096).tolist() == [36864, 36864, 36864 + 2820]
    assert (y[0, :3] * 4096).tolist() == [65536 - 2820, 65536, 65536]
    # The first enemy stood on (23, 16) and walked a loop of a marine's 2.25 cells/s.
    assert x[0, 3] == 23 - 2.25 / 16 == 22.859375


def test_battles_of_two_types_on_a_point_begin_in_one_of_32_formations():
    env = BattleEnv(load_map("2s3z"), n_battles=256, seed=0)
    env.reset()
    seen = {tuple(battle) for battle in env.units.x[:, :5].tolist()}
    sides = [agents for agents, _ in formations(load_map("2s3z"))]
    allowed = {tuple(sorted(unit.point_x + unit.dx for unit in agents)) for agents in sides}
    assert len(sides) == 32
    assert {tuple(sorted(battle)) for battle in seen} <= allowed
    assert 1 < len(seen) <= 32


# 2. Walls. Evidence: zerglings of replays have x 29.6875 at most in 12 of 12 cases; recordings y 7.3125.
@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(
    ("kind", "clearance"),
    [
        (Type.MARINE, 0.3125),  # .375 - 1/16
        (Type.ZERGLING, 0.3125),
        (Type.HYDRALISK, 0.3125),
        (Type.STALKER, 0.4375),  # .5 - 1/16
        (Type.COLOSSUS, 0.5),  # .5625 - 1/16
    ],
)
def test_a_unit_touches_a_wall_at_its_inner_radius_less_a_sixteenth(battlefield, kind, clearance, side):
    ground, wall = walled(side)
    dx, dy = SIDES[side]
    field = battlefield([(kind, 10.5, 10.5)], [(Type.ZEALOT, 9.5, 9.5)], walkable=ground)
    field.f[[X, Y], 1] = 10.5 - 1.5 * dx - 1.5 * dy, 10.5 - 1.5 * dy - 1.5 * dx
    field.order(0, Order.MOVE, x=10.5 + 6 * dx, y=10.5 + 6 * dy)
    field.play(40)
    edge = wall - clearance if dx + dy > 0 else wall + clearance
    assert field.at(0) == ((edge, 10.5) if dx else (10.5, edge))


@pytest.mark.parametrize("side", SIDES)
def test_a_unit_that_touches_a_wall_walks_along_it_at_full_speed(battlefield, side):
    ground, wall = walled(side)
    dx, dy = SIDES[side]
    field = battlefield([(Type.MARINE, 10, 10)], [FAR], walkable=ground)
    edge = wall - 0.3125 if dx + dy > 0 else wall + 0.3125
    field.f[[X, Y], 0] = (edge, 9) if dx else (9, edge)
    field.order(0, Order.MOVE, x=edge if dx else 11, y=11 if dx else edge)
    field.play(8)
    assert field.at(0) == ((edge, 10.125) if dx else (10.125, edge))  # 8 loops of 2.25/16 cells


@pytest.mark.parametrize("side", SIDES)
def test_a_unit_is_not_pushed_into_a_wall(battlefield, side):
    ground, wall = walled(side)
    dx, dy = SIDES[side]
    edge = wall - 0.3125 if dx + dy > 0 else wall + 0.3125
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 10, 9)], [FAR], walkable=ground)
    at = np.array([edge, 10.0] if dx else [10.0, edge])
    field.f[[X, Y], 0], field.f[[X, Y], 1] = at, at - 0.25 * np.array([dx, dy])
    field.play(1)  # overlap .6875 - .25: each would yield .21875
    assert field.at(0) == tuple(at)
    assert field.at(1) == tuple(at - (0.25 + 0.21875) * np.array([dx, dy]))


@pytest.mark.parametrize(("y", "to"), [(12.8, 13.3125), (10.2, 9.6875)])
def test_at_a_walls_corner_a_walker_goes_around_it(battlefield, y, to):
    """Evidence: recordings; no walker stands still at a corner."""
    ground = np.ones((32, 32), np.bool_)
    ground[13:16, 10:13] = False
    field = battlefield([(Type.MARINE, 12.5, y)], [FAR], walkable=ground)
    field.order(0, Order.MOVE, x=18.5, y=y)
    path = []
    for _ in range(80):
        field.play(1)
        path.append(field.at(0))
        x, y_now = path[-1]
        beside = max(13 - x, x - 16, 0), max(10 - y_now, y_now - 13, 0)
        assert max(beside) >= 0.3125
    assert path[-1] == pytest.approx((18.5, y), abs=GRID)
    beyond = [abs(at[1] - 11.5) for at in path if 13 < at[0] < 16]
    assert min(beyond) >= abs(to - 11.5)


# 3. Contact. Evidence: among 87 000 pairs of recorded marines the distances peak at .6875.
@pytest.mark.parametrize(
    ("one", "other", "contact"),
    [
        (Type.MARINE, Type.MARINE, 0.6875),  # .375 + .375 - 1/16
        (Type.MARAUDER, Type.MARINE, 0.8125),  # .5 + .375 - 1/16
        (Type.STALKER, Type.ZEALOT, 0.9375),  # .625 + .375 - 1/16
        (Type.COLOSSUS, Type.COLOSSUS, 1.4375),  # twice .75 - 1/16
    ],
)
def test_units_touch_a_sixteenth_closer_than_their_radii_say(battlefield, one, other, contact):
    field = battlefield([(one, 10, 10), (other, 12, 10)], [FAR])
    for start in (contact - 0.01, contact - 0.25):
        field.f[X, :2] = 10, 10 + start
        field.play(1)  # each yields half
        assert field.at(0)[0] == pytest.approx(10 - (contact - start) / 2, abs=GRID)
        assert field.at(1)[0] - field.at(0)[0] == pytest.approx(contact, abs=2 * GRID)
    field.f[X, :2] = 10, 10 + contact
    field.play(8)
    assert (field.at(0)[0], field.at(1)[0]) == (10, 10 + contact)  # they touch, and stay


def test_a_unit_between_two_is_pushed_by_the_difference_and_in_one_pass(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 10.5, 10), (Type.MARINE, 11.125, 10)], [FAR])
    field.play(1)  # overlaps .1875 and .0625: -.09375; +.09375 - .03125; +.03125
    assert field.f[X, :3].tolist() == [10 - 0.09375, 10.5 + 0.0625, 11.125 + 0.03125]


def test_a_fighter_is_not_pushed_by_an_opponent(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, 13, 10), (Type.ZERGLING, 28, 28)])
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(2)
    field.f[X, 2], field.f[Y, 2] = 9.5, 10  # an opponent that does not fight stands in it
    field.play(1)
    assert field.at(0) == (10, 10)
    assert field.at(2) == (9.3125, 10)  # it yields all of the overlap of .1875


def test_a_fighter_and_a_team_mate_that_walks_yield_by_half(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 20, 20)], [(Type.ZEALOT, 13, 10)])
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(2)
    field.f[X, 1], field.f[Y, 1] = 9.5, 10
    field.order(1, Order.MOVE, x=5, y=10)
    field.play(1)  # it walks .140625 away, to .640625; the overlap .046875 is shared
    assert field.k[FIXED, 0] == 1
    assert field.f[X, :2].tolist() == [10 + 0.0234375, 9.359375 - 0.0234375]


# 4. Steering. Evidence: recordings; walkers that meet pass on the right.
@pytest.mark.parametrize("side", SIDES)
def test_two_walkers_that_meet_pass_on_the_right(battlefield, side):
    dx, dy = SIDES[side]
    ahead, left = np.array([dx, dy], float), np.array([-dy, dx], float)
    middle = np.array([16.0, 16.0])
    ends = [middle - 2 * ahead, middle + 2 * ahead]
    field = battlefield([(Type.MARINE, *ends[0]), (Type.MARINE, *ends[1])], [FAR])
    for agent in (0, 1):
        goal = ends[1 - agent] + (2 - 4 * agent) * ahead
        field.order(agent, Order.MOVE, x=goal[0], y=goal[1])
    aside, closest = [0.0, 0.0], np.inf
    for _ in range(50):  # 6 cells at 2.25/16 a loop: 43 loops where nobody is in the way
        field.play(1)
        at = field.f[[X, Y], :2].T
        closest = min(closest, np.hypot(*(at[0] - at[1])))
        for agent in (0, 1):
            away = (at[agent] - middle) @ left
            aside[agent] = away if abs(away) > abs(aside[agent]) else aside[agent]
    assert field.units.order[0, :2].tolist() == [Order.STOP, Order.STOP]
    assert -0.5 < aside[0] < -0.2  # the contact of .6875, shared
    assert 0.2 < aside[1] < 0.5
    assert closest >= 0.6875 - 0.0625


def test_a_team_mate_that_stands_idle_is_pushed_along_and_one_that_fights_is_walked_around(battlefield):
    for fights in (False, True):
        field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 12, 10)], [(Type.ZEALOT, 16, 11)])
        field.f[HEALTH, 2] = 1e6
        if fights:
            field.order(1, Order.ATTACK_UNIT, target=2)
            field.play(2)
        field.order(0, Order.MOVE, x=14, y=10)
        away = 0.0
        for _ in range(24):
            field.play(1)
            away = max(away, abs(field.at(0)[1] - 10))
        assert (away > 0.5) == fights
        assert (abs(field.at(1)[0] - 12) < 0.1) == fights


def test_a_walker_that_has_no_free_way_presses_on(battlefield):
    """Evidence: recordings; before, it stood still."""
    wall = [(Type.ZEALOT, 14, 10.0 + 0.7 * row) for row in range(-6, 7)]
    field = battlefield([(Type.MARINE, 12, 10)], wall)
    field.order(0, Order.MOVE, x=18, y=10)
    field.play(24)
    assert field.at(0)[0] > 13.2  # it leans on the opponents: 14 - .6875


# 5. Whole steps. Evidence: recorded marines stop at 4.85 to 5.00 cells, spread evenly.
@pytest.mark.parametrize(
    ("start", "stops"), [(9.125, 4.90625), (9.2, 4.98125), (9.21875, 5.0), (9.25, 4.890625)]
)
def test_a_unit_walks_whole_loops_into_its_weapons_range(battlefield, start, stops):
    field = battlefield([(Type.MARINE, 8, 10)], [(Type.ZEALOT, 8.875 + start, 10)])
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(60)
    assert field.gap(0, 1) == pytest.approx(stops, abs=2 * GRID)  # start - n * .140625, the first up to 5


# 6. March. Evidence: recordings; 1 373 of 1 373 enemies go home to exactly their own place.
PLACES = [(20.0, 10.0), (21.0, 10.0), (20.0, 12.0)]  # centroid (20 1/3, 10 2/3)
HOMES = [(8 - 1 / 3, 20 - 2 / 3), (9 - 1 / 3, 20 - 2 / 3), (8 - 1 / 3, 22 - 2 / 3)]


def test_enemies_march_in_formation_to_their_own_places_around_the_orders_point(battlefield):
    enemies = [(Type.MARINE, *at) for at in PLACES]
    field = battlefield([(Type.MARINE, 28, 4)], enemies, passive=False, enemy_order=attack_move(8, 20))
    field.play(64)
    walked = 64 * 2.25 / 16 / np.hypot(20 + 1 / 3 - 8, 20 - 10 - 2 / 3)
    for unit, (at, home) in enumerate(zip(PLACES, HOMES, strict=True), start=1):
        halfway = np.array(at) + walked * (np.array(home) - at)
        assert field.at(unit) == pytest.approx(tuple(halfway), abs=64 * GRID)
    field.play(64)
    for unit, home in enumerate(HOMES, start=1):
        assert field.at(unit) == pytest.approx(home, abs=GRID)


def test_each_enemy_marches_at_its_own_speed(battlefield):
    enemies = [(Type.ZERGLING, 20, 10), (Type.HYDRALISK, 20, 13)]
    field = battlefield([(Type.MARINE, 28, 28)], enemies, passive=False, enemy_order=attack_move(8, 11.5))
    field.play(32)
    assert field.f[X, 1:].tolist() == pytest.approx([20 - 2 * 2.9531, 20 - 2 * 2.25], abs=32 * GRID)


def test_an_enemy_goes_home_exactly_after_a_chase(battlefield):
    enemies = [(Type.ZEALOT, *at) for at in PLACES]
    field = battlefield([(Type.STALKER, 28, 4)], enemies, passive=False, enemy_order=attack_move(8, 20))
    field.play(140)
    before = [field.at(unit) for unit in (1, 2, 3)]
    assert before == [pytest.approx(home, abs=GRID) for home in HOMES]
    field.f[[X, Y], 0] = 12, 18
    field.play(8)
    assert (field.k[TARGET, 1:] == 0).all()
    field.play(16)
    assert [field.at(unit) for unit in (1, 2, 3)] != before
    field.f[[X, Y], 0] = 28, 4
    field.play(60)
    assert (field.k[TARGET, 1:] == -1).all()
    assert [field.at(unit) for unit in (1, 2, 3)] == [pytest.approx(home, abs=GRID) for home in HOMES]


# 7. Common way. Evidence: replays of 2c_vs_64zg; 0 of 1 273 sightings of zerglings are west of x 10.
def test_the_zerglings_of_2c_vs_64zg_all_take_the_eastern_ramp():
    smac_map = load_map("2c_vs_64zg")
    env = BattleEnv(smac_map, n_battles=4, seed=0)
    shown = env.reset()
    up = np.zeros(4)
    while not shown.done.all():
        alive, x, y = (row[:, 2:] for row in (env.units.alive > 0, env.units.x, env.units.y))
        assert x[alive].min() > 10
        up = np.maximum(up, (alive & (y > 12)).sum(axis=1))
        shown = env.step(np.where(shown.avail_actions[:, :, 1], 1, 0))
    assert (up > 30).all()  # they did go up
