"""Units put where recorded ones stood: what the battle shows, and what goes on."""

import re

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.actions import FIRST_ATTACK, NO_OP, STOP
from envs.smac.maps import load_map

U = 6
NOTHING = np.full((1, U), np.nan)
X = np.array([[10.0, 11.0, 12.0, 16.5, 17.5, 18.5]])
Y = np.full((1, U), 16.0)
HEALTH = np.full((1, U), 45.0)


@pytest.fixture
def env():
    with BattleEnv(load_map("3m"), seed=3) as env:
        env.reset()
        yield env


def test_units_stand_where_they_are_put_with_the_health_and_cooldown_given(env):
    health, cooldown = HEALTH.copy(), NOTHING.copy()
    health[0, 4], cooldown[0, 1] = 9.0, 7.5
    before = env.units.cooldown.copy()
    shown = env.place(X, Y, health, cooldown)
    assert (env.units.x == X).all()
    assert (env.units.y == Y).all()
    assert (env.units.health == health).all()
    assert env.units.cooldown[0, 1] == 7.5
    assert (np.delete(env.units.cooldown, 1, axis=1) == np.delete(before, 1, axis=1)).all()
    reach = X[:, 3:] - X[:, :3].T <= 6.0
    assert (shown.avail_actions[0, :, FIRST_ATTACK:] == reach).all()
    assert shown.state[0, 1 * 4 + 1] == pytest.approx(7.5 / 15)
    assert not shown.reward.any()


def test_what_is_available_after_placing_can_be_played(env):
    env.place(X, Y, HEALTH, NOTHING)
    assert env.step(np.array([[STOP, FIRST_ATTACK, FIRST_ATTACK + 1]])).reward[0] >= 0
    assert env.units.order_target[0, 1] == 3


def test_enemies_go_on_with_what_they_do_and_hurt_the_agent_before_them(env):
    env.place(X, Y, HEALTH, NOTHING)
    for _ in range(4):
        shown = env.step(np.full((1, 3), STOP))
    assert env.units.health[0, 2] < 45.0
    assert (env.units.health[0, 3:] == 45.0).all()
    assert not shown.done[0]


def test_a_dead_unit_lives_again_and_a_living_one_falls(env):
    health = HEALTH.copy()
    health[0, [0, 5]] = 0.0
    x = X.copy()
    x[0, [0, 5]] = np.nan  # nobody asks where the dead are
    shown = env.place(x, Y, health, NOTHING)
    assert (env.units.alive[0] == [0, 1, 1, 1, 1, 0]).all()
    assert np.flatnonzero(shown.avail_actions[0, 0]).tolist() == [NO_OP]
    env.step(np.array([[NO_OP, STOP, STOP]]))
    shown = env.place(X, Y, HEALTH, NOTHING)
    assert env.units.alive.all()
    assert np.isfinite(shown.state).all()
    moved = env.step(np.full((1, 3), STOP))
    assert (env.units.x[0, 3:] != X[0, 3:]).any()
    assert not moved.done[0]


def test_a_battle_that_had_ended_goes_on(env):
    health = HEALTH.copy()
    health[0, 3:] = 0.0
    env.place(X, Y, health, NOTHING)
    assert env.step(np.full((1, 3), STOP)).won[0]
    shown = env.place(X, Y, HEALTH, NOTHING)
    assert not shown.done[0]
    assert not env.step(np.full((1, 3), STOP)).done[0]


@pytest.mark.parametrize(("cooldown", "shoots"), [(np.nan, True), (12.0, False)])
def test_a_weapon_that_is_put_cooling_does_not_fire_the_shot_it_had_begun(env, cooldown, shoots):
    x, cooling = X.copy(), NOTHING.copy()
    x[0, 2], cooling[0, 2] = 14.0, cooldown
    env.place(x, Y, HEALTH, NOTHING)
    attack = np.array([[Order.STOP, Order.STOP, Order.ATTACK_UNIT]])
    env.step_orders(attack, np.array([[-1, -1, 3]]), loops=1)  # it winds up now
    assert env.units.health[0, 3] == 45.0
    env.place(x, Y, HEALTH, cooling)
    env.step_orders(np.full((1, 3), Order.KEEP), loops=2)
    assert (env.units.health[0, 3] < 45.0) == shoots


@pytest.mark.parametrize(
    ("name", "values", "words"),
    [
        ("x", np.zeros((1, 5)), "x is (1, 5), not (1, 6)"),
        ("x", np.full((1, U), 32.0), "x is not on the map"),
        ("y", np.full((1, U), np.nan), "y is not on the map"),
        ("health", np.full((1, U), 46.0), "health is not between"),
        ("health", np.full((1, U), np.nan), "health is not between"),
        ("cooldown", np.full((1, U), -1.0), "a cooldown is -1 or less"),
    ],
)
def test_numbers_out_of_bounds_are_refused_and_change_nothing(env, name, values, words):
    before = env.units.x.copy()
    given = {"x": X, "y": Y, "health": HEALTH, "cooldown": NOTHING} | {name: values}
    with pytest.raises(ValueError, match=re.escape(words)):
        env.place(**given)
    assert (env.units.x == before).all()
