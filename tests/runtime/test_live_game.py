"""Agents that were trained in process play behind Blizzard's API as they do in process."""

import asyncio
import base64
import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.make import make_env
from exporters.export import main as export
from runtime.host.cli import main as play
from runtime.host.game import EpisodeResult
from runtime.host.own_agents import own_agents
from tests.runtime.support.playing import hosted
from trainer.cli import main as train

SEED = 21


@pytest.fixture
def live_game(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for package in ("s2clientprotocol", "pysc2.lib", "websockets", "websocket"):
        pytest.importorskip(package)
    from envs.sc2api.install import install

    install(tmp_path / "StarCraftII", 75689)
    monkeypatch.setenv("SC2PATH", str(tmp_path / "StarCraftII"))
    return tmp_path


def trained(folder: Path, *words: object) -> str:
    """The model file of a team that has learned 3m in process for a moment."""
    torch.set_num_threads(1)
    run_dir = str(folder / "run")
    flags = ["--map", "3m", "--env", "sim", "--run-dir", run_dir, *map(str, words)]
    assert train(flags) == 0
    model = str(folder / "agent.onnx")
    assert export(["--ckpt", run_dir, "--out", model]) == 0
    return model


async def play_on(backend: str, addresses: str, episodes: int) -> list[EpisodeResult]:
    with contextlib.closing(make_env("3m", backend, seed=SEED)) as env:
        async with hosted(env, addresses, deadline_ms=30_000) as host:
            return await host.play(episodes, lambda result: None)


def test_agents_play_the_same_battles_live_and_in_process(
    live_game: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = trained(live_game, "--eval-episodes", 2, "--steps", 300, "--batch-episodes", 4)
    with own_agents(Path(model), "3m") as agents:
        addresses = ",".join(map(str, agents))
        simulated = asyncio.run(play_on("sim", addresses, episodes=3))
        live = asyncio.run(play_on("sc2", addresses, episodes=3))
        capsys.readouterr()
        flags = ("--episodes", "2", "--seed", str(SEED), "--deadline-ms", "30000", "--json")
        words = ["--map", "3m", "--env", "sc2", "--agents", addresses, *flags]
        assert play([*words, "--record", str(live_game / "battles.jsonl")]) == 0
        report = json.loads(capsys.readouterr().out)
        shown = [
            recorded(live_game / f"{backend}.html", [*words, "--env", backend]) for backend in ("sim", "sc2")
        ]
    assert sum(result.fallbacks for result in [*simulated, *live]) == 0
    for one, other in zip(simulated, live, strict=True):
        assert one.actions.tolist() == other.actions.tolist()
        assert (one.won, one.steps) == (other.won, other.steps)
        assert one.episode_return == pytest.approx(other.episode_return, abs=1e-4)
    assert (report["backend"], report["episodes"]) == ("sc2", 2)
    assert report["won"] == sum(result.won for result in live[:2])
    lines = [json.loads(line) for line in (live_game / "battles.jsonl").read_text().splitlines()]
    assert [line["actions"] for line in lines] == [result.actions.tolist() for result in live[:2]]
    for one, other in zip(*shown, strict=True):
        assert [one[name] for name in ("episode", "units", "end")] == [
            other[name] for name in ("episode", "units", "end")
        ]
        for name in ("x", "y", "health", "shield"):
            there, here = (np.frombuffer(base64.b64decode(battle[name]), "<i2") for battle in (one, other))
            np.testing.assert_allclose(there, here, atol=1, err_msg=name)  # the API has single precision


def recorded(path: Path, words: list[str]) -> list[dict[str, Any]]:
    """The battles of a page that `lan-play` with these flags has recorded."""
    assert play([*words, "--record", str(path)]) == 0
    data = path.read_text().partition('id="data">')[2].partition("</script>")[0]
    battles: list[dict[str, Any]] = json.loads(data)["battles"]
    assert len(battles) == 2
    return battles


@pytest.mark.slow
def test_trained_agents_win_as_often_live_as_in_process(live_game: Path) -> None:
    """64 battles, equal action by action, of a team that wins some of them."""
    words = ("--until-win-rate", 0.05, "--steps", 100_000, "--seed", 0)
    model = trained(live_game, *words)
    with own_agents(Path(model), "3m") as agents:
        addresses = ",".join(map(str, agents))
        simulated = asyncio.run(play_on("sim", addresses, episodes=64))
        live = asyncio.run(play_on("sc2", addresses, episodes=64))
    assert 0 < sum(result.won for result in simulated) == sum(result.won for result in live)
    assert sum(result.fallbacks for result in [*simulated, *live]) == 0
    for one, other in zip(simulated, live, strict=True):
        assert one.actions.tolist() == other.actions.tolist()
        assert (one.won, one.steps) == (other.won, other.steps)
