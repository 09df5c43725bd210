"""Unmodified official SMAC on the stand-in game plays the simulator's battles; skipped where missing."""

from __future__ import annotations

import importlib.util
import os
import signal
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest

from envs.battle.env import BattleEnv
from envs.conformance import check_env, random_actions
from envs.errors import EpisodeLostError, InputError
from envs.make import make_env
from envs.smac.maps import MAP_NAMES, load_map

HAS_SMAC = importlib.util.find_spec("smac") is not None and importlib.util.find_spec("smac.env") is not None
needs_smac = pytest.mark.skipif(not HAS_SMAC, reason="official SMAC (smac.env) is not installed")


def assert_plays_as_the_simulator(map_name: str, seed: int, episodes: int) -> None:
    env, simulated = make_env(map_name, "smac", seed=seed), BattleEnv(load_map(map_name), seed=seed)
    rng = np.random.default_rng(seed)
    for episode in range(episodes):
        live, sim = env.reset(), simulated.reset()
        while True:
            for name in ("obs", "state", "avail_actions", "reward", "terminated", "truncated", "won"):
                a, b = getattr(live, name), getattr(sim, name)
                np.testing.assert_allclose(a, b, rtol=0, atol=1e-6, err_msg=f"{map_name} {episode} {name}")
            if sim.done[0]:
                break
            targets = sim.avail_actions[..., 6:]
            actions = random_actions(sim, rng)
            if episode % 2:
                actions = np.where(targets.any(-1), targets.argmax(-1) + 6, actions)
            live, sim = env.step(actions), simulated.step(actions)
    env.close()


@needs_smac
def test_official_smac_plays_the_simulated_battle(sc2_path: Path) -> None:
    assert_plays_as_the_simulator("2s3z", seed=6, episodes=2)


@needs_smac
@pytest.mark.slow
@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_official_smac_plays_the_simulated_battle_on_every_map(sc2_path: Path, map_name: str) -> None:
    assert_plays_as_the_simulator(map_name, seed=12, episodes=20)


@needs_smac
def test_official_smac_keeps_the_contract(sc2_path: Path) -> None:
    check_env(make_env("2m_vs_1z", "smac", seed=3), episodes=2, reproducible=False)


@needs_smac
def test_a_game_lost_by_official_smac_does_not_count(sc2_path: Path) -> None:
    env = make_env("3m", "smac", seed=3)
    step = env.reset()
    games = [child for child in psutil.Process().children() if "SC2_x64" in " ".join(child.cmdline())] or [
        child for child in psutil.Process().children() if "envs.sc2api.binary" in " ".join(child.cmdline())
    ]
    assert len(games) == 1
    os.kill(games[0].pid, signal.SIGKILL)
    with pytest.raises(EpisodeLostError):
        env.step(random_actions(step, np.random.default_rng(1)))
    assert not env.reset().done.any()
    env.close()


def test_another_package_of_the_name_is_refused(
    sc2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "smac"
    package.mkdir()
    (package / "__init__.py").write_text("")
    for name in [name for name in sys.modules if name.split(".")[0] == "smac"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(InputError, match="AutoML"):
        make_env("3m", "smac")
    monkeypatch.delitem(sys.modules, "smac", raising=False)
