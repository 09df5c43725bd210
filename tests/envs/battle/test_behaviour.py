"""Who fights whom and who walks where in the battle simulator: one test per rule."""

import numpy as np
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
    assert field.gap(0, 1) == pytest.approx(5, abs=0.01)


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


@pytest.mark.parametrize(("distance", "acquired"), [(4.9, True), (5.1, False)])
def test_idle_enemies_acquire_within_five_cells_edge_to_edge(battlefield, distance, acquired):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.ZEALOT, 20, 10)], passive=False)
    field.f[X, 1] = 10 + 0.375 + 0.5 + distance
    field.play(2)
    assert (field.k[TARGET, 1] == 0) == acquired


def test_longer_weapons_acquire_within_their_range(battlefield):
    field = battlefield([(Type.MARINE, 10, 10)], [(Type.SPINE_CRAWLER, 18.2, 10)], passive=False)
    field.play(2)  # 8.2 - .375 - .875 = 6.95 of 7 cells
    assert field.k[TARGET, 1] == 0


def test_the_closest_is_acquired(battlefield):
    field = battlefield(
        [(Type.MARINE, 10, 10), (Type.MARINE, 11, 12)], [(Type.ZEALOT, 14, 10)], passive=False
    )
    field.play(2)
    assert field.k[TARGET, 2] == 1  # 3.6 cells away, the other 4


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


def test_team_mates_call_for_help(battlefield):
    field = battlefield(
        [(Type.STALKER, 10, 10)],
        [(Type.ZEALOT, 17, 10), (Type.ZEALOT, 19, 10), (Type.ZEALOT, 30, 30)],
        passive=False,
    )
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(24)
    assert field.k[TARGET, 1:].tolist() == [0, 0, -1]


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


def test_enemies_share_the_point_of_their_order_without_overlapping(battlefield):
    enemies = [(Type.ZERGLING, 20 + i, 10 + j) for i in range(4) for j in range(3)]
    field = battlefield([(Type.MARINE, 28, 28)], enemies, passive=False, enemy_order=attack_move(5, 10))
    field.play(200)
    assert (field.units.order[0, 1:] == Order.STOP).all()
    apart = np.hypot(*(field.f[row, 1:, None] - field.f[row, None, 1:] for row in (X, Y)))
    assert apart[~np.eye(12, dtype=bool)].min() > 0.7
    assert np.hypot(field.f[X, 1:] - 5, field.f[Y, 1:] - 10).max() < 4


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


def test_the_zerglings_of_2c_vs_64zg_attack_the_colossi_as_a_group():
    env = BattleEnv(load_map("2c_vs_64zg"), seed=0)
    env.reset()
    env.step_orders(np.full((1, 2), Order.STOP))
    assert set(env.units.target[0, 2:].tolist()) == {0}  # it stands south of the other, and is nearer
    env._battles.f[0, HEALTH, 0] = 0
    for _ in range(2):
        env.step_orders(np.full((1, 2), Order.STOP))
    assert set(env.units.target[0, 2:].tolist()) == {1}


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


def test_an_enemy_medivac_heals_the_closest_injured_and_follows_its_group(battlefield):
    field = battlefield(
        [(Type.MARINE, 28, 28)],
        [(Type.MARINE, 20, 10), (Type.MARINE, 21, 10), (Type.MEDIVAC, 24, 10)],
        passive=False,
        enemy_order=attack_move(5, 10),
    )
    field.f[HEALTH, 1] = 20
    field.f[HEALTH, 2] = 30
    field.play(16)
    assert field.f[HEALTH, 2] > 30
    assert field.k[SHOT_AT, 3] in (1, 2)
    field.play(200)
    assert field.f[HEALTH, 1:3].tolist() == [45, 45]
    assert np.hypot(*np.subtract(field.at(3), field.at(2))) < 3
    assert field.at(1)[0] < 8


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
