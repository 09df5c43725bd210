"""Scripted teams: legal actions, the same for the same seed, and better than nothing where they should be."""

from __future__ import annotations

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.teams import TEAMS
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.units import UnitType

BATTLES = 32


def make_env(name: str, n_battles: int = BATTLES, seed: int = 11) -> BattleEnv:
    return BattleEnv(load_map(name), n_battles=n_battles, seed=seed)


def win_rate(name: str, team: str) -> float:
    env = make_env(name)
    choose = TEAMS[team](env, 5)
    step = env.reset()
    while not step.done.all():
        step = env.step(choose(step))
    env.close()
    return float(step.won.mean())


@pytest.mark.parametrize("name", MAP_NAMES)
def test_every_team_plays_only_available_actions_on_every_map(name: str) -> None:
    for team in TEAMS:
        env = make_env(name, n_battles=2)
        choose = TEAMS[team](env, 5)
        step = env.reset()
        for _ in range(25):
            actions = choose(step)
            assert np.take_along_axis(step.avail_actions, actions[..., None], axis=2).all()
            step = env.step(actions)
            if step.done.any():
                step = env.reset(step.done)
        env.close()


def test_a_random_team_loses_nearly_always() -> None:
    assert win_rate("3m", "random") <= 0.1
    assert win_rate("corridor", "random") <= 0.1


def test_the_seed_makes_a_random_team() -> None:
    env = make_env("3m", n_battles=2)
    step = env.reset()
    first, again, other = (TEAMS["random"](env, seed)(step) for seed in (5, 5, 6))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_focus_fire_beats_shooting_the_nearest_among_marines() -> None:
    assert win_rate("8m", "focus") > win_rate("8m", "nearest") > win_rate("8m", "random")


@pytest.mark.parametrize("name", ["2s_vs_1sc", "3s_vs_5z"])
def test_kiting_wins_where_standing_still_never_does(name: str) -> None:
    assert win_rate(name, "nearest") == 0
    assert win_rate(name, "kite") > 0.5


def test_nearest_walks_towards_what_it_cannot_reach() -> None:
    env = make_env("2s_vs_1sc", n_battles=1)
    actions = TEAMS["nearest"](env, 0)(env.reset())
    assert actions.tolist() == [[2, 2]]  # the crawler is north


def test_focus_shoots_who_is_dead_already_only_when_all_in_reach_are() -> None:
    N = 27
    env = make_env("27m_vs_30m", n_battles=4)
    choose = TEAMS["focus"](env, 0)
    step = env.reset()
    spared = 0
    for _ in range(25):
        actions = choose(step)
        for battle in range(4):
            left = env.units.health[battle, N:].copy()
            for agent in np.flatnonzero(actions[battle] >= 6):
                target = actions[battle, agent] - 6
                in_reach = step.avail_actions[battle, agent, 6:]
                assert left[target] > 0 or not (left[in_reach] > 0).any()
                spared += int((left[in_reach] <= 0).any() and left[target] > 0)
                if env.units.cooldown[battle, agent] < 8:
                    left[target] -= 6
        step = env.step(actions)
    assert spared > 20  # agents that left a doomed enemy to others


def test_medivacs_heal_the_injured_and_follow_who_fights() -> None:
    env = make_env("MMM", n_battles=8)
    choose = TEAMS["nearest"](env, 0)
    step = env.reset()
    medivac = load_map("MMM").ally_types.index(UnitType.MEDIVAC)
    healed = 0
    for _ in range(40):
        actions = choose(step)
        for battle in np.flatnonzero((actions[:, medivac] >= 6) & ~step.done):
            patient = actions[battle, medivac] - 6
            assert env.units.health[battle, patient] < env.units.health_max[battle, patient]
            healed += 1
        step = env.step(actions)
    assert healed > 20
