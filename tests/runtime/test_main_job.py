"""The main job on the simulator: what is trained, exported and served acts as the trained network."""

import asyncio
import json
from pathlib import Path

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
from trainer.playing.policy import PolicyTeam, TorchPolicy
from trainer.playing.rollout import Scribe, play_round
from trainer.runs.checkpoint import load_advantage_net, load_checkpoint
from trainer.runs.metrics import read_metrics

SEED = 77


def train_briefly(map_name: str, run_dir: Path, *flags: str) -> None:
    words = (
        "--map",
        map_name,
        "--env",
        "sim",
        "--run-dir",
        str(run_dir),
        "--eval-episodes",
        "2",
        "--batch-episodes",
        "8",
    )
    assert train([*words, *flags]) == 0


async def play_apart(map_name: str, addresses: str, episodes: int) -> list[EpisodeResult]:
    async with hosted(make_env(map_name, "sim", seed=SEED), addresses, deadline_ms=20_000) as host:
        return await host.play(episodes, lambda result: None)


def play_together(map_name: str, run_dir: Path, episodes: int) -> list[np.ndarray]:
    """The actions [T, N] of each battle, chosen by the trained torch network in this process."""
    checkpoint = load_checkpoint(run_dir)
    policy = TorchPolicy(load_advantage_net(checkpoint))
    env = make_env(map_name, "sim", seed=SEED)
    battles = []
    for _ in range(episodes):
        scribe = Scribe()
        _, (stats,) = play_round(env, PolicyTeam(policy, env), np.ones(1, bool), scribe)
        battles.append(scribe.episodes([stats.length_steps])[0].action)
    return battles


@pytest.mark.parametrize(("map_name", "n_agents", "steps"), [("3m", 3, "900"), ("corridor", 6, "2500")])
def test_agent_processes_take_the_trained_networks_actions_step_by_step(
    map_name: str, n_agents: int, steps: str, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    train_briefly(map_name, tmp_path / "run", "--steps", steps, "--seed", "3")
    assert export(["--ckpt", str(tmp_path / "run"), "--out", str(tmp_path / "agent.onnx")]) == 0
    with own_agents(tmp_path / "agent.onnx", map_name) as addresses:
        assert len(addresses) == n_agents
        apart = asyncio.run(play_apart(map_name, ",".join(map(str, addresses)), episodes=2))
    together = play_together(map_name, tmp_path / "run", episodes=2)
    assert sum(result.fallbacks for result in apart) == 0
    for result, actions in zip(apart, together, strict=True):
        assert np.array_equal(result.actions, actions)
        assert len({tuple(row) for row in actions.tolist()}) > 1  # the battles are not all one action


def test_the_same_seed_trains_the_same_on_the_simulator(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    metrics = []
    for name in ("one", "two"):
        train_briefly("3m", tmp_path / name, "--steps", "800", "--log-interval-steps", "200", "--seed", "9")
        records = read_metrics(tmp_path / name)
        metrics.append([{k: v for k, v in r.items() if not k.startswith("wall_")} for r in records])
    assert metrics[0] == metrics[1]
    assert len(metrics[0]) >= 5
    assert metrics[0][-1]["updates"] > 0


def test_a_run_on_the_simulator_is_resumed_where_it_ended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.set_num_threads(1)
    train_briefly("3m", tmp_path, "--steps", "300", "--seed", "4")
    first = load_checkpoint(tmp_path)
    assert train(["--resume", str(tmp_path), "--steps", "600"]) == 0
    last = load_checkpoint(tmp_path)
    assert first.env_steps < 600 <= last.env_steps
    assert "resumed at" in capsys.readouterr().out
    assert json.loads((tmp_path / "config.json").read_text())["backend"] == "sim"
    steps = [record["env_steps"] for record in read_metrics(tmp_path)]
    assert steps == sorted(steps)


def test_a_battle_through_agents_is_recorded_with_their_advantages(tmp_path: Path) -> None:
    torch.set_num_threads(1)
    train_briefly("3m", tmp_path / "run", "--steps", "300", "--seed", "5")
    assert export(["--ckpt", str(tmp_path / "run"), "--out", str(tmp_path / "agent.onnx")]) == 0
    page = tmp_path / "battle.html"
    words = [
        "--map",
        "3m",
        "--model",
        str(tmp_path / "agent.onnx"),
        "--episodes",
        "2",
        "--deadline-ms",
        "20000",
    ]
    assert play([*words, "--record", str(page)]) == 0
    text = page.read_text()
    assert "agents over gRPC" in text
    assert text.count('"advantage_scale":') == 2  # one for each battle: every step had every agent's answer
    assert "NaN" not in text
