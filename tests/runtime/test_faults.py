"""Battles under faults take the actions of undisturbed ones, step by step."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.make import env_spec, make_env
from envs.types import IntArray, MultiAgentEnv, TimeStep
from runtime.host.game import EpisodeResult
from runtime.model_file.loader import load_model
from tests.runtime.support.faulty_proxy import FAULTS, proxied
from tests.runtime.support.playing import hosted, play_in_process, same_actions
from tests.runtime.support.processes import free_ports, started
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import TagEnv


class KillingEnv:
    """An environment that now and then kills a child of the process `parent` between two steps."""

    def __init__(self, env: MultiAgentEnv, parent: int, probability: float, seed: int) -> None:
        self.env = env
        self.parent = parent
        self.probability = probability
        self.rng = np.random.default_rng(seed)
        self.kills = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    def step(self, actions: IntArray) -> TimeStep:
        while self.rng.random() < self.probability:
            self.kill()
        return self.env.step(actions)

    def kill(self) -> None:
        """Kill one of the agents, whichever are there; between a death and the next start there are fewer."""
        children = Path(f"/proc/{self.parent}/task/{self.parent}/children").read_text().split()
        if children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(self.rng.choice(children)), signal.SIGKILL)
                self.kills += 1


@contextlib.contextmanager
def durable_team(tmp_path: Path, data: bytes, n_agents: int) -> Iterator[tuple[str, int]]:
    """A supervised team with its memories on disk: its addresses and the supervisor's process id."""
    model, port = tmp_path / "agent.onnx", free_ports(n_agents)
    model.write_bytes(data)
    with started(
        "agents", "--model", model, "--agents", f"0-{n_agents - 1}", "--listen", f"127.0.0.1:{port}",
        "--state-dir", tmp_path / "state", until="agents serve", log=tmp_path / "log",
    ) as agents:  # fmt: skip
        addresses = ",".join(f"127.0.0.1:{port + index}" for index in range(n_agents))
        yield addresses, agents.process.pid


def play_under_faults(
    tmp_path: Path, env: MultiAgentEnv, episodes: int, kill_probability: float, seed: int
) -> tuple[list[EpisodeResult], int, Counter[str]]:
    """The battles, how many agents were killed in them, and what the proxies did; no memory may be lost."""

    async def play() -> tuple[list[EpisodeResult], int, Counter[str]]:
        async with proxied(addresses, seed) as (proxy_addresses, proxies):
            killing = KillingEnv(env, parent, kill_probability, seed)
            async with hosted(killing, proxy_addresses, deadline_ms=30_000.0) as host:
                results = await host.play(episodes, lambda result: None)
                assert sum(link.counts.replayed_steps for link in host.links) == 0
            return results, killing.kills, sum((proxy.counts for proxy in proxies), Counter())

    data = model_bytes(env.spec)
    with durable_team(tmp_path, data, env.spec.n_agents) as (addresses, parent):
        results, kills, faults = asyncio.run(play())
    assert "Traceback" not in (tmp_path / "log").read_text()
    return results, kills, faults


def test_a_small_game_is_the_same_under_faults(tmp_path: Path) -> None:
    results, kills, faults = play_under_faults(tmp_path, TagEnv(seed=1), 12, 0.05, seed=1)
    assert same_actions(results, play_in_process(load_model(tmp_path / "agent.onnx"), TagEnv(seed=1), 12))
    assert sum(result.fallbacks for result in results) == 0
    assert kills >= 5
    assert len(set(faults) & set(FAULTS)) >= 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("map_name", "episodes", "kill_probability"), [("3m", 140, 0.06), ("corridor", 60, 0.1)]
)
def test_200_battles_with_500_kills_are_the_same_as_undisturbed_ones(
    tmp_path: Path, map_name: str, episodes: int, kill_probability: float, record_property: Any
) -> None:
    env = make_env(map_name, "sim", n_battles=1, seed=2)
    results, kills, faults = play_under_faults(tmp_path, env, episodes, kill_probability, seed=2)
    record_property("kills", kills)
    print(map_name, "kills", kills, "steps", sum(result.steps for result in results), dict(faults))
    model = load_model(tmp_path / "agent.onnx")
    assert model.spec == env_spec(map_name)
    undisturbed = play_in_process(model, make_env(map_name, "sim", n_battles=1, seed=2), episodes)
    assert sum(result.fallbacks for result in results) == 0  # every retry came within its deadline
    differing = [i for i, result in enumerate(results) if not same_actions([result], undisturbed[i : i + 1])]
    assert differing == []
    assert kills >= 250  # and so 500 over the two maps
