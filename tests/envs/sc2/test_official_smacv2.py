"""Unmodified SMACv2 on the stand-in game plays the simulator's battles; skipped where it is missing."""

from __future__ import annotations

import importlib.util
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.conformance import check_env
from envs.errors import InputError
from envs.make import make_env, prepare_for_games
from envs.sc2.client import guard_pysc2, run_config
from envs.sc2.descriptors import sc2_protocol
from envs.sc2.official_v2 import official_wrapper, package_arguments
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.scenarios import EPO_NAMES, SCENARIO_NAMES
from envs.smac.units import UnitType
from envs.types import IntArray, TimeStep
from tests.envs.battle.support.draws import Draws, our_draws, shares
from tests.envs.sc2.support.smacv2 import play_both

HAS_SMACV2 = importlib.util.find_spec("smacv2") is not None
needs_smacv2 = pytest.mark.skipif(not HAS_SMACV2, reason="SMACv2 is not installed")

DRAWS = 10_000
STANDARD_ERRORS = 4.0
UNPLAYABLE = ("2s3z", "3s5z", "3s5z_vs_3s6z")
"""SMACv2 takes the agents' types there by the enemies' ids, and has no place for them in an observation."""


@pytest.fixture
def game(sc2_path: Path) -> Path:
    """The stand-in, where pysc2 finds it."""
    prepare_for_games()
    run_config(None)
    guard_pysc2(120)
    return sc2_path


def assert_equal_battles(
    monkeypatch: pytest.MonkeyPatch, name: str, seed: int, episodes: int
) -> dict[str, int]:
    """The package and the simulator show the same; returns how often what happened."""
    rng = np.random.default_rng(seed)

    def team(step: TimeStep) -> IntArray:
        scores = rng.random(step.avail_actions.shape)
        scores[:, :, 6:] += rng.random() < 0.6  # else hardly anybody shoots
        return np.where(step.avail_actions, scores, -1.0).argmax(axis=2)

    found = dict.fromkeys(("steps", "ends", "rewards"), 0)
    with BattleEnv(load_map(name), seed=seed) as env:
        for ours, theirs in play_both(env, official_wrapper(), monkeypatch, episodes, team):
            for what, value in theirs.items():
                message = f"{name}, step {found['steps']}: {what}"
                np.testing.assert_allclose(ours[what], value, rtol=0, atol=1e-6, err_msg=message)
            found["steps"] += 1
            found["ends"] += theirs["done"]
            found["rewards"] += theirs["reward"] > 0
    return found


@needs_smacv2
@pytest.mark.parametrize("name", ["protoss_5_vs_5", "terran_5_vs_5", "zerg_10_vs_11", "terran_10_vs_11_epo"])
def test_smacv2_plays_the_simulated_battle(game: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    found = assert_equal_battles(monkeypatch, name, seed=4, episodes=2)
    assert found["ends"] == 2
    assert found["rewards"] > 10


@needs_smacv2
@pytest.mark.slow
@pytest.mark.parametrize("name", [*SCENARIO_NAMES, *EPO_NAMES])
def test_smacv2_plays_the_simulated_battle_in_every_scenario(
    game: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert assert_equal_battles(monkeypatch, name, seed=12, episodes=10)["ends"] == 10


def their_draws(monkeypatch: pytest.MonkeyPatch, name: str, count: int, seed: int) -> Draws:
    """Draws of the package's own generators, which have no seed unless they are given one like this."""
    sc2_protocol()  # before pysc2 is imported
    from smacv2.env.starcraft2 import distributions

    seeds = iter(range(seed, seed + 100))
    monkeypatch.setattr(distributions, "default_rng", lambda: np.random.default_rng(next(seeds)))
    smac_map = load_map(name)
    config = package_arguments(smac_map)["capability_config"]
    size = {"n_units": smac_map.n_agents, "n_enemies": smac_map.n_enemies}
    random.seed(seed)
    teams, starts = (
        distributions.get_distribution(config[key]["dist_type"])({**config[key], **size, "env_key": key})
        for key in ("team_gen", "start_positions")
    )
    types, points = [], []
    for _ in range(count):
        team, start = teams.generate()["team_gen"], starts.generate()
        names = [*team["ally_team"], *team["enemy_team"]]
        types.append([UnitType[unit.upper()] for unit in names])
        sides = start["ally_start_positions"], start["enemy_start_positions"]
        points.append(np.concatenate([side["item"] for side in sides]))
    return Draws(smac_map.n_agents, np.array(types), np.array(points))


@needs_smacv2
@pytest.mark.parametrize("name", SCENARIO_NAMES)
def test_every_marginal_of_our_draws_is_that_of_smacv2s_generators(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    ours = shares(our_draws(name, DRAWS, seed=21))
    theirs = shares(their_draws(monkeypatch, name, DRAWS, seed=21))
    missed = []
    assert len(ours) > 150
    for what, hits in ours.items():
        others = theirs[what]
        if not (len(hits) and len(others)):
            assert len(hits) == len(others) == 0
            continue
        p = (hits.sum() + others.sum()) / (len(hits) + len(others))
        error = (p * (1 - p) * (1 / len(hits) + 1 / len(others))) ** 0.5
        if abs(hits.mean() - others.mean()) > STANDARD_ERRORS * error + 1e-12:
            missed.append((what, hits.mean(), others.mean(), error))
    assert not missed, missed


@needs_smacv2
def test_smacv2_keeps_the_contract(sc2_path: Path) -> None:
    check_env(make_env("terran_5_vs_5", "smacv2", seed=3), episodes=2, reproducible=False)


@needs_smacv2
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MAP_NAMES if name not in UNPLAYABLE])
def test_smacv2s_own_class_resets_again_and_again_on_smacs_maps(game: Path, name: str) -> None:
    assert_resets(name)


@needs_smacv2
def test_smacv2s_own_class_resets_again_and_again(game: Path) -> None:
    assert_resets("3m")


def assert_resets(name: str) -> None:
    from smacv2.env import StarCraft2Env

    env, rng = StarCraft2Env(map_name=name, seed=3), np.random.default_rng(0)
    smac_map = load_map(name)
    try:
        for steps in (40, 0, 3, 40, 3):  # resets of ended, of new and of running battles
            env.reset()
            assert (len(env.agents), len(env.enemies)) == (smac_map.n_agents, smac_map.n_enemies)
            assert all(unit.health == unit.health_max for unit in env.agents.values())
            for _ in range(steps):
                avail: Any = np.array(env.get_avail_actions())
                actions = np.where(avail, rng.random(avail.shape), -1).argmax(axis=1)
                if env.step(actions.tolist())[1]:
                    break
        assert env.force_restarts == 0
    finally:
        env.close()


def test_a_missing_package_is_named_with_how_to_install_it(
    sc2_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == "smacv2" else found(name, *rest)
    )
    with pytest.raises(InputError, match="needs the official SMACv2 package: pip install"):
        make_env("zerg_5_vs_5", "smacv2")


@pytest.mark.parametrize(
    ("name", "backend", "text"),
    [
        ("zerg_5_vs_5", "sc2", "--env sc2 plays SMAC's maps"),
        ("zerg_5_vs_5_epo", "smac", "--env smac plays SMAC's maps"),
        ("3m", "smacv2", "--env smacv2 plays SMACv2's scenarios, and 3m is none"),
        ("zerg_5_vs_5:no-fog", "smacv2", "shows nothing beyond its sight"),
        ("checkers", "smacv2", "no StarCraft II map"),
    ],
)
def test_what_a_backend_cannot_play_is_refused(sc2_path: Path, name: str, backend: str, text: str) -> None:
    with pytest.raises(InputError, match=text):
        make_env(name, backend)
