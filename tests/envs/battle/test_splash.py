"""Lances and bursts: whom they reach, and when. Numbers worked out by hand."""

import pytest

from envs.battle.fields import ALIVE, COOLDOWN, HEALTH, Order, X, Y
from envs.smac.units import UnitType as Type
from tests.envs.battle.support.attacks import attack

SHOT_LOOP = 3
"""In which a colossus shoots that begins in the first: its damage point takes .0832 s = 1.33 loops."""


def sweep(battlefield, *offsets):
    """A colossus fires at the marine at (16, 10) from the west; others stand `offsets` from that one."""
    places = [(16 + dx, 10 + dy) for dx, dy in ((0, 0), *offsets)]
    spawns = [(Type.MARINE, 16, 4 + 2 * n) for n in range(len(places))]
    field = battlefield([(Type.COLOSSUS, 10, 10), (Type.ZEALOT, 4, 28)], spawns)
    field.f[HEALTH, 2:] = 200  # nobody dies
    field.order(0, Order.ATTACK_UNIT, target=2)

    def play(loops):
        """Play loops with the marines held in place; what each has lost so far."""
        for _ in range(loops):
            field.f[X, 2:], field.f[Y, 2:] = zip(*places, strict=True)
            field.play()
        return (200 - field.f[HEALTH, 2:]).tolist()

    return field, play


def test_colossus_sweeps_two_lances_across_the_target(battlefield):
    # 11 points, a quarter of a cell apart, on a line of 1.25 to either side, across the direction of fire;
    # each reaches .15 + .75 of .375 = .43125. (.42, .625) is .438 from the closest points.
    _, play = sweep(
        battlefield, (0, 1.25), (0, -1.68), (0, 1.69), (0.43, 0), (0.44, -0.5), (0.35, 0.625), (0.42, 0.625)
    )
    assert play(SHOT_LOOP + 8) == [30, 30, 30, 0, 30, 0, 30, 0]
    assert play(8) == [30, 30, 30, 0, 30, 0, 30, 0]


def test_lances_run_in_opposite_directions_and_burn_a_quarter_second_later(battlefield):
    """Points follow in .0227 s = .36 loops: 2, 3, 3 and 3 of the eleven in the loops after the shot."""
    field, play = sweep(battlefield, (0, 1.25))
    assert play(SHOT_LOOP + 4) == [0, 0]
    assert field.f[COOLDOWN, 0] > 0
    assert play(1) == [0, 15]  # the second lance began there, at point 0
    assert play(1) == [30, 15]  # both come within .43 cells of the middle at point 4, in the second loop
    assert play(1) == [30, 15]
    assert play(1) == [30, 30]  # the first lance arrives there at point 9, in the fourth loop


def test_lances_run_on_and_burn_whatever_the_colossus_does(battlefield):
    field, play = sweep(battlefield, (0, 1.25))
    play(SHOT_LOOP)
    field.order(0, Order.MOVE, x=4, y=10)
    assert play(8) == [30, 30]
    assert field.at(0)[0] < 9.5


def test_a_dead_colossus_touches_nobody_more_but_what_it_touched_burns(battlefield):
    field, play = sweep(battlefield, (0, 1.25))
    play(SHOT_LOOP + 1)
    field.f[HEALTH, 0] = 0
    play(1)  # it dies at the end of the second loop after the shot
    assert field.k[ALIVE, 0] == 0
    assert play(12) == [30, 15]


def test_lances_stay_where_the_target_was_when_it_was_shot_at(battlefield):
    field = attack(battlefield, Type.COLOSSUS, Type.ZERGLING, distance=5)
    field.play(SHOT_LOOP)
    field.f[X, 1] += 0.5  # out of reach, .43125
    field.play(10)
    assert field.life(1) == 35


def test_lances_spare_ones_own(battlefield):
    field = battlefield([(Type.COLOSSUS, 10, 10), (Type.ZEALOT, 15, 10.8)], [(Type.MARAUDER, 15, 10)])
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(24)
    assert field.life(1) == 150
    assert field.life(2) == 125 - 2 * (10 - 1)


def test_baneling_bursts_on_contact_and_spares_its_own(battlefield):
    field = battlefield(
        [(Type.BANELING, 10, 10), (Type.ZERGLING, 9, 10)],
        [(Type.MARINE, 11, 10), (Type.MARINE, 10, 12.47), (Type.MARINE, 10, 7.51), (Type.MEDIVAC, 10, 10.5)],
    )
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(2)
    assert field.k[ALIVE].tolist() == [0, 1, 1, 1, 1, 1]
    assert [field.life(u) for u in range(1, 6)] == [35, 10, 10, 45, 150]  # 2.2 + .75 of .375 reaches 2.48


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
