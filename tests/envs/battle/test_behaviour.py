"""Who fights whom and who walks where in the battle simulator: one test per rule."""

import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import ALIVE, COOLDOWN, HEALTH, SHOT_AT, TARGET, Order, X, Y
from envs.smac.maps import EnemyOrder, load_map
from envs.smac.units import UnitType as Type


def attack_move(x, y):
    return EnemyOrder("attack_move", ((x, y),))


def test_agents_never_act_unordered(battlefield):
    field = battlefield(
        [(Type.MARINE, 10, 10), (Type.MARINE, 20, 10)], [(Type.ZEALOT, 11, 10)], passive=False
    )
    field.play(24)
    assert field.k[TARGET, :2].tolist() == [-1, -1]
    assert field.life(2) == 150
    assert field.life(0) < 45  # though it is being attacked


def test_an_agent_attacks_one_target_until_it_is_dead_and_then_idles(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZERGLING, 13, 10), (Type.ZERGLING, 13, 11)])
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.loops_until(lambda: field.k[ALIVE, 1] == 0)
    field.play(40)
    assert field.life(2) == 35
    assert field.units.order[0, 0] == Order.STOP


def test_an_attack_order_out_of_range_walks_into_range(battlefield):
    field = battlefield([(Type.MARINE, 5, 10)], [(Type.ZEALOT, 20, 10)])
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.loops_until(lambda: field.f[COOLDOWN, 0] > 0)
    assert field.gap(0, 1) == 14.125 - 65 * 2.25 / 16  # the first of its loops that ends within 5


def test_stop_ends_an_attack(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, 13, 10)])
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(2)
    field.order(0, Order.STOP)
    field.play(60)
    assert field.life(1) == 144


def test_hold_stands_and_fires_only_when_the_unit_acquires_by_itself(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, 13, 10)])
    field.order(0, Order.HOLD)
    field.play(20)
    assert field.life(1) == 150


def test_attack_move_fights_on_the_way_and_goes_on(battlefield):
    field = battlefield([(Type.MARINE, 5, 10)], [(Type.ZERGLING, 15, 10), (Type.ZERGLING, 30, 30)])
    field.order(0, Order.ATTACK_MOVE, x=25, y=10)
    field.loops_until(lambda: field.k[ALIVE, 1] == 0)
    assert field.at(0)[0] < 10.5  # it stopped to shoot from a range of 5
    field.loops_until(lambda: field.units.order[0, 0] == Order.STOP)
    assert field.at(0) == pytest.approx((25, 10))


def test_who_attacks_the_unit_is_acquired_before_who_is_closer(battlefield):
    field = battlefield(
        [(Type.MARINE, 10, 10), (Type.MARINE, 11, 12)], [(Type.ZEALOT, 14, 10)], passive=False
    )
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(2)
    assert field.k[TARGET, 2] == 0


def test_a_target_is_kept_while_it_is_in_weapon_range(battlefield):
    field = battlefield(
        [(Type.MARINE, 10, 10), (Type.MARINE, 10, 20)], [(Type.MARINE, 14, 10)], passive=False
    )
    field.play(4)
    assert field.k[TARGET, 2] == 0
    field.f[X, 1], field.f[Y, 1] = 13, 10.5  # closer, but the first is still in range
    field.play(20)
    assert field.k[TARGET, 2] == 0
    field.f[X, 0] = 5
    field.play(20)
    assert field.k[TARGET, 2] == 1


def test_an_attacker_beyond_the_acquisition_range_is_answered(battlefield):
    field = battlefield([(Type.STALKER, 10, 10)], [(Type.ZEALOT, 17, 10)], passive=False)
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.loops_until(lambda: field.k[TARGET, 1] == 0)
    assert field.gap(0, 1) > 5


def test_enemies_attack_move_to_the_maps_point_and_keep_scanning_there(battlefield):
    field = battlefield(
        [(Type.MARINE, 28, 28)], [(Type.ZERGLING, 20, 10)], passive=False, enemy_order=attack_move(5, 10)
    )
    field.play(15 * 6)
    assert field.at(1) == pytest.approx((5, 10))
    field.f[X, 0], field.f[Y, 0] = 8, 10
    field.play(40)
    assert field.life(0) < 45


def test_enemies_on_attack_move_do_not_chase_what_they_never_met(battlefield):
    field = battlefield(
        [(Type.MARINE, 15, 20)], [(Type.ZERGLING, 20, 10)], passive=False, enemy_order=attack_move(5, 10)
    )
    field.play(90)
    assert field.life(0) == 45


def test_a_crowd_of_enemies_comes_to_the_point_of_its_order_in_its_formation(battlefield):
    places = [(i, j) for i in range(4) for j in range(3)]
    enemies = [(Type.ZERGLING, 20 + i, 10 + j) for i, j in places]
    field = battlefield([(Type.MARINE, 28, 28)], enemies, passive=False, enemy_order=attack_move(5, 10))
    field.play(100)  # 16.5 cells at 2.9531 cells/s: 90 loops
    assert field.f[X, 1:].tolist() == [5 + i - 1.5 for i, _ in places]
    assert field.f[Y, 1:].tolist() == [10 + j - 1 for _, j in places]


def test_no_order_on_2s_vs_1sc_and_the_crawler_stands(battlefield):
    env = BattleEnv(load_map("2s_vs_1sc"), seed=0)
    env.reset()
    assert env.units.order[0, 2] == Order.STOP


def test_the_zealot_of_2m_vs_1z_goes_to_a_point_between_the_marines():
    env = BattleEnv(load_map("2m_vs_1z"), n_battles=64, seed=0)
    env.reset()
    assert (env.units.order[:, 2] == Order.ATTACK_MOVE).all()
    x, y = env.units.order_x[:, 2], env.units.order_y[:, 2]
    assert (y == 12).all()
    assert 13 <= x.min() < 14.5
    assert 17.5 < x.max() <= 19


def test_an_order_that_a_unit_cannot_carry_out_leaves_the_one_it_has(battlefield):
    field = battlefield([(Type.MARAUDER, 10, 10)], [(Type.MEDIVAC, 13, 10), (Type.MARINE, 13, 12)])
    field.order(0, Order.ATTACK_UNIT, target=2)
    field.play(2)
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(2)
    assert field.units.order_target[0, 0] == 2
    field.order(0, Order.HEAL, target=0)
    field.play(2)
    assert field.units.order_target[0, 0] == 2


def test_an_enemy_medivac_heals_on_its_way_and_flies_to_its_own_place(battlefield):
    field = battlefield(
        [(Type.MARINE, 28, 28)],
        [(Type.MARINE, 20, 10), (Type.MARINE, 21, 10), (Type.MEDIVAC, 24, 10)],
        passive=False,
        enemy_order=attack_move(5, 10),
    )
    field.f[HEALTH, 1] = 20
    field.f[HEALTH, 2] = 30
    field.loops_until(lambda: field.k[SHOT_AT, 3] >= 0)
    assert field.k[SHOT_AT, 3] == 1  # the one with the smallest share of its life
    field.loops_until(lambda: field.f[HEALTH, 1] == 45)
    field.play(200)
    assert field.f[HEALTH, 1:3].tolist() == [45, 45]
    homes = [5 + x - 65 / 3 for x in (20, 21, 24)]
    assert field.f[X, 1:].tolist() == pytest.approx(homes, abs=1 / 4096)
    assert field.f[Y, 1:].tolist() == [10, 10, 10]


def test_agents_medivac_heals_nobody_unordered(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MEDIVAC, 12, 10)], [(Type.ZEALOT, 30, 30)])
    field.f[HEALTH, 0] = 20
    field.play(16)
    assert field.f[HEALTH, 0] == 20


def test_stop_stop_and_keep(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, 30, 30)])
    field.order(0, Order.MOVE, x=20, y=10)
    field.play(4)
    field.play(4)  # KEEP: it walks on
    assert field.at(0)[0] == pytest.approx(11.125)
    field.order(0, Order.STOP)
    field.play(4)
    assert field.at(0)[0] == pytest.approx(11.125)
