"""Environments as other programs use them: made by name, stepped, pickled, closed."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import envs
from envs.make import prepare_for_games, resolve_backend
from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text


def test_what_is_public_can_be_pickled() -> None:
    for value in (envs.make_env, envs.TimeStep, envs.env_spec("3m"), envs.MAP_NAMES):
        assert pickle.loads(pickle.dumps(value)) == value
    error = pickle.loads(pickle.dumps(envs.EpisodeLostError(np.array([True, False]), "it hung")))
    assert (str(error), error.slots.tolist()) == ("it hung", [True, False])


@pytest.mark.parametrize(
    "name", ["3m", "3m:no-fog", "checkers", "spread:2", "pettingzoo:mpe2.simple_spread_v3"]
)
def test_environments_of_every_kind_are_closed_by_their_block_and_may_be_closed_again(name: str) -> None:
    if name.startswith("pettingzoo:"):
        pytest.importorskip("mpe2")
    with envs.make_env(name, "sim", n_battles=2) as env:
        assert not env.reset().done.any()
        env.close()
    env.close()
    with pytest.raises(ValueError, match="plays at least one battle"):
        envs.make_env(name, "sim", n_battles=0)


def test_a_map_is_named_by_a_path_too(tmp_path: Path) -> None:
    file = tmp_path / "one.json"
    file.write_text(file_text(map_of_line("a marine against a zealot", "one")))
    assert envs.env_spec(file) == envs.env_spec(str(file))
    with envs.make_env(file) as env, envs.make_env(Path("3m")) as smac:
        assert (env.spec.n_agents, smac.spec.name) == (1, "3m")


@pytest.mark.parametrize("name", ["3m", "checkers", "spread:2"])
@pytest.mark.parametrize("seed", [1.5, -1, "1", None])
def test_a_seed_is_a_whole_number(name: str, seed: Any) -> None:
    with pytest.raises(envs.InputError, match="say a whole number, 0 or more"):
        envs.make_env(name, "sim", seed=seed)
    with envs.make_env(name, "sim", seed=np.int64(3)) as env:
        env.reset()


def test_a_game_is_found_by_the_home_folders_short_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    game = tmp_path / "my games/Versions/Base75689/SC2_x64"
    game.parent.mkdir(parents=True)
    game.touch(0o755)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("SC2PATH", "~/my games")
    assert resolve_backend("auto", "3m") == "sc2"
    assert resolve_backend("auto", "checkers") == "sim"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("fault", ["missing", "not executable", "a folder", "a name that is too long"])
def test_a_game_that_is_asked_for_and_not_there_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    root = tmp_path / ("x" * 300 if fault == "a name that is too long" else "a\ngame")
    game = root / "Versions/Base75689/SC2_x64"
    if fault == "not executable":
        game.parent.mkdir(parents=True)
        game.touch(0o644)
    elif fault == "a folder":
        game.mkdir(parents=True)
    monkeypatch.setenv("SC2PATH", str(root))
    for _ in range(3):
        assert resolve_backend("auto", "3m") == "sim"
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"SC2PATH is {tmp_path}")
    with pytest.raises(envs.InputError, match="needs StarCraft II"):
        resolve_backend("sc2", "3m")


def test_games_on_this_machine_are_reached_past_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    url = pytest.importorskip("websocket._url")
    monkeypatch.setenv("http_proxy", "http://proxy.example:3128")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.setenv("NO_PROXY", "intranet.example")
    monkeypatch.setenv("SC2PATH", "/games")
    assert url.get_proxy_info("127.0.0.1", False)[0] == "proxy.example"
    for _ in range(2):
        prepare_for_games()
    assert url.get_proxy_info("127.0.0.1", False)[0] is None
    assert url.get_proxy_info("intranet.example", False)[0] is None
    assert url.get_proxy_info("elsewhere.example", False)[0] == "proxy.example"


@pytest.mark.parametrize("name", ["spread:" + "9" * 5_000, "spread:101", "spread:-1", "spread:1e2"])
def test_a_number_of_agents_that_cannot_be_is_one_sentence(name: str) -> None:
    with pytest.raises(envs.InputError, match="N from 1 to 100"):
        envs.env_spec(name)


def test_the_public_names_play_an_episode() -> None:
    assert "3m" in envs.MAP_NAMES
    with envs.make_env("spread:3", n_battles=2, seed=1) as env:
        assert env.spec == envs.env_spec("spread:3")
        step = env.reset()
        while not step.done.all():
            step = env.step(np.zeros((2, env.spec.n_agents), np.int64))
        with pytest.raises(envs.InputError, match="unknown map"):
            envs.make_env("3mm", "sim")
