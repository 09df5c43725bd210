"""Teams of agents in processes of their own, and the same battles played in one process."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import numpy as np

from envs.types import MultiAgentEnv
from runtime.host.game import EpisodeResult, GameHost
from runtime.host.team import connect_team
from runtime.identity.addresses import parse_addresses
from runtime.model_file.contract import NO_ACTION
from runtime.model_file.loader import Model
from tests.runtime.support.processes import free_ports, started


@contextlib.contextmanager
def team(model_file: Path, agents: str = "0-2", log: Path | None = None) -> Iterator[tuple[str, list[int]]]:
    """A running team: its addresses as for --agents, and its process ids."""
    port = free_ports(3)
    with started(
        "agents", "--model", model_file, "--agents", agents, "--listen", f"127.0.0.1:{port}",
        until="agents serve", log=log,
    ) as agents_started:  # fmt: skip
        pids = agents_started.pids()
        yield ",".join(f"127.0.0.1:{port + index}" for index in range(len(pids))), pids


@contextlib.contextmanager
def unsupervised_team(model_file: Path) -> Iterator[tuple[str, list[int]]]:
    """The same as three processes that nobody starts again."""
    with contextlib.ExitStack() as stack:
        agents = [
            stack.enter_context(
                started(
                    "agent", "--model", model_file, "--agent-id", agent_id, "--listen", "127.0.0.1:0",
                    until="serves",
                )
            )
            for agent_id in range(3)
        ]  # fmt: skip
        addresses = ",".join(agent.said.split()[-1] for agent in agents)
        yield addresses, [agent.process.pid for agent in agents]


@contextlib.asynccontextmanager
async def hosted(env: MultiAgentEnv, addresses: str, deadline_ms: float = 2000.0) -> AsyncIterator[GameHost]:
    links = await connect_team(parse_addresses(addresses), env.spec, 30.0)
    async with GameHost(env, links, deadline_ms) as host:
        yield host


def play_in_process(model: Model, env: MultiAgentEnv, episodes: int) -> list[np.ndarray]:
    """The same battles played by the model in one process, all agents in one batch: actions [T, N]."""
    N = env.spec.n_agents
    played = []
    for _ in range(episodes):
        time_step = env.reset()
        hidden, last_action = model.initial_hidden(N), np.full(N, NO_ACTION)
        actions = []
        while not time_step.done[0]:
            last_action, _, hidden = model.step(
                time_step.obs[0], last_action, np.arange(N), time_step.avail_actions[0], hidden
            )
            actions.append(last_action)
            time_step = env.step(last_action[None])
        played.append(np.array(actions))
    return played


def same_actions(results: Sequence[EpisodeResult], played: Sequence[np.ndarray]) -> bool:
    return all(
        np.array_equal(result.actions, actions) for result, actions in zip(results, played, strict=True)
    )
