"""Lances and bursts: whom they reach, and when. Numbers worked out by hand."""

import pytest

from envs.battle.fields import ALIVE, COOLDOWN, HEALTH, Order, X, Y
from envs.smac.units import UnitType as Type
from tests.envs.battle.support.attacks import attack


def test_colossus_sweeps_two_lances_across_the_target(battlefield):
    # 11 points on a line of ±1.25 across the direction of fire, each reaches .15 + a quarter of .375 = .244
    victims = [(0.0, 0.0), (0.0, 1.25), (0.0, -1.48), (0.0, 1.51), (0.2, 0.6), (0.3, -0.6)]
    field = battlefield(
        [(Type.COLOSSUS, 10, 10)], [(Type.MARINE, 16, 10 + 2 * i) for i in range(len(victims))]
    )
    for u, (dx, dy) in enumerate(victims, start=1):
        field.f[X, u], field.f[Y, u] = 16 + dx, 10 + dy
    field.f[HEALTH, 1:] = 200
    field.order(0, Order.ATTACK_UNIT, target=1)
    for _ in range(3 + 4 + 6):  # damage point 1.33 loops, delay 4, 11 points of half a loop
        field.f[X, 1:] = [16 + dx for dx, _ in victims]  # held in place
        field.f[Y, 1:] = [10 + dy for _, dy in victims]
        field.play()
    assert (200 - field.f[HEALTH, 1:]).tolist() == [40, 40, 40, 0, 40, 0]


def test_colossus_sweep_takes_time_and_ends_when_it_is_ordered_away(battlefield):
    field = attack(battlefield, Type.COLOSSUS, Type.MARAUDER, distance=5)
    field.play(3 + 3)
    assert field.life(1) == 125  # within the delay of .25 s
    field.order(0, Order.STOP)
    field.play(16)
    assert field.life(1) == 125
    assert field.f[COOLDOWN, 0] > 0


def test_lances_spare_ones_own(battlefield):
    field = battlefield([(Type.COLOSSUS, 10, 10), (Type.ZEALOT, 15, 10.8)], [(Type.MARAUDER, 15, 10)])
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(24)
    assert field.life(1) == 150
    assert field.life(2) == 125 - 2 * (20 - 1)


def test_baneling_bursts_on_contact_and_spares_its_own(battlefield):
    field = battlefield(
        [(Type.BANELING, 10, 10), (Type.ZERGLING, 9, 10)],
        [(Type.MARINE, 11, 10), (Type.MARINE, 12.2, 10), (Type.MARINE, 12.4, 11), (Type.MEDIVAC, 10, 10.5)],
    )
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(2)
    assert field.k[ALIVE].tolist() == [0, 1, 1, 1, 1, 1]
    assert [field.life(u) for u in range(1, 6)] == [
        35,
        10,
        10,
        45,
        150,
    ]  # 2.2 + a quarter of .375 reaches 2.29


def test_baneling_bursts_when_it_is_killed_and_may_set_off_others(battlefield):
    field = battlefield(
        [(Type.BANELING, 10, 10), (Type.BANELING, 11, 10)],
        [(Type.BANELING, 10, 11), (Type.MARINE, 10, 12), (Type.STALKER, 25, 25)],
    )
    field.f[HEALTH, 0] = 0
    field.f[HEALTH, 2] = 15
    field.play(1)
    # the first kills the enemy's baneling, which bursts in turn and takes 20 of the second
    assert field.k[ALIVE].tolist() == [0, 1, 0, 1, 1]
    assert field.life(1) == pytest.approx(10)
    assert field.life(3) == 45 - 35
