"""Agents that were trained in process play behind Blizzard's API as they do in process."""

import asyncio
import json
from pathlib import Path

import pytest
import torch
from processes import free_ports, started

from envs.make import make_env
from exporters.export import main as export
from runtime.address import parse_addresses
from runtime.host import EpisodeResult, GameHost, connect_team
from runtime.play import main as play
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


async def play_on(backend: str, addresses: str, episodes: int) -> list[EpisodeResult]:
    env = make_env("3m", backend, seed=SEED)
    links = await connect_team(parse_addresses(addresses), env.spec, timeout_s=30)
    host = GameHost(env, links, deadline_ms=30_000)
    try:
        return await host.play(episodes, lambda result: None)
    finally:
        await host.close()
        env.close()


def test_agents_play_the_same_battles_live_and_in_process(
    live_game: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    run_dir = str(live_game / "run")
    words = ["--map", "3m", "--env", "sim", "--run-dir", run_dir, "--eval-episodes", "2", "--steps", "300"]
    assert train([*words, "--batch-episodes", "4"]) == 0
    model = str(live_game / "agent.onnx")
    assert export(["--ckpt", run_dir, "--out", model]) == 0
    port = free_ports(3)
    flags = ("--model", model, "--agents", "0-2", "--listen", f"127.0.0.1:{port}")
    with started("agents", *flags, until="agents serve"):
        addresses = ",".join(f"127.0.0.1:{port + agent}" for agent in range(3))
        simulated = asyncio.run(play_on("sim", addresses, episodes=3))
        live = asyncio.run(play_on("sc2", addresses, episodes=3))
        capsys.readouterr()
        flags = ("--episodes", "2", "--seed", str(SEED), "--deadline-ms", "30000", "--json")
        assert play(["--map", "3m", "--env", "sc2", "--agents", addresses, *flags]) == 0
    assert sum(result.fallbacks for result in [*simulated, *live]) == 0
    for one, other in zip(simulated, live, strict=True):
        assert one.actions.tolist() == other.actions.tolist()
        assert (one.won, one.steps) == (other.won, other.steps)
        assert one.episode_return == pytest.approx(other.episode_return, abs=1e-4)
    report = json.loads(capsys.readouterr().out)
    assert (report["backend"], report["episodes"]) == ("sc2", 2)
    assert report["won"] == sum(result.won for result in live[:2])
