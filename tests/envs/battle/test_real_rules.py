"""Whom enemies fight in the real game, and until when: one test per rule, each with its evidence.

Distances are from edge to edge where nothing else is said: centres are that and both radii apart (marine
.375, zealot .5, stalker .625).
"""

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import ALIVE, HEALTH, HIT_AGO, LAST_ATTACKER, SCAN_LOOP, TARGET, Order, X, Y
from envs.smac.maps import EnemyOrder, load_map
from envs.smac.units import UnitType as Type

SEEDS = range(40)


def put(field, unit, other, gap, angle=0.0):
    """Put a unit `gap` cells from another one, edge to edge."""
    apart = gap + field.units.radius[0, unit] + field.units.radius[0, other]
    x, y = field.at(other)
    field.f[X, unit], field.f[Y, unit] = x + apart * np.cos(angle), y + apart * np.sin(angle)


def scan_in(field, loops):
    """Set the phase so that units look for targets in the loop after `loops` more."""
    field.k[SCAN_LOOP] = (int(field.env._battles.loops[0]) + loops) % 8


# 7. Group orders. Evidence: replays of 2c_vs_64zg.
def test_the_units_of_a_group_share_out_the_agents_and_later_take_the_closest():
    env = BattleEnv(load_map("2c_vs_64zg"), seed=0)
    env.reset()
    assert env.units.target[0, 2:].tolist() == [0, 1] * 32  # unit i takes agent i mod 2
    env._battles.f[0, HEALTH, 0] = 0
    for _ in range(2):
        env.step_orders(np.full((1, 2), Order.STOP))
    assert set(env.units.target[0, 2:].tolist()) == {1}


# 8. Scan. Evidence: recordings; from "within 5.5 cells" to "turns to it" 0 to 7 loops pass, equally often.
def test_all_units_of_a_battle_look_for_targets_in_the_same_loop_of_every_eight(battlefield):
    marines = [(Type.MARINE, 5, 5 + 6 * row) for row in range(4)]
    zealots = [(Type.ZEALOT, 9, 5 + 6 * row) for row in range(4)]  # 4 - .875 cells away, within 5
    seen = []
    for seed in SEEDS:
        field = battlefield(marines, zealots, passive=False, seed=seed)
        field.k[TARGET] = -1
        loops = field.loops_until(lambda: (field.k[TARGET, 4:] >= 0).any())  # noqa: B023
        assert field.k[TARGET, 4:].tolist() == [0, 1, 2, 3]
        seen.append(loops)
    assert set(seen) == set(range(1, 9))


def test_the_scans_phase_is_drawn_per_battle_from_0_to_7_equally():
    env = BattleEnv(load_map("3m"), n_battles=800, seed=0)
    env.reset()
    phases = env._battles.k[:, SCAN_LOOP]
    assert (phases == phases[:, :1]).all()
    counts = np.bincount(phases[:, 0], minlength=8)
    assert len(counts) == 8
    assert np.abs(counts - 100).max() < 4 * np.sqrt(800 / 8 * 7 / 8)  # four standard errors


@pytest.mark.parametrize("offset", [3, 11, 19])
def test_between_two_scans_nobody_is_found(battlefield, offset):
    field = battlefield([(Type.MARINE, 5, 5)], [(Type.ZEALOT, 20, 20)], passive=False)
    field.play(offset)
    scan_in(field, 0)
    field.play(1)
    put(field, 0, 1, 4.0)
    for loop in range(1, 9):
        field.play(1)
        assert (field.k[TARGET, 1] == 0) == (loop == 8)


@pytest.mark.parametrize(
    ("kind", "cells"),
    [
        (Type.MARINE, 5.5),
        (Type.HYDRALISK, 5.5),
        (Type.STALKER, 6.5),
        (Type.MARAUDER, 6.5),
        (Type.COLOSSUS, 7.5),
        (Type.SPINE_CRAWLER, 7.0),
        (Type.ZEALOT, 5.0),
        (Type.ZERGLING, 5.0),
        (Type.BANELING, 5.0),
    ],
)
def test_each_type_finds_targets_within_its_own_distance(battlefield, kind, cells):
    """Evidence: the game data's scan ranges; recorded marines turn at 5.5."""
    for gap in (cells - 0.01, cells + 0.01):
        field = battlefield([(Type.MARINE, 28, 28)], [(kind, 10, 10)], passive=False)
        put(field, 0, 1, gap)
        field.play(9)
        assert (field.k[TARGET, 1] == 0) == (gap < cells)


def test_the_closest_from_edge_to_edge_is_found(battlefield):
    field = battlefield([(Type.MARINE, 5, 5), (Type.STALKER, 5, 5)], [(Type.ZEALOT, 15, 15)], passive=False)
    put(field, 1, 2, 3.9)  # its centre is 5.025 away,
    put(field, 0, 2, 4.0, np.pi / 2)  # the marine's 4.875
    field.play(9)
    assert field.k[TARGET, 2] == 1


@pytest.mark.parametrize("scan", range(8))
def test_after_its_target_died_a_unit_takes_the_next_at_once(battlefield, scan):
    field = battlefield(
        [(Type.MARINE, 10, 10), (Type.MARINE, 10, 12)], [(Type.MARINE, 14, 10)], passive=False
    )
    field.play(8)
    assert field.k[TARGET, 2] == 0
    scan_in(field, scan)
    field.f[HEALTH, 0] = 0
    field.play(1)  # buried at the end of this loop
    assert field.k[ALIVE, 0] == 0
    field.play(1)
    assert field.k[TARGET, 2] == 1


def test_a_target_that_left_weapon_range_is_replaced_by_the_closest_at_the_next_scan(battlefield):
    field = battlefield([(Type.MARINE, 10, 10), (Type.MARINE, 3, 3)], [(Type.MARINE, 14, 10)], passive=False)
    field.play(8)
    put(field, 1, 2, 3.0)  # closer than the first at 3.25, which is in range: kept
    field.play(16)
    assert field.k[TARGET, 2] == 0
    scan_in(field, 4)
    put(field, 0, 2, 5.3, np.pi)  # out of the weapon's 5 cells
    for loop in range(1, 6):
        field.play(1)
        assert (field.k[TARGET, 2] == 1) == (loop == 5)


# 9. Answer. Evidence: recordings of 3m; who hits whom correlates with .626 (never switching .52, always .58).
def test_a_unit_without_a_target_turns_on_its_attacker_in_the_loop_of_the_hit(battlefield):
    field = battlefield([(Type.MARINE, 5, 5)], [(Type.ZEALOT, 20, 20)], passive=False)
    put(field, 0, 1, 4.9)
    scan_in(field, 7)  # the hit comes earlier
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.play(1)
    assert field.k[TARGET, 1] == -1
    field.loops_until(lambda: field.life(1) < 150, at_most=5)
    assert field.k[TARGET, 1] == 0


@pytest.mark.parametrize(
    ("aims", "kind", "gap", "switches"),
    [
        (False, Type.MARINE, 4.5, True),
        (True, Type.MARINE, 4.5, False),  # its target fights it: it goes on
        (False, Type.STALKER, 5.5, False),  # the attacker stands beyond its weapon's 5 cells
    ],
)
def test_a_unit_switches_to_an_attacker_in_range_unless_its_target_aims_at_it(
    battlefield, aims, kind, gap, switches
):
    victim, attacker = 0, 1
    field = battlefield([(Type.MARINE, 5, 5), (kind, 5, 5)], [(Type.MARINE, 15, 15)], passive=False)
    field.f[HEALTH] = 1e6
    put(field, victim, 2, 3.0)
    put(field, attacker, 2, gap, np.pi / 2)
    field.play(8)
    assert field.k[TARGET, 2] == victim
    if aims:
        field.order(victim, Order.ATTACK_UNIT, target=2)
    field.order(attacker, Order.ATTACK_UNIT, target=2)
    field.loops_until(lambda: field.k[LAST_ATTACKER, 2] == attacker)
    field.play(2)
    assert (field.k[TARGET, 2] == attacker) == switches


@pytest.mark.parametrize(
    ("gap", "aims", "turns"), [(1.5, False, True), (0.05, False, False), (1.5, True, False)]
)
def test_a_unit_leaves_a_target_out_of_its_range_for_any_attacker(battlefield, gap, aims, turns):
    """Evidence: the real 2m_vs_1z is won, by alternating fire; without this rule no learner won it."""
    runner, shooter = 0, 1
    field = battlefield([(Type.MARINE, 5, 5), (Type.MARINE, 5, 5)], [(Type.ZEALOT, 15, 15)], passive=False)
    field.f[HEALTH] = 1e6
    put(field, runner, 2, gap)
    put(field, shooter, 2, 4.9, np.pi)
    scan_in(field, 1)
    field.play(1)
    field.k[TARGET, 2] = runner
    scan_in(field, 7)  # the hit comes earlier
    if aims:
        field.order(runner, Order.ATTACK_UNIT, target=2)
    field.order(shooter, Order.ATTACK_UNIT, target=2)
    field.loops_until(lambda: field.k[LAST_ATTACKER, 2] == shooter, at_most=5)
    field.play(1)
    assert (field.k[TARGET, 2] == shooter) == turns


@pytest.mark.parametrize(("away", "helps"), [(3.95, True), (4.05, False)])
def test_a_unit_helps_team_mates_within_four_cells_from_centre_to_centre(battlefield, away, helps):
    """Evidence: the game data, CallForHelpRadius 4."""
    field = battlefield(
        [(Type.STALKER, 5, 10)], [(Type.ZEALOT, 12, 10), (Type.ZEALOT, 12, 10 + away)], passive=False
    )  # the second one is 7 cells and more from the stalker: beyond its scan of 5
    field.order(0, Order.ATTACK_UNIT, target=1)
    field.loops_until(lambda: field.k[TARGET, 1] == 0)
    assert field.at(1) == pytest.approx((12, 10), abs=0.15)  # it has begun to walk
    field.play(1)
    assert field.k[TARGET, 2] == (0 if helps else -1)


# 10. Chase. Evidence: recordings and replays; a unit follows its target 7 cells far, then goes home.
@pytest.mark.parametrize(("gap", "follows"), [(6.9, True), (7.1, False)])
def test_a_unit_follows_its_target_seven_cells_far_and_no_further(battlefield, gap, follows):
    home = EnemyOrder("attack_move", ((20, 20),))
    field = battlefield([(Type.MARINE, 5, 5)], [(Type.ZEALOT, 20, 20)], passive=False, enemy_order=home)
    put(field, 0, 1, 4.0)
    field.play(9)
    assert field.k[TARGET, 1] == 0
    field.play(8)
    put(field, 0, 1, gap)
    field.play(1)
    assert (field.k[TARGET, 1] == 0) == follows
    field.play(40)
    assert (field.at(1) == (20, 20)) == (not follows)


@pytest.mark.parametrize(("loops", "gap", "goes"), [(45, 6.0, True), (46, 6.0, False), (45, 7.1, False)])
def test_after_its_target_died_a_unit_goes_for_who_hit_it_in_the_last_45_loops(battlefield, loops, gap, goes):
    """Evidence: recordings; 22 of 27 chase when the hit is at most 44 loops old, 3 of 19 later."""
    field = battlefield([(Type.MARINE, 5, 5), (Type.STALKER, 5, 5)], [(Type.ZERGLING, 15, 15)], passive=False)
    field.f[HEALTH, [0, 2]] = 1e6
    put(field, 0, 2, 0.05)
    put(field, 1, 2, 5.9, np.pi)  # beyond the scan of 5 and the zergling's weapon
    field.play(9)
    assert field.k[TARGET, 2] == 0
    field.order(1, Order.ATTACK_UNIT, target=2)
    field.loops_until(lambda: field.k[LAST_ATTACKER, 2] == 1)
    field.order(1, Order.STOP)
    field.play(loops - 2 - int(field.k[HIT_AGO, 2]))
    put(field, 1, 2, gap, np.pi)
    field.f[HEALTH, 0] = 0
    field.play(1)  # its target is buried at the end of this loop
    assert field.k[ALIVE, 0] == 0
    field.play(1)
    assert field.k[HIT_AGO, 2] == loops
    assert field.k[TARGET, 2] == (1 if goes else -1)


def test_it_goes_for_the_attacker_before_the_last_where_that_one_is_dead(battlefield):
    agents = [(Type.MARINE, 5, 5), (Type.STALKER, 5, 5), (Type.STALKER, 5, 5)]
    field = battlefield(agents, [(Type.ZERGLING, 15, 15)], passive=False)
    field.f[HEALTH, [0, 3]] = 1e6
    for agent, (gap, angle) in enumerate([(0.05, 0.0), (5.9, np.pi), (5.9, np.pi / 2)]):
        put(field, agent, 3, gap, angle)
    field.play(9)
    assert field.k[TARGET, 3] == 0
    for agent in (1, 2):
        field.order(agent, Order.ATTACK_UNIT, target=3)
        field.loops_until(lambda: field.k[LAST_ATTACKER, 3] == agent)  # noqa: B023
        field.order(agent, Order.STOP)
    field.f[HEALTH, [0, 2]] = 0
    field.play(2)
    assert field.k[ALIVE].tolist() == [0, 1, 0, 1]
    assert field.k[TARGET, 3] == 1
