"""Turning, damage points, periods, lances' numbers and medivacs as the real game has them.

Numbers are worked out by hand; the evidence stands with each test. "Recordings" are a thousand battles of 3m
recorded in the real game, "game data" its multiplayer tables of version 4.10.0.75689.
"""

import math

import pytest

from envs.battle.fields import (
    COOLDOWN,
    ENERGY,
    HEALTH,
    PHASE,
    SCAN_LOOP,
    SPEED,
    TARGET,
    WINDING_UP,
    Order,
    X,
    Y,
)
from envs.smac.maps import EnemyOrder
from envs.smac.units import UnitType as Type
from tests.envs.battle.support.attacks import attack

MEDIVAC, MARINE, MARAUDER = 1, 2, 3  # columns; column 0 is an agent far away


def behind(battlefield, kind, degrees):
    """An attack on a zealot 3 cells away, `degrees` to the left of where the attacker's weapon points."""
    field = attack(battlefield, kind, Type.ZEALOT, distance=3)
    away = field.f[X, 1] - 10
    field.f[X, 1] = 10 + away * math.cos(math.radians(degrees))
    field.f[Y, 1] = 10 + away * math.sin(math.radians(degrees))
    return field


def begins(field):
    """The loop in which the attack begins."""
    return field.loops_until(lambda: field.k[PHASE, 0] == WINDING_UP, at_most=60)


@pytest.mark.parametrize(
    ("kind", "degrees", "loops"),
    [
        (Type.MARINE, 0, 1),
        (Type.MARINE, 73.7, 1),  # 999.84 / 16 = 62.49 a loop, and it fires within 11.25
        (Type.MARINE, -73.7, 1),
        (Type.MARINE, 73.8, 2),
        (Type.MARINE, 136.2, 2),
        (Type.MARINE, 136.3, 3),
        (Type.MARINE, 180, 3),
        (Type.HYDRALISK, 73.8, 2),
        (Type.COLOSSUS, 118.7, 1),  # within 56.25
        (Type.COLOSSUS, -118.8, 2),
        (Type.COLOSSUS, 180, 2),
        (Type.SPINE_CRAWLER, 33.7, 1),  # 360 / 16 = 22.5 a loop
        (Type.SPINE_CRAWLER, 33.8, 2),
        (Type.SPINE_CRAWLER, -123.7, 5),
        (Type.SPINE_CRAWLER, -123.8, 6),
    ],
)
def test_a_weapon_turns_before_it_fires(battlefield, kind, degrees, loops):
    """Recordings: marines that turn back lose one loop exactly from 73.7 degrees on."""
    assert begins(behind(battlefield, kind, degrees)) == loops


def test_a_weapon_turns_while_it_cools_down(battlefield):
    field = behind(battlefield, Type.MARINE, 180)
    field.f[COOLDOWN, 0] = 5
    assert begins(field) == 5


def test_walking_turns_at_once_and_turns_the_weapon(battlefield):
    """Recordings: walks that are reversed lose nothing."""
    for target_x, loops in ((7, 1), (13, 3)):
        field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, target_x, 10)])
        field.order(0, Order.MOVE, x=20, y=10)
        field.play()
        field.order(0, Order.MOVE, x=2, y=10)
        field.play()
        assert field.at(0)[0] == 10  # a loop's walk there, and the same back
        field.order(0, Order.ATTACK_UNIT, target=1)
        assert begins(field) == loops


@pytest.mark.parametrize(("cooldown", "fires"), [(7.0, True), (6.1, True), (7.1, False), (7.9, False)])
def test_a_marine_fires_within_the_step_when_its_cooldown_is_seven_loops_at_most(
    battlefield, cooldown, fires
):
    """Recordings: 892 of 892. It is ready after 7 loops, and its damage point takes one, .8 as it is."""
    field = attack(battlefield, Type.MARINE, Type.ZEALOT, distance=3)
    field.f[COOLDOWN, 0] = cooldown
    field.play(7)
    assert field.life(1) == 150
    field.play(1)
    assert field.life(1) == (144 if fires else 150)


def test_what_loops_overshoot_is_taken_from_the_next_cooldown(battlefield):
    """Recordings: the next cooldown falls by as much as the one before ended early in its loop."""

    def next_cooldown(cooldown):
        field = attack(battlefield, Type.MARINE, Type.ZEALOT, distance=3)  # the same seed: the same jitter
        field.f[COOLDOWN, 0] = cooldown
        field.play(8)
        return field.f[COOLDOWN, 0]

    on_time = next_cooldown(7.0)
    # .8608 s = 13.7728 loops, -1 to +2, less the .2 by which one loop is longer than the damage point
    assert 13.7728 - 0.8 - 0.2 - 1 <= on_time <= 13.7728 - 0.8 - 0.2 + 2
    for cooldown in (6.75, 6.5, 6.125):
        assert on_time - next_cooldown(cooldown) == pytest.approx(7.0 - cooldown)


@pytest.mark.parametrize("enemies_order", ["none", "attack_move"])
def test_agents_medivacs_are_faster_than_the_enemies(battlefield, enemies_order):
    """Game data: the maps' medivac flies 2.75 at 2.3125, the game's own 2.5 at 2.25."""
    order = EnemyOrder(enemies_order, ((4.0, 24.5),) if enemies_order == "attack_move" else ())
    field = battlefield(
        [(Type.MEDIVAC, 28, 10)],
        [(Type.MEDIVAC, 28, 20), (Type.ZERGLING, 28, 29)],
        enemy_order=order,
    )
    medivac, speed, acceleration, begun = (
        (0, 2.75, 2.3125, 0) if enemies_order == "none" else (1, 2.5, 2.25, 1)
    )
    field.order(0, Order.MOVE, x=4, y=10)
    field.play(10)
    assert field.f[SPEED, medivac] == pytest.approx((10 + begun) * acceleration / 16**2)
    field.play(30)
    before = field.at(medivac)[0]
    field.play(16)
    assert before - field.at(medivac)[0] == pytest.approx(speed, abs=0.01)


def wounded(battlefield, marine, marauder, *, marine_at=(20, 12), marauder_at=(20, 8), seed=0):
    """An idle enemy medivac at (20, 10), a marine and a marauder of its team with so much health left."""
    field = battlefield(
        [(Type.ZEALOT, 3, 28)],
        [(Type.MEDIVAC, 20, 10), (Type.MARINE, *marine_at), (Type.MARAUDER, *marauder_at)],
        passive=False,
        seed=seed,
    )
    field.k[TARGET, MEDIVAC] = -1
    field.f[HEALTH, MARINE], field.f[HEALTH, MARAUDER], field.f[ENERGY, MEDIVAC] = marine, marauder, 200
    return field


def test_a_medivac_looks_for_patients_in_one_loop_of_eight(battlefield):
    """Replays of MMM2: a scan in every loop would return 1.53 a battle, this returns 1.77, the game 1.8."""
    began = {}
    for seed in range(24):
        field = wounded(battlefield, 20, 125, seed=seed)
        field.loops_until(lambda field=field: field.f[HEALTH, MARINE] > 20)
        loop = field.env._battles.loops[0] - 1
        assert loop % 8 == field.k[SCAN_LOOP, MEDIVAC] % 8
        assert (field.k[SCAN_LOOP] == field.k[SCAN_LOOP, 0]).all()  # all units of a battle scan together
        began[loop] = began.get(loop, 0) + 1
    assert set(began) <= set(range(8))
    assert len(began) >= 5  # drawn per battle


@pytest.mark.parametrize(
    ("marine", "marauder", "patient"),
    [
        (30, 100, MARINE),  # 67 % and 80 %, though the marauder lacks 25 and the marine 15
        (40, 100, MARAUDER),  # 89 %
        (45, 124, MARAUDER),
        (44, 125, MARINE),
    ],
)
def test_a_medivac_takes_the_most_injured_by_share_of_life(battlefield, marine, marauder, patient):
    """Game data: it sorts by TSLifeFraction, then TSDistance."""
    field = wounded(battlefield, marine, marauder)
    field.loops_until(lambda: field.k[TARGET, MEDIVAC] >= 0, at_most=8)
    assert field.k[TARGET, MEDIVAC] == patient


@pytest.mark.parametrize(("marauder_y", "patient"), [(7.8, MARINE), (7.9, MARAUDER)])
def test_a_medivac_takes_the_closer_of_the_equally_injured(battlefield, marauder_y, patient):
    # edge to edge: the marine is 2 - .75 - .375 = .875 away, the marauder 2.2 - .75 - .5625 = .8875, or .7875
    field = wounded(battlefield, 9, 25, marauder_at=(20, marauder_y))
    field.loops_until(lambda: field.k[TARGET, MEDIVAC] >= 0, at_most=8)
    assert field.k[TARGET, MEDIVAC] == patient


def test_a_medivac_heals_one_unit_until_it_is_whole(battlefield):
    field = wounded(battlefield, 30, 125)
    field.loops_until(lambda: field.f[HEALTH, MARINE] > 30, at_most=8)
    field.f[HEALTH, MARAUDER] = 10
    whole = field.loops_until(lambda: field.f[HEALTH, MARAUDER] > 10, at_most=60)
    assert field.f[HEALTH, MARINE] == 45
    assert math.ceil(15 / (9 / 16)) - 1 <= whole <= math.ceil(15 / (9 / 16)) + 8  # 27 loops, and a scan


@pytest.mark.parametrize(("gap", "heals"), [(5.9, True), (6.1, False)])
def test_a_medivac_finds_patients_within_six_cells(battlefield, gap, heals):
    """Game data: the autocast range is 6, edge to edge; it flies to within 4."""
    field = wounded(battlefield, 20, 125, marine_at=(20, 10 + 0.75 + 0.375 + gap))
    field.play(60)
    assert (field.f[HEALTH, MARINE] > 20) == heals
    assert (field.at(MEDIVAC) == (20, 10)) != heals


def test_an_enemy_medivac_flies_to_its_own_place_of_the_formation(battlefield):
    """Replays of MMM2: x is 18.09 at step 5, as it would be for the place; it does not follow the others."""
    field = battlefield(
        [(Type.ZEALOT, 28, 28)],
        [(Type.MEDIVAC, 20, 14), (Type.MARINE, 20, 10)],
        enemy_order=EnemyOrder("attack_move", ((10.0, 10.0),)),
    )
    field.play(140)
    # the centre of (20, 14) and (20, 10) goes to (10, 10)
    assert field.at(1) == pytest.approx((10, 12), abs=0.01)
    assert field.at(2) == pytest.approx((10, 8), abs=0.01)
