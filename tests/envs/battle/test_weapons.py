"""Weapons, damage and death in the battle simulator: one test per rule, numbers worked out by hand."""

import math

import numpy as np
import pytest

from envs.battle.fields import ALIVE, BACKSWING, COOLDOWN, HEALTH, HEALTH_MAX, SHIELD, SHIELD_WAIT, Order, X
from envs.smac.units import UnitType as Type
from tests.envs.battle.support.attacks import attack, first_hit


def test_shields_have_no_armor_and_absorb_first(battlefield):
    assert first_hit(attack(battlefield, Type.MARINE, Type.STALKER, distance=3)) == (6, 0)


def test_armor_is_taken_from_what_reaches_health(battlefield):
    field = attack(battlefield, Type.MARINE, Type.STALKER, distance=3)
    field.f[SHIELD, 1] = 2
    field.f[SHIELD_WAIT, 1] = 160
    assert first_hit(field) == pytest.approx((2, 6 - 2 - 1))


def test_the_least_damage_to_health_is_half_a_point(battlefield):
    field = attack(battlefield, Type.MARINE, Type.STALKER, distance=3)
    field.f[SHIELD, 1] = 5.8
    field.f[SHIELD_WAIT, 1] = 160
    assert first_hit(field) == pytest.approx((5.8, 0.5))


@pytest.mark.parametrize(
    ("attacker", "victim", "damage"),
    [
        (Type.MARINE, Type.MARINE, 6),
        (Type.MARINE, Type.MARAUDER, 6 - 1),
        (Type.MARAUDER, Type.MARINE, 10),
        (Type.MARAUDER, Type.MARAUDER, 20 - 1),
        (Type.STALKER, Type.ZERGLING, 13),
        (Type.STALKER, Type.SPINE_CRAWLER, 18 - 2),
        (Type.SPINE_CRAWLER, Type.STALKER, 30),
        (Type.SPINE_CRAWLER, Type.ZEALOT, 25),
        (Type.HYDRALISK, Type.MARAUDER, 12 - 1),
        (Type.ZEALOT, Type.MARINE, 8),
        (Type.ZERGLING, Type.ZEALOT, 5),
        (Type.ZERGLING, Type.SPINE_CRAWLER, 5 - 2),
        (Type.BANELING, Type.ZERGLING, 35),
        (Type.BANELING, Type.BANELING, 20),
        (Type.BANELING, Type.STALKER, 20),
        (Type.BANELING, Type.SPINE_CRAWLER, 80 - 2),
        (Type.COLOSSUS, Type.STALKER, 2 * 10),  # the lances meet in the middle
        (Type.COLOSSUS, Type.MARAUDER, 2 * (10 - 1)),
        (Type.COLOSSUS, Type.ZERGLING, 2 * 15),
    ],
)
def test_damage_bonus_and_armor_of_one_hit(battlefield, attacker, victim, damage):
    field = attack(battlefield, attacker, victim, distance=0.05)
    field.f[HEALTH, 1] = 1000  # so that regeneration does not blur it: health above the maximum is cut
    field.env._worlds.s[0, HEALTH_MAX, 1] = 1000
    assert sum(first_hit(field)) == pytest.approx(damage, abs=0.02)


@pytest.mark.parametrize(
    ("kind", "loops"),
    [
        (Type.MARAUDER, 1),  # damage point 0: in the first loop
        (Type.ZEALOT, 1),
        (Type.MARINE, 2),  # .05 s = .8 loops later
        (Type.COLOSSUS, 3),  # .0832 s = 1.33
        (Type.STALKER, 4),  # .167 s = 2.67
        (Type.ZERGLING, 4),
        (Type.HYDRALISK, 5),  # .208 s = 3.33
        (Type.SPINE_CRAWLER, 7),  # .3332 s = 5.33
    ],
)
def test_damage_point(battlefield, kind, loops):
    field = attack(battlefield, kind, Type.STALKER, distance=0.05)
    assert field.loops_until(lambda: field.f[COOLDOWN, 0] > 0) == loops


@pytest.mark.parametrize(
    ("kind", "distance", "loops"),
    [
        (Type.STALKER, 6, math.ceil(6 / 18.75 * 16)),  # 6
        (Type.MARAUDER, 6, math.ceil(6 / 20 * 16)),  # 5
        (Type.HYDRALISK, 5, math.ceil(5 / 40 * 16)),  # 2
        (Type.SPINE_CRAWLER, 7, 4),  # 12 t + 140 t^2 / 2 = 7: t = .242 s = 3.87 loops
        (Type.MARINE, 5, 0),
        (Type.ZEALOT, 0.1, 0),
    ],
)
def test_projectile_flies_its_distance_at_its_speed(battlefield, kind, distance, loops):
    field = attack(battlefield, kind, Type.STALKER, distance=distance - 1e-6)
    shot = field.loops_until(lambda: field.f[COOLDOWN, 0] > 0)
    landed = shot if field.life(1) < 160 else shot + field.loops_until(lambda: field.life(1) < 160)
    assert landed - shot == loops


def test_projectile_of_a_dead_attacker_still_lands(battlefield):
    field = battlefield([(Type.STALKER, 10, 10), (Type.STALKER, 2, 2)], [(Type.STALKER, 17, 10)])
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.loops_until(lambda: field.f[COOLDOWN, 0] > 0)
    field.f[HEALTH, 0] = 0
    field.play(8)
    assert field.k[ALIVE, 0] == 0
    assert field.life(2) == 160 - 18


@pytest.mark.parametrize(
    ("kind", "period"),
    [
        (Type.MARINE, 13.7728),
        (Type.ZERGLING, 11.136),
        (Type.STALKER, 29.92),  # 1.87 s, as the three below from the multiplayer data
        (Type.COLOSSUS, 24.0),
        (Type.SPINE_CRAWLER, 29.6),
        (Type.HYDRALISK, 13.2),
    ],
)
def test_period_is_the_tables_with_a_jitter_of_minus_one_to_two_loops(battlefield, kind, period):
    field = attack(battlefield, kind, Type.SPINE_CRAWLER, distance=0.05)
    times, loop, before = [], 0, 0.0
    while len(times) < 200:
        field.play()
        field.f[HEALTH, 1] = 300
        loop += 1
        if field.f[COOLDOWN, 0] > before + 1:
            times.append(loop)
        before = field.f[COOLDOWN, 0]
    gaps = np.diff(times)
    assert gaps.min() >= math.floor(period - 1)
    assert gaps.max() <= math.ceil(period + 2)
    assert gaps.mean() == pytest.approx(period + 0.5, abs=0.25)  # the mean jitter is half a loop


def test_a_marine_kills_a_passive_zealot_in_the_loops_that_the_tables_give(battlefield):
    # 8 shots of 6 leave 2 of 50 shields; the ninth takes them and 4 - 1 of health; 97 / 5 = 19.4, so 29 shots
    field = attack(battlefield, Type.MARINE, Type.ZEALOT, distance=3)
    loops = field.loops_until(lambda: field.k[ALIVE, 1] == 0)
    first, between = 2, 28
    assert first + between * (13.7728 - 1) <= loops <= first + between * (13.7728 + 2) + 1
    assert loops == pytest.approx(first + between * 14.2728, abs=4 * math.sqrt(between * 9 / 12))


def test_a_shot_whose_target_dies_during_the_damage_point_costs_nothing(battlefield):
    field = attack(battlefield, Type.HYDRALISK, Type.ZERGLING, distance=3)
    field.play(2)
    field.f[HEALTH, 1] = 0
    field.play(4)
    assert field.f[COOLDOWN, 0] == 0


def test_a_shooter_ordered_away_during_the_damage_point_does_not_shoot(battlefield):
    field = attack(battlefield, Type.HYDRALISK, Type.ZEALOT, distance=3)
    field.play(2)
    field.order(0, Order.MOVE, x=5, y=10)
    field.play(20)
    assert field.life(1) == 150
    assert field.f[COOLDOWN, 0] == 0
    assert field.at(0)[0] < 8


def test_the_same_attack_order_again_does_not_break_the_attack(battlefield):
    field = attack(battlefield, Type.HYDRALISK, Type.ZEALOT, distance=3)
    for _ in range(5):
        field.order(0, Order.ATTACK_UNIT, target=1)
        field.play()
    assert field.f[COOLDOWN, 0] > 0


@pytest.mark.parametrize(
    ("kind", "reach", "slop", "loops"),
    [
        (Type.MARINE, 5, 1, 1),
        (Type.HYDRALISK, 5, 1, 4),
        (Type.STALKER, 6, 1, 3),
        (Type.SPINE_CRAWLER, 7, 0, 6),
        (Type.COLOSSUS, 7, 0, 2),
    ],
)
def test_an_attack_begun_completes_within_the_range_slop(battlefield, kind, reach, slop, loops):
    for beyond, shoots in ((slop - 0.01, True), (slop + 0.01, False)):
        field = attack(battlefield, kind, Type.ZEALOT, distance=reach - 0.01)
        field.play(1)
        field.f[X, 1] += 0.01 + beyond
        field.play(loops)
        assert bool(field.f[COOLDOWN, 0] > 0) is shoots


def test_range_is_measured_edge_to_edge(battlefield):
    inside = attack(battlefield, Type.MARINE, Type.SPINE_CRAWLER, distance=4.999)
    inside.play(2)
    assert inside.f[COOLDOWN, 0] > 0
    outside = attack(battlefield, Type.MARINE, Type.SPINE_CRAWLER, distance=5.05)
    outside.play(1)
    assert outside.at(0)[0] == 10 + 2.25 / 16  # walks a whole loop
    assert outside.f[COOLDOWN, 0] == 0
    outside.play(2)
    assert outside.f[COOLDOWN, 0] > 0


def test_backswing_is_half_a_second_and_three_quarters_for_marines(battlefield):
    for kind, loops in ((Type.MARINE, 12), (Type.ZERGLING, 8)):
        field = attack(battlefield, kind, Type.SPINE_CRAWLER, distance=0.05)
        field.loops_until(lambda field=field: field.f[COOLDOWN, 0] > 0)
        assert field.f[BACKSWING, 0] == loops
        field.f[X, 1] += 12
        field.play(loops - 1)
        assert field.at(0) == (10, 10)
        field.play(2)
        assert field.at(0)[0] > 10
        field.order(0, Order.MOVE, x=5, y=10)  # an order breaks it off
        field.play(1)


def test_a_zealot_hits_twice_0_28_seconds_apart(battlefield):
    field = attack(battlefield, Type.ZEALOT, Type.MARINE, distance=0.05)
    field.play(1)
    assert field.life(1) == 45 - 8
    field.play(4)
    assert field.life(1) == 45 - 8
    field.play(1)  # 4.48 loops later
    assert field.life(1) == 45 - 16


def test_a_zealots_second_blow_is_lost_when_it_is_ordered_away_or_dies(battlefield):
    ordered = attack(battlefield, Type.ZEALOT, Type.MARINE, distance=0.05)
    ordered.play(1)
    ordered.order(0, Order.STOP)
    ordered.play(8)
    assert ordered.life(1) == 45 - 8
    dead = attack(battlefield, Type.ZEALOT, Type.MARINE, distance=0.05)
    dead.play(1)
    dead.f[HEALTH, 0] = 0
    dead.play(8)
    assert dead.life(1) == 45 - 8


def test_death_ends_a_units_orders_and_leaves_no_trace(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.MARINE, 12, 10), (Type.MARINE, 25, 25)])
    field.f[HEALTH, 1] = 5
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(8)
    assert field.k[ALIVE, 1] == 0
    assert field.life(1) == 0
    assert field.units.order[0, 0] == Order.STOP
    assert field.units.target[0, 0] == -1


@pytest.mark.parametrize(
    "kind", [Type.MARAUDER, Type.ZEALOT, Type.COLOSSUS, Type.ZERGLING, Type.BANELING, Type.SPINE_CRAWLER]
)
def test_no_weapon_for_air(battlefield, kind):
    field = attack(battlefield, kind, Type.MEDIVAC, distance=0.05)
    field.play(20)
    assert field.life(1) == 150
    assert field.units.order[0, 0] == Order.STOP


@pytest.mark.parametrize("kind", [Type.MARINE, Type.STALKER, Type.HYDRALISK])
def test_these_shoot_air(battlefield, kind):
    assert sum(first_hit(attack(battlefield, kind, Type.MEDIVAC, distance=3))) > 4
