"""How shields and health come back: regeneration, medivacs. Numbers worked out by hand."""

import pytest

from envs.battle.fields import ENERGY, HEALTH, SHIELD, Order
from envs.smac.units import UnitType as Type
from tests.envs.battle.support.attacks import attack, first_hit

FAR = (Type.ZEALOT, 30.0, 30.0)


def test_shields_regenerate_2_per_second_from_10_seconds_after_the_last_damage(battlefield):
    field = attack(battlefield, Type.MARINE, Type.ZEALOT, distance=3)
    first_hit(field)
    field.order(0, Order.MOVE, x=2, y=2)
    field.play(160)
    assert field.f[SHIELD, 1] == pytest.approx(44)
    field.play(16)
    assert field.f[SHIELD, 1] == pytest.approx(46)
    field.play(320)
    assert field.f[SHIELD, 1] == 50


@pytest.mark.parametrize("kind", [Type.ZERGLING, Type.HYDRALISK, Type.BANELING, Type.SPINE_CRAWLER])
def test_zerg_regenerate_0_2734_health_per_second(battlefield, kind):
    field = battlefield([(kind, 10, 10)], [FAR])
    field.f[HEALTH, 0] = 10
    field.play(16)
    assert field.f[HEALTH, 0] == pytest.approx(10.2734)


def test_medivac_heals_9_health_per_second_for_a_third_of_energy_each(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MEDIVAC, 12, 10)], [FAR])
    field.f[HEALTH, 0], field.f[ENERGY, 1] = 20, 50
    field.order(1, Order.HEAL, target=0)
    field.play(16)
    assert field.f[HEALTH, 0] == pytest.approx(29)
    assert field.f[ENERGY, 1] == pytest.approx(50 + 0.5625 - 9 * 0.33)
    field.play(100)
    assert field.f[HEALTH, 0] == 45


def test_medivac_needs_five_energy_to_begin_but_spends_all(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MEDIVAC, 12, 10)], [FAR])
    field.f[HEALTH, 0] = 1
    field.f[ENERGY, 1] = 4.8
    field.order(1, Order.HEAL, target=0)
    field.play(5)  # .035 energy a loop: 4.98
    assert field.f[HEALTH, 0] == 1
    field.play(32)
    assert field.f[HEALTH, 0] == pytest.approx(1 + 32 * 9 / 16, abs=0.6)
    assert 0 <= field.f[ENERGY, 1] < 5


def test_medivac_flies_into_heal_range_of_four(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MEDIVAC, 20, 10)], [FAR])
    field.f[HEALTH, 0] = 1
    field.order(1, Order.HEAL, target=0)
    field.loops_until(lambda: field.f[HEALTH, 0] > 1)
    assert 4 - 2.75 / 16 < field.gap(0, 1) <= 4  # it flies whole loops


def test_medivac_heals_no_machines(battlefield):
    field = battlefield([(Type.MEDIVAC, 12, 10), (Type.STALKER, 10, 10)], [FAR])
    field.f[HEALTH, 1] = 20
    field.order(0, Order.HEAL, target=1)
    field.play(16)
    assert field.f[HEALTH, 1] == 20
