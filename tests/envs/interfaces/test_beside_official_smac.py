"""Our StarCraft2Env and SMAC's own, on the stand-in game; skipped without the package."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.interfaces import StarCraft2Env
from envs.make import prepare_for_games
from envs.sc2.client import run_config
from envs.sc2.official import official_class
from envs.smac.maps import load_map
from envs.smac.tables import layout_tables

HAS_SMAC = importlib.util.find_spec("smac") is not None and importlib.util.find_spec("smac.env") is not None
needs_smac = pytest.mark.skipif(not HAS_SMAC, reason="official SMAC (smac.env) is not installed")

KEYWORDS: list[dict[str, Any]] = [
    {},
    {"obs_last_action": True, "state_timestep_number": True, "continuing_episode": True},
    {"obs_all_health": False, "obs_pathing_grid": True, "obs_terrain_height": True},
    {"obs_all_health": False, "obs_own_health": False, "state_last_action": False, "reward_sparse": True},
    {"reward_only_positive": False, "reward_defeat": -50, "reward_death_value": 7, "reward_win": 90},
    {"reward_scale": False, "obs_instead_of_state": True},
    {"reward_scale_rate": 5, "reward_only_positive": False, "reward_negative_scale": 0.25},
]


def play_beside(map_name: str, keywords: dict[str, Any], episodes: int) -> None:
    """Both show, allow and pay the same in battles played at random, and then at whoever is in reach."""
    prepare_for_games()
    run_config(None)  # before the package imports pysc2
    official = official_class()(map_name=map_name, seed=21, **keywords)
    ours = StarCraft2Env(map_name, seed=21, **keywords)
    rng = np.random.default_rng(21)
    # the game tells health in float32: the same error weighs more where rewards are not scaled
    is_scaled = keywords.get("reward_scale", True)
    tolerance = 1e-6 if is_scaled else 1e-6 * layout_tables(load_map(map_name)).max_reward / 20
    try:
        for episode in range(episodes):
            official.reset()
            ours.reset()
            ended = False
            while not ended:
                np.testing.assert_allclose(ours.get_obs(), official.get_obs(), rtol=0, atol=1e-6)
                np.testing.assert_allclose(ours.get_state(), official.get_state(), rtol=0, atol=1e-6)
                avail = ours.get_avail_actions()
                assert avail == official.get_avail_actions()
                last = -3 if episode % 2 else 0
                actions = [int(rng.choice(np.flatnonzero(can)[last:])) for can in avail]
                reward, ended, info = ours.step(actions)
                other_reward, other_ended, other_info = official.step(actions)
                assert (ended, info) == (other_ended, other_info)
                assert reward == pytest.approx(other_reward, rel=1e-6, abs=tolerance)
        assert ours.get_stats() == official.get_stats()
        sizes, official_sizes = ours.get_env_info(), official.get_env_info()
        assert sizes == official_sizes
        for name in ("move", "enemy", "ally", "own"):
            method = f"get_obs_{name}_feats_size"
            assert getattr(ours, method)() == getattr(official, method)()
    finally:
        official.close()


@needs_smac
@pytest.mark.parametrize("keywords", KEYWORDS, ids=lambda keywords: " ".join(keywords) or "defaults")
def test_ours_is_the_official_class_with_the_same_keywords(sc2_path: Path, keywords: dict[str, Any]) -> None:
    for map_name in ("3m", "2s3z"):
        play_beside(map_name, keywords, episodes=3)


@needs_smac
@pytest.mark.slow
@pytest.mark.parametrize("keywords", KEYWORDS, ids=lambda keywords: " ".join(keywords) or "defaults")
def test_ours_is_the_official_class_on_further_maps(sc2_path: Path, keywords: dict[str, Any]) -> None:
    for map_name in ("MMM", "2m_vs_1z", "2c_vs_64zg", "bane_vs_bane", "1c3s5z", "corridor"):
        play_beside(map_name, keywords, episodes=4)
