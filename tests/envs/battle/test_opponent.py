"""Enemies that obey a team: they see the battle from their side, and do what they are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.battle.mirror import Turn, turn_of
from envs.battle.opponent import SCRIPTED, OpponentEnv, TwoSidedEnv, check_opponent, with_scripted_opponent
from envs.battle.teams import NearestTeam, RandomTeam
from envs.battle.views import Side
from envs.checkers import CheckersEnv
from envs.conformance import check_env
from envs.errors import InputError
from envs.make import check_commanded, find_map, make_env
from envs.smac.actions import EAST, FIRST_ATTACK, NO_OP, NORTH, STOP
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.settings import SmacSettings
from envs.smac.units import UnitType
from envs.types import IntArray, Team, TimeStep

SYMMETRIC = {"3m", "8m", "25m", "2s3z", "3s5z", "MMM", "bane_vs_bane", "1c3s5z"}


def always(action: int) -> Callable[[Side], Team]:
    """A team that repeats one action, where it is available."""

    def team(step: TimeStep) -> IntArray:
        may = step.avail_actions[:, :, action]
        return np.where(may, action, np.where(step.avail_actions[:, :, NO_OP], NO_OP, STOP))

    return lambda side: team


def fought(name: str, team: Callable[[Side], Team], n_battles: int = 4, **settings: Any) -> OpponentEnv:
    env = BattleEnv(find_map(name), n_battles=n_battles, seed=3)
    return OpponentEnv(env, team, **settings)


def test_the_maps_with_equal_sides_are_known() -> None:
    for name in MAP_NAMES:
        if name in SYMMETRIC:
            assert any(turn_of(load_map(name)))
        else:
            with pytest.raises(InputError, match=f"{name} is not symmetric: its sides have different units"):
                turn_of(load_map(name))


@pytest.mark.parametrize("name", ["3m", "5m_vs_6m", "MMM2", "2s_vs_1sc", "corridor"])
@pytest.mark.parametrize("opponent", SCRIPTED)
def test_every_map_can_have_every_scripted_opponent(name: str, opponent: str) -> None:
    env = with_scripted_opponent(BattleEnv(load_map(name), n_battles=3, seed=2), opponent, seed=2)
    check_env(env, episodes=2)


@pytest.mark.parametrize("turn", [Turn(True, False), Turn(False, True), Turn(True, True)])
@pytest.mark.parametrize("name", ["8m", "2s3z", "MMM", "2s3z:no-fog"])
def test_units_in_mirror_image_see_the_same(name: str, turn: Turn) -> None:
    """Enemies placed where agents would be, turned over, see and move as the agents do."""
    smac_map = find_map(name)
    env = fought(name, always(EAST), n_battles=2, turn=turn)
    env.reset()
    units, mirror = env.units, env.mirror
    n, U = env.spec.n_agents, units.x.shape[1]
    mine = mirror.commanded
    assert (units.types[0][mine] == units.types[0, :n]).all()
    rng = np.random.default_rng(1)
    x, y = (rng.uniform(low, high, (2, U)) for low, high in ((10, 15), (11, 21)))
    health = np.where(np.arange(U) % n == 2, 0.0, 20.0) * np.ones((2, 1))
    for b in range(2):
        x[b, mine[b]] = 32 - x[b, :n] if turn.x else x[b, :n]
        y[b, mine[b]] = 32 - y[b, :n] if turn.y else y[b, :n]
        health[b, mine[b]] = health[b, :n]
    shown = env.place(x, y, health, np.zeros((2, U)))
    seen = mirror.look(np.zeros(2, np.bool_))
    np.testing.assert_array_equal(seen.avail_actions[:, :, :FIRST_ATTACK], shown.avail_actions[:, :, :6])
    width = 5 + smac_map.enemy_shield + smac_map.unit_type_bits

    def parts(step: TimeStep) -> tuple[Any, Any]:
        """The rows of opponents in an order of their own, since they are numbered otherwise; all the rest."""
        foes = step.obs[:, :, 4 : 4 + n * width].reshape(2, n, n, width).copy()
        foes[:, units.types[0, :n] == UnitType.MEDIVAC, :, 0] = (
            0  # it shows heals there, by the agent's number
        )
        rest = np.delete(step.obs, np.s_[4 : 4 + n * width], axis=2)
        return [[sorted(rows.round(4).tolist()) for rows in agents] for agents in foes], rest

    for ours, theirs in zip(parts(shown), parts(seen), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
    env._played(shown, ~shown.done)
    actions = always(EAST)(mirror)(shown)
    before = units.x.copy(), units.y.copy()
    env.step(actions)
    walked = units.x - before[0], units.y - before[1]
    for b in range(2):
        for way, turned, along in zip(walked, turn, (True, False), strict=True):
            sign = -1.0 if turned else 1.0
            alike = units.types[0, :n] != UnitType.MEDIVAC  # the enemies' medivacs accelerate otherwise
            np.testing.assert_allclose(way[b, mine[b]][alike], sign * way[b, :n][alike], atol=1e-9)
            if along:
                assert (way[b, :n] > 0.3).sum() >= n // 2


def test_enemies_that_are_told_to_stop_neither_walk_nor_shoot() -> None:
    env = fought("3m", always(STOP))
    step, team = env.reset(), NearestTeam(env)
    there = env.units.x[:, 3:].copy()
    while not step.done.all():
        step = env.step(team(step))
        assert (env.units.health[:, :3] == env.units.health_max[:, :3]).all()
        pushed = np.abs(env.units.x[:, 3:] - there)[env.units.alive[:, 3:] > 0]
        assert (pushed < 1.5).all()
    assert step.won.all()


def test_medivacs_of_the_other_side_heal() -> None:
    env = fought("MMM", NearestTeam)
    step, team, healed = env.reset(), NearestTeam(env), 0
    while not step.done.all():
        step = env.step(team(step))
        medivac = env.units.types[0].tolist().index(UnitType.MEDIVAC, env.spec.n_agents)
        heals = env.units.order[:, medivac] == Order.HEAL
        healed += int(heals.sum())
        assert (env.units.order_target[:, medivac][heals] >= env.spec.n_agents).all()
    assert healed > 10


@pytest.mark.parametrize("make_team", [RandomTeam, NearestTeam])
def test_an_episode_does_not_depend_on_its_neighbours(make_team: Callable[[Side], Team]) -> None:
    """Neither on how many are played side by side, nor on when the others are reset."""

    def outcome(n_battles: int, n_episodes: int) -> dict[int, tuple[float, int]]:
        env = fought("3m", make_team, n_battles=n_battles)
        team, found = NearestTeam(env), dict[int, tuple[float, int]]()
        step, returns = env.reset(), np.zeros(n_battles)
        while len(found) < n_episodes:
            step = env.step(team(step))
            returns += step.reward
            for b in np.flatnonzero(step.done):
                found[int(env.episodes[b])] = round(float(returns[b]), 6), int(env.steps[b])
            returns[step.done] = 0
            if step.done.any():
                step = env.reset(step.done)
        return found

    alone, together = outcome(1, 8), outcome(5, 8)
    assert {e: alone[e] for e in range(5)} == {e: together[e] for e in range(5)}


def test_a_refused_action_changes_nothing() -> None:
    first, second = (fought("3m", lambda side: RandomTeam(side, 4)) for _ in range(2))
    step, other = first.reset(), second.reset()
    for _ in range(10):
        actions = NearestTeam(first)(step)
        with pytest.raises(ValueError, match="action 0 is not available"):
            first.step(np.zeros((4, 3), np.int64))
        step, other = first.step(actions), second.step(actions)
        np.testing.assert_array_equal(step.obs, other.obs)


def test_enemies_commanded_from_outside_do_as_a_team_of_the_same_actions() -> None:
    def make() -> BattleEnv:
        return BattleEnv(find_map("2s3z"), n_battles=3, seed=3)

    by_team, from_outside = OpponentEnv(make(), NearestTeam), TwoSidedEnv(make())
    with pytest.raises(ValueError, match="no battle has begun"):
        from_outside.seen_by_enemies()
    agents, twins = NearestTeam(by_team), NearestTeam(from_outside)
    steps = by_team.reset(), from_outside.reset()
    enemies = NearestTeam(from_outside.mirror)
    for _ in range(60):
        np.testing.assert_equal(vars(steps[0]), vars(steps[1]))
        if steps[0].done.all():
            break
        actions = agents(steps[0])
        np.testing.assert_array_equal(actions, twins(steps[1]))
        from_outside.command_enemies(enemies(from_outside.seen_by_enemies()))
        steps = by_team.step(actions), from_outside.step(actions)
    assert steps[0].done.all()
    from_outside.reset()
    with pytest.raises(ValueError, match="battle 0, agent 0"):
        from_outside.command_enemies(np.zeros((3, 5), np.int64))  # only the dead may do nothing


def test_opponents_that_do_not_fit_are_refused() -> None:
    check_opponent("map")
    check_opponent("focus")
    check_commanded("focus", "3m", "sim")
    with pytest.raises(InputError, match="--opponent focuss: no such team; did you mean 'focus'"):
        check_opponent("focuss")
    with pytest.raises(InputError, match="can be commanded, not those of 3m on sc2; say --env sim"):
        check_commanded("focus", "3m", "sc2")
    with pytest.raises(InputError, match="checkers has no enemies to command"):
        check_commanded("focus", "checkers", "sim")
    with pytest.raises(InputError, match="checkers: only the simulator's enemies can be commanded"):
        with_scripted_opponent(CheckersEnv(), "focus", seed=0)


def test_without_fog_the_enemies_can_be_commanded_too() -> None:
    with make_env("3m:no-fog", "sim", n_battles=2, seed=1) as env:
        check_env(with_scripted_opponent(env, "nearest", seed=1), episodes=2)


@pytest.mark.parametrize(("name", "shown"), [("8m", False), ("8m:no-fog", True)])
def test_the_enemies_see_as_far_as_the_agents(name: str, shown: bool) -> None:
    """The sides of 8m begin 14 cells apart."""
    env = fought(name, always(STOP), n_battles=1)
    step = env.reset()
    for seen in (step, env.mirror.look(np.zeros(1, np.bool_))):
        foes = seen.obs[0, :, 4 : 4 + 8 * 5].reshape(8, 8, 5)
        assert (foes[:, :, 1] > 0).all() == shown  # the distance
        assert (foes[:, :, 1] > 1).any() == shown


def test_the_enemies_observe_their_own_last_actions() -> None:
    settings = SmacSettings(obs_last_action=True)
    env = OpponentEnv(
        BattleEnv(replace(load_map("3m"), settings=settings), n_battles=2, seed=3), always(EAST)
    )

    def last_actions() -> Any:
        """[B, N, N - 1, A] of the enemies' team mates."""
        obs = env.mirror.look(np.zeros(2, np.bool_)).obs
        return obs[:, :, 4 + 3 * 5 : -1].reshape(2, 3, 2, 5 + 9)[..., 5:]

    env.reset()
    assert (last_actions().argmax(axis=-1) == EAST).all()  # decided, and played in the next step
    assert (last_actions().sum(axis=-1) == 1).all()


def test_enemies_that_are_drawn_or_hidden_cannot_be_commanded() -> None:
    with pytest.raises(InputError, match="zerg_5_vs_5: nobody can command enemies that every episode draws"):
        with_scripted_opponent(BattleEnv(load_map("zerg_5_vs_5")), "focus", seed=0)
    settings = SmacSettings(prob_obs_enemy=1.0)
    with pytest.raises(InputError, match="3m: nobody can command enemies where prob_obs_enemy is set"):
        with_scripted_opponent(BattleEnv(replace(load_map("3m"), settings=settings)), "focus", seed=0)


def test_north_stays_north_without_a_turn() -> None:
    env = fought("5m_vs_6m", always(NORTH))
    env.reset()
    y = env.units.y[:, 5:].copy()
    env.step(np.full((4, 5), STOP))
    assert (env.units.y[:, 5:] > y + 0.3).sum() > 12
