"""SMACv2's teams and starts: drawn as its generators draw them, from the battle's own stream."""

from __future__ import annotations

import numpy as np
import pytest

from envs.battle import fields
from envs.battle.env import BattleEnv
from envs.battle.teams import RandomTeam
from envs.conformance import check_env
from envs.errors import InputError
from envs.make import agent_types, env_spec, find_map, make_env
from envs.smac.maps import load_map
from envs.smac.scenarios import EPO_NAMES, SCENARIO_NAMES, WEIGHTS
from envs.smac.units import CUSTOM_TYPE_ORDER, UNITS, UnitType
from tests.envs.battle.support.draws import (
    CENTRE,
    our_draws,
    probabilities_of_counts,
    probability_of_groups,
    shares,
)

DRAWS = 10_000
STANDARD_ERRORS = 4.0


def expected_shares(name: str) -> dict[str, float]:
    """The probabilities that follow from SMACv2's rules, by the names of `shares`."""
    draw = load_map(name).draw
    assert draw is not None
    n, m = draw.n_agents, draw.n_enemies
    expected = {"reflects": 0.5}
    support = 0.0 if draw.support is None else draw.weights[draw.kinds.index(draw.support)]
    for kind, weight in zip(draw.kinds, draw.weights, strict=True):
        of_support = kind == draw.support, support
        agents = probabilities_of_counts(n, weight, *of_support)
        extra = probabilities_of_counts(m - n, weight, *of_support) if m > n else np.ones(1)
        sides = {"agents": agents, "enemies": np.convolve(agents, extra), "extra": extra}
        expected |= {
            f"{side}: {k} of type {kind:d}": p for side, all_p in sides.items() for k, p in enumerate(all_p)
        }
    for cell in range(32):
        expected[f"agent x in {cell}"] = 1 / 15 if cell < 15 else 0
        expected[f"extra enemy x in {cell}"] = 1 / 16 if cell >= 16 else 0
        expected[f"agent y in {cell}"] = expected[f"extra enemy y in {cell}"] = 1 / 32
    expected |= {f"{number} groups": probability_of_groups(number, m) for number in range(1, 5)}
    expected |= {f"diagonal {number}": 1 / 4 for number in range(4)}
    return expected | {f"{away} off the centre": 1 / 14 for away in range(2, 16)}


@pytest.mark.parametrize("name", SCENARIO_NAMES)
def test_every_marginal_of_many_draws_is_as_smacv2s_rules_say(name: str) -> None:
    found, expected = shares(our_draws(name, DRAWS, seed=11)), expected_shares(name)
    assert len(expected) > 100
    for what, probability in expected.items():
        hits = found[what]
        if len(hits):  # no extra enemies in a battle of equal sides
            error = (probability * (1 - probability) / len(hits)) ** 0.5
            assert abs(hits.mean() - probability) <= STANDARD_ERRORS * error + 1e-9, (name, what)


@pytest.mark.parametrize("name", SCENARIO_NAMES)
def test_enemies_are_the_agents_in_a_mirror_or_around_them(name: str) -> None:
    draws = our_draws(name, 500, seed=2)
    n, support = draws.n_agents, getattr(load_map(name).draw, "support", None)
    for types, points, reflects in zip(draws.types, draws.points, draws.reflects, strict=True):
        assert sorted(types[:n]) == sorted(types[n : 2 * n])
        assert any(kind != support for kind in types[:n])
        if len(types) > 2 * n:
            assert any(kind != support for kind in types[2 * n :])
        if reflects:
            mirrored = [(kind, 32 - x, y) for kind, (x, y) in zip(types[:n], points[:n], strict=True)]
            enemies = [
                (kind, *point) for kind, point in zip(types[n : 2 * n], points[n : 2 * n], strict=True)
            ]
            assert sorted(mirrored) == sorted(enemies)
        else:
            away = abs(points[n:] - CENTRE)
            assert (away >= 2).all()
            assert (away[:, 0] == away[:, 1]).all()


@pytest.mark.parametrize("name", ["terran_5_vs_5", "zerg_10_vs_11", "protoss_20_vs_23"])
def test_drawn_units_have_their_types_numbers_and_stand_on_the_ground(name: str) -> None:
    env = BattleEnv(load_map(name), n_battles=64, seed=5)
    shown = env.reset()
    units, n = env.units, env.spec.n_agents
    ranks = np.array([CUSTOM_TYPE_ORDER.index(kind) for kind in UnitType])
    for b in range(env.n_battles):
        assert np.lexsort((units.y[b, :n], units.x[b, :n], ranks[units.types[b, :n]])).tolist() == list(
            range(n)
        )
        stats = [UNITS[UnitType(kind)] for kind in units.types[b]]
        assert units.health[b].tolist() == [unit.health_max for unit in stats]
        assert units.shield[b].tolist() == [unit.shield_max for unit in stats]
        assert units.radius[b].tolist() == [unit.radius for unit in stats]
    assert ((units.x >= 2) & (units.x < 30) & (units.y >= 2) & (units.y < 30)).all()
    assert not units.damage[:, :n, :n].any()
    assert not units.damage[:, n:, n:].any()
    assert units.damage[:, :n, n:].any()
    assert shown.avail_actions[:, :, 1].all()


def test_a_battle_is_the_same_beside_any_others_and_in_any_threads() -> None:
    alone = BattleEnv(load_map("zerg_20_vs_23"), seed=3)
    beside = BattleEnv(load_map("zerg_20_vs_23"), n_battles=24, seed=3, threads=2)
    assert beside.n_threads == 2
    first = beside.reset()
    beside_team = RandomTeam(beside, 0)
    episode, steps = 17, [first]
    while not steps[-1].done[episode] and len(steps) < 40:
        steps.append(beside.step(beside_team(steps[-1])))
        if len(steps) == 10:
            other = np.arange(24) != episode
            steps[-1] = beside.reset(other)
    alone.next_episode = episode
    shown, team = alone.reset(), RandomTeam(alone, 0)
    for step in steps:
        for name in ("obs", "state", "avail_actions", "terminated", "won"):
            np.testing.assert_array_equal(getattr(step, name)[episode], getattr(shown, name)[0], err_msg=name)
        if step is not steps[-1]:
            shown = alone.step(team(shown))


@pytest.mark.parametrize("name", ["protoss_5_vs_5", "terran_10_vs_11", "zerg_5_vs_5_epo"])
def test_scenarios_keep_the_contract_of_environments(name: str) -> None:
    report = check_env(make_env(name, "sim", n_battles=3, seed=4), episodes=6, seed=1)
    assert report.episodes >= 6


def test_enemies_that_do_nothing_are_sent_to_the_closest_agent() -> None:
    env = BattleEnv(load_map("protoss_5_vs_5"), n_battles=32, seed=8)
    env.reset()
    n, units = env.spec.n_agents, env.units
    x, y = units.x.copy(), units.y.copy()
    idle = (env._battles.k[:, fields.ORDER, n:] == fields.STOP) & (units.target[:, n:] < 0)
    env.step(np.ones((32, n), np.int64))
    distance = np.hypot(x[:, n:, None] - x[:, None, :n], y[:, n:, None] - y[:, None, :n])
    assert idle.any()
    assert (units.order[:, n:][idle] == fields.ATTACK_UNIT).all()
    assert (units.order_target[:, n:][idle] == distance.argmin(axis=2)[idle]).all()


def test_sizes_and_names() -> None:
    assert len(SCENARIO_NAMES) == 15
    assert sum(WEIGHTS) == 1
    for name in (*SCENARIO_NAMES, *EPO_NAMES):
        spec = env_spec(name)
        race, n, _, m = name.removesuffix("_epo").split("_")
        assert (spec.name, spec.n_agents, spec.n_actions) == (name, int(n), 6 + int(m))
        assert spec.episode_limit == 200
        assert find_map(name).ally_race == race[0].upper()
        assert agent_types(name) == ()


def test_an_unknown_scenario_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"unknown map 'terran_5_vs_6': did you mean .*'terran_5_vs_5'"):
        make_env("terran_5_vs_6", "sim")
