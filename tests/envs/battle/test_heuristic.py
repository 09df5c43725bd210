"""SMAC's heuristic team: whom it picks, and the battles in which its attacks reach any distance."""

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.battle.heuristic import AttackAnywhere, HeuristicTeam
from envs.conformance import check_env
from envs.smac.maps import load_map
from envs.smac.units import UnitType


def test_the_heuristic_takes_the_closest_enemy_and_keeps_it_until_it_is_dead():
    env = BattleEnv(load_map("3m"), n_battles=4, seed=0)
    team, anywhere = HeuristicTeam(env), AttackAnywhere(env)
    shown = anywhere.reset()
    chosen = None
    for _ in range(60):
        distance = np.hypot(
            env.units.x[:, :3, None] - env.units.x[:, None, 3:],
            env.units.y[:, :3, None] - env.units.y[:, None, 3:],
        )
        alive = env.units.alive.copy()
        shown = anywhere.step(team(shown))
        target = team.targets - 3
        if chosen is None:
            assert (target == distance.argmin(-1)).all()
        else:
            kept = np.take_along_axis(alive[:, 3:], chosen, 1) > 0
            assert (target == chosen)[kept].all()
        chosen = target.copy()
        if (chosen < 0).any():
            break


def test_its_medivac_heals_the_closest_injured_and_its_marauders_leave_medivacs_alone():
    env = BattleEnv(load_map("MMM2"), n_battles=8, seed=0)
    team, anywhere, types = HeuristicTeam(env), AttackAnywhere(env), env.units.types[0]
    shown, healed = anywhere.reset(), 0
    while not shown.done.all():
        actions = team(shown)
        targets, running = team.targets, ~shown.done
        marauders = targets[:, types[:10] == UnitType.MARAUDER]
        assert (types[marauders[marauders >= 0]] != UnitType.MEDIVAC).all()
        patient = targets[running, 9]
        for battle, other in zip(np.flatnonzero(running), patient, strict=True):
            if other >= 0:
                assert other < 9  # not itself, no enemy
                assert env.units.health[battle, other] < env.units.health_max[battle, other]
                assert actions[battle, 9] == 6 + other
                healed += 1
        shown = anywhere.step(actions)
    assert healed > 20


def test_a_new_episode_begins_with_new_targets():
    env = BattleEnv(load_map("3m"), n_battles=2, seed=0)
    team, anywhere = HeuristicTeam(env), AttackAnywhere(env)
    shown = anywhere.reset()
    for _ in range(12):
        shown = anywhere.step(team(shown))
    held = team.targets.copy()
    team(anywhere.reset(np.array([True, False])))
    distance = np.hypot(
        env.units.x[0, :3, None] - env.units.x[0, None, 3:],
        env.units.y[0, :3, None] - env.units.y[0, None, 3:],
    )
    assert (team.targets[0] - 3 == distance.argmin(-1)).all()
    kept = env.units.alive[1, held[1]] > 0
    assert (team.targets[1] == held[1])[kept].all()


def test_attacks_reach_any_distance_and_units_walk_there():
    env = BattleEnv(load_map("3m"), seed=0)
    anywhere = AttackAnywhere(env)
    shown = anywhere.reset()
    assert shown.avail_actions[0].tolist() == [[False, True, *[False] * 4, *[True] * 3]] * 3
    before = env.units.x[0, :3].copy()
    anywhere.step(np.array([[1, 1, 7]]))  # agent 2 stands in front
    assert env.units.order[0, :3].tolist() == [Order.STOP, Order.STOP, Order.ATTACK_UNIT]
    assert env.units.order_target[0, 2] == 4
    assert env.units.x[0, :3] - before == pytest.approx([0, 0, 1.125], abs=0.1)
    anywhere.step(np.array([[1, 1, 1]]))  # stop gives no new order: it walks on
    assert env.units.order[0, 2] == Order.ATTACK_UNIT


@pytest.mark.parametrize("name", ["3m", "MMM2", "2c_vs_64zg"])
def test_these_battles_pass_the_conformance_checks(name):
    anywhere = AttackAnywhere(BattleEnv(load_map(name), n_battles=3, seed=3))
    assert check_env(anywhere, episodes=3, seed=1).episodes >= 3


def test_what_nobody_may_do_is_refused_and_no_battle_advances():
    env = BattleEnv(load_map("3m"), n_battles=2, seed=0)
    anywhere = AttackAnywhere(env)
    anywhere.reset()
    actions = np.ones((2, 3), np.int64)
    for bad in (0, 2, 9, -1):
        actions[1, 2] = bad
        with pytest.raises(ValueError, match=f"battle 1, agent 2: action {bad} is not available"):
            anywhere.step(actions)
    with pytest.raises(ValueError, match="actions are"):
        anywhere.step(np.ones((2, 3)))
    assert (env.steps == 0).all()
