"""27 agents and a million steps: no memory, no descriptor and no time is lost on the way."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest

from envs.make import env_spec
from envs.types import EnvSpec, TimeStep
from runtime.host.asked_team import AskedTeam
from runtime.host.team import connect_team
from runtime.identity.addresses import parse_addresses
from tests.runtime.support.processes import free_ports, started
from tests.runtime.support.small_models import model_bytes

N = 27
AGENT_STEPS = int(os.environ.get("LAN_SOAK_STEPS", "1000000"))
EPISODE_STEPS = 180


def random_time_step(spec: EnvSpec, rng: np.random.Generator) -> TimeStep:
    avail = rng.random((1, N, spec.n_actions)) < 0.5
    avail[:, :, 1] = True
    no = np.zeros(1, bool)
    return TimeStep(
        obs=rng.standard_normal((1, N, spec.obs_dim)).astype(np.float32),
        state=np.zeros((1, spec.state_dim), np.float32),
        avail_actions=avail,
        reward=np.zeros(1, np.float32),
        terminated=no,
        truncated=no,
        won=no,
    )


def footprint(pids: list[int]) -> list[tuple[float, int]]:
    """Resident memory in MB and open descriptors of each process."""
    processes = [psutil.Process(pid) for pid in pids]
    return [(process.memory_info().rss / 1e6, process.num_fds()) for process in processes]


@pytest.mark.slow
def test_a_million_steps_leave_no_trace(tmp_path: Path) -> None:
    spec = replace(env_spec("corridor"), n_agents=N)
    model = tmp_path / "agent.onnx"
    model.write_bytes(model_bytes(spec))
    port = free_ports(N)
    rng = np.random.default_rng(0)
    time_steps = [random_time_step(spec, rng) for _ in range(50)]
    joint_steps = AGENT_STEPS // N
    latency_ms: list[float] = []
    footprints: list[list[tuple[float, int]]] = []

    async def run(pids: list[int]) -> int:
        addresses = ",".join(f"127.0.0.1:{port + index}" for index in range(N))
        links = await connect_team(parse_addresses(addresses), spec, 30.0)
        async with AskedTeam(links, ()) as team:
            for step in range(joint_steps):
                if step % EPISODE_STEPS == 0:
                    await asyncio.gather(*(link.end(10.0) for link in links))
                    await asyncio.gather(*(link.begin(f"soak-{step}") for link in links))
                shown, start_s = time_steps[step % len(time_steps)], time.perf_counter()
                deadline_s = asyncio.get_running_loop().time() + 30.0
                await team.act(shown.obs[0], shown.avail_actions[0], deadline_s)
                latency_ms.append(1000 * (time.perf_counter() - start_s))
                if step in (joint_steps // 10, joint_steps - 1):
                    footprints.append(footprint(pids))
        return team.fallbacks

    with started(
        "agents", "--model", model, "--agents", f"0-{N - 1}", "--listen", f"127.0.0.1:{port}",
        "--state-dir", tmp_path / "state", until="agents serve",
    ) as agents:  # fmt: skip
        fallbacks = asyncio.run(run(agents.pids()))
    tenth = joint_steps // 10
    first, last = (float(np.percentile(part, 99)) for part in (latency_ms[:tenth], latency_ms[-tenth:]))
    grown_mb = [after[0] - before[0] for before, after in zip(*footprints, strict=True)]
    print(
        f"{joint_steps * N} steps; p99 {first:.1f} -> {last:.1f} ms; memory +{max(grown_mb):.2f} MB at most"
    )
    assert fallbacks == 0
    assert max(map(abs, grown_mb)) <= 2.0
    assert [after[1] for after in footprints[1]] == [before[1] for before in footprints[0]]
    assert last <= 1.3 * first
