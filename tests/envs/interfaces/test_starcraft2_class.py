"""SMAC's class on the simulator: what its users call, keywords, and what it refuses."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.errors import InputError
from envs.interfaces import StarCraft2Env, StarCraftCapabilityEnvWrapper
from envs.interfaces.smacv2 import scenario_of
from envs.make import make_env
from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text
from envs.smac.maps import load_map
from tests.paths import ROOT


def play(env: Any, rng: np.random.Generator) -> tuple[float, dict[str, Any], int]:
    """One battle with random actions: its return, last info and steps."""
    env.reset()
    total, steps = 0.0, 0
    while True:
        actions = [int(rng.choice(np.flatnonzero(can))) for can in env.get_avail_actions()]
        reward, ended, info = env.step(actions)
        total, steps = total + reward, steps + 1
        if ended:
            return total, info, steps


def test_it_plays_the_simulators_battles_of_its_seed() -> None:
    env, battles = StarCraft2Env("2s3z", seed=3, state_last_action=False), BattleEnv(load_map("2s3z"), seed=3)
    rng = np.random.default_rng(3)
    for _ in range(3):
        obs, state = env.reset()
        step = battles.reset()
        while not step.done[0]:
            np.testing.assert_array_equal(obs, step.obs[0])
            np.testing.assert_array_equal(state, step.state[0])
            assert env.get_avail_actions() == step.avail_actions[0].tolist()
            actions = [int(rng.choice(np.flatnonzero(can))) for can in env.get_avail_actions()]
            reward, ended, info = env.step(actions)
            step = battles.step(np.array([actions]))
            assert (reward, ended, info["battle_won"]) == (step.reward[0], step.done[0], step.won[0])
            alive = battles.units.alive[0]
            assert (info["dead_allies"], info["dead_enemies"]) == (5 - alive[:5].sum(), 5 - alive[5:].sum())
            obs, state = env.get_obs(), env.get_state()
            np.testing.assert_array_equal(env.get_obs_agent(4), obs[4])
            assert env.get_avail_agent_actions(4) == env.get_avail_actions()[4]
    assert env.seed() == 3


def test_sizes_are_those_of_smacs_get_env_info() -> None:
    with_shields = StarCraft2Env("2s3z").get_env_info()
    assert with_shields == {
        "state_shape": 120,
        "obs_shape": 80,
        "n_actions": 11,
        "n_agents": 5,
        "episode_limit": 120,
        "agent_features": ["health", "energy/cooldown", "rel_x", "rel_y", "shield", "type_0", "type_1"],
        "enemy_features": ["health", "rel_x", "rel_y", "shield", "type_0", "type_1"],
    }
    env = StarCraft2Env("2s3z", obs_timestep_number=True, obs_pathing_grid=True)
    assert env.get_obs_move_feats_size() == 12
    assert env.get_obs_enemy_feats_size() == (5, 8)
    assert env.get_obs_ally_feats_size() == (4, 8)
    assert env.get_obs_own_feats_size() == 4
    assert env.get_obs_size() == 12 + 5 * 8 + 4 * 8 + 4 + 1


def test_the_state_ends_with_the_last_actions_by_default() -> None:
    env = StarCraft2Env("3m", seed=1)
    _, state = env.reset()
    assert len(state) == env.get_state_size() == 48
    assert not state[21:].any()
    env.step([1, 2, 3])
    assert env.get_state()[21:].reshape(3, 9).argmax(1).tolist() == [1, 2, 3]
    np.testing.assert_array_equal(env.last_action, env.get_state()[21:].reshape(3, 9))


def test_it_counts_battles_and_timeouts_as_smac_does() -> None:
    env = StarCraft2Env("2s_vs_1sc", seed=2, continuing_episode=True)
    assert env.get_stats()["win_rate"] == 0
    env.reset()
    ended, info = False, {}
    while not ended:  # nobody goes near the crawler, so time runs out
        _, ended, info = env.step([1, 1])
    assert info == {"battle_won": False, "dead_allies": 0, "dead_enemies": 0, "episode_limit": True}
    _, second, _ = play(env, np.random.default_rng(2))
    timeouts = 1 + ("episode_limit" in second)
    won = int(second["battle_won"])
    assert env.get_stats() == {
        "battles_won": won,
        "battles_game": 2,
        "battles_draw": timeouts,
        "win_rate": won / 2,
        "timeouts": timeouts,
        "restarts": 0,
    }


def test_a_map_of_ones_own_is_played_by_its_file(tmp_path: Path) -> None:
    path = tmp_path / "uneven.json"
    path.write_text(file_text(map_of_line("2 marines against 3 marines", "uneven")))
    env = StarCraft2Env(str(path), seed=1, state_last_action=False)
    env.reset()
    with make_env(str(path), seed=1) as simulated:
        np.testing.assert_array_equal(env.get_state(), simulated.reset().state[0])


def test_a_seed_is_drawn_where_none_is_given() -> None:
    first, second = StarCraft2Env("3m"), StarCraft2Env("3m")
    assert first.seed() != second.seed()


def test_a_replay_is_a_page_of_the_battle_so_far(tmp_path: Path) -> None:
    env = StarCraft2Env("3m", seed=4, replay_dir=str(tmp_path), replay_prefix="mine")
    with pytest.raises(InputError, match=r"call reset\(\) first"):
        env.save_replay()
    play(env, np.random.default_rng(4))
    env.reset()
    for _ in range(5):
        env.step([2, 2, 2])
    before = env.get_state()
    path = env.save_replay()
    assert path == tmp_path / "mine_4_1.html"
    assert "seed 4, battle 1" in path.read_text()
    np.testing.assert_array_equal(env.get_state(), before)
    env.step([1, 1, 1])  # the battle goes on


def test_a_folder_of_replays_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "replays").write_text("a file")
    env = StarCraft2Env("3m", seed=4, replay_dir=str(tmp_path / "replays" / "today"))
    env.reset()
    with pytest.raises(InputError, match=r"cannot make the folder .*today: "):
        env.save_replay()


@pytest.mark.parametrize(
    ("keywords", "problem"),
    [
        ({"map_name": "3n"}, "unknown map '3n'"),
        ({"map_name": "checkers"}, "'checkers' is none of them, envs.make_env makes it"),
        ({"map_name": "checker"}, "unknown map 'checker': known are 10m_vs_11m"),
        ({"seed": 1.5}, "seed is 1.5; say a whole number, 0 or more"),
        ({"obs_last_actoin": True}, "unknown keyword 'obs_last_actoin'.*obs_last_action"),
        ({"step_mul": 4}, "step_mul can only be 8, not 4"),
        ({"difficulty": "9"}, "difficulty can only be '7', not '9'"),
        ({"heuristic_ai": True}, "heuristic_ai can only be False"),
        ({"conic_fov": True}, "conic_fov cannot be played"),
        ({"reward_win": None}, "reward_win must be a finite number"),
    ],
)
def test_what_it_cannot_play_is_refused_in_a_sentence(keywords: dict[str, Any], problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        StarCraft2Env(**{"map_name": "3m"} | keywords)


def test_keywords_about_the_games_program_are_accepted() -> None:
    StarCraft2Env(
        "3m", game_version=None, debug=False, window_size_x=640, step_mul=8, move_amount=2, difficulty="7"
    )


def test_misuse_is_told() -> None:
    env = StarCraft2Env("3m", seed=1)
    with pytest.raises(ValueError, match=r"call reset\(\) first"):
        env.get_obs()
    env.reset()
    with pytest.raises(ValueError, match="one action for every agent"):
        env.step([1, 1])
    with pytest.raises(ValueError, match="agent 1: action 6 is not available"):
        env.step([1, 6, 1])
    play(env, np.random.default_rng(1))
    with pytest.raises(ValueError, match="the battle has ended"):
        env.step([0, 0, 0])
    with pytest.raises(InputError, match="save_replay"):
        env.render()
    env.close()
    env.close()


CONFIG: dict[str, Any] = {
    "n_units": 5,
    "n_enemies": 5,
    "team_gen": {
        "dist_type": "weighted_teams",
        "unit_types": ["medivac", "marine", "marauder"],
        "weights": [0.1, 0.45, 0.45],
        "exception_unit_types": ["medivac"],
        "observe": True,
    },
    "start_positions": {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32},
}


def test_a_configuration_of_smacv2_names_a_scenario() -> None:
    assert scenario_of("10gen_terran", CONFIG) == "terran_5_vs_5"
    assert scenario_of("10gen_terran", CONFIG | {"n_units": 20, "n_enemies": 23}) == "terran_20_vs_23"


@pytest.mark.parametrize(
    ("map_name", "change", "problem"),
    [
        ("3m", {}, "map_name '3m' is none of SMACv2's"),
        ("10gen_zerg", {}, "weights by unit_types can only be"),
        ("10gen_terran", {"health": {}}, "health cannot be played"),
        ("10gen_terran", {"n_units": "5"}, "n_units must be a whole number, not '5'"),
        ("10gen_terran", {"start_positions": {"dist_type": "all"}}, "start_positions: dist_type can only be"),
        ("10gen_terran", {"team_gen": CONFIG["team_gen"] | {"observe": False}}, "observe can only be True"),
    ],
)
def test_configurations_that_are_not_the_published_ones_are_refused(
    map_name: str, change: dict[str, Any], problem: str
) -> None:
    with pytest.raises(InputError, match=problem):
        StarCraftCapabilityEnvWrapper(map_name=map_name, capability_config=CONFIG | change)


def test_a_project_with_a_package_envs_of_its_own_gets_it_by_lan_smac(tmp_path: Path) -> None:
    """As PyMARL and EPyMARL have it: their `envs` imports the class while it is imported itself."""
    package = tmp_path / "envs"
    package.mkdir()
    (package / "__init__.py").write_text(
        "from lan_smac import StarCraft2Env\nREGISTRY = {'sc2': StarCraft2Env}\n"
    )
    (package / "multiagentenv.py").write_text("MINE = 7\n")
    code = (
        "from envs import REGISTRY\nfrom envs.multiagentenv import MINE\n"
        "env = REGISTRY['sc2'](map_name='3m', seed=1)\nenv.reset()\nprint(MINE, env.step([1, 1, 1])[1])\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert (ran.stdout, ran.returncode) == ("7 False\n", 0), ran.stderr
