"""The cost of serving: joint steps of a team against a bare gRPC echo, TLS, memory, start, state on disk.

    python -m benchmarks.serving [--map corridor --agents 6,27 --steps 1500]

Prints one JSON object. Everything is measured side by side, in turns of some steps each, since times on a
machine that does other things too can only be compared with each other. The yardsticks have the same shape as
the team: as many forked processes, one stream to each, requests and replies of the same sizes. `echo` sends
bytes from a bare asyncio loop; `messages` is the whole host and the real messages without a policy.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.serving_echo import echoes
from envs.command import run_command
from envs.make import env_spec
from envs.types import BoolArray, EnvSpec, FloatArray

START_TIMEOUT_S = 60.0
DEADLINE_S = 10.0
STEPS_PER_TURN = 100
FIRST_PORT = 47_000
EPISODE_STEPS = 200


@dataclass(frozen=True, kw_only=True)
class ServingConfig:
    """The flags of this benchmark."""

    map: str = "corridor"
    """Map whose dimensions the messages have."""
    agents: str = "6,27"
    """Team sizes to measure."""
    steps: int = 1500
    """Joint steps of each kind and size."""
    port: int = FIRST_PORT
    """First port to use."""


def team_spec(config: ServingConfig, n_agents: int) -> EnvSpec:
    """The map's spec for a team of another size."""
    return replace(env_spec(config.map), n_agents=n_agents)


def write_model(path: Path, spec: EnvSpec) -> None:
    """A model file with random weights: its decisions do not change its cost."""
    from exporters.model import build_model
    from runtime.model_file.contract import METADATA_CONTRACT_VERSION, METADATA_SPEC

    rng, H = np.random.default_rng(0), 64
    shapes = {
        "fc1.weight": (H, spec.obs_dim + spec.n_actions + spec.n_agents),
        "fc1.bias": (H,),
        "gru.weight_ih": (3 * H, H),
        "gru.weight_hh": (3 * H, H),
        "gru.bias_ih": (3 * H,),
        "gru.bias_hh": (3 * H,),
        "fc2.weight": (spec.n_actions, H),
        "fc2.bias": (spec.n_actions,),
    }
    weights = {name: (0.1 * rng.standard_normal(shape)).astype(np.float32) for name, shape in shapes.items()}
    metadata = {METADATA_CONTRACT_VERSION: str(spec.contract_version), METADATA_SPEC: spec.to_json()}
    path.write_bytes(build_model(weights, spec, metadata))


@contextlib.contextmanager
def running(command: list[str], until: str, **environment: str) -> Iterator[tuple[str, float, int]]:
    """Run a command until it prints `until`; yields its output, the seconds that took, and its process id."""
    said, start_s = "", time.perf_counter()
    environ = {**os.environ, **environment}
    process = subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True, env=environ)
    assert process.stdout is not None
    late = threading.Timer(START_TIMEOUT_S, process.kill)
    late.start()
    try:
        while until not in said:
            if not (line := process.stdout.readline()):
                raise SystemExit(f"{command} ended early")
            said += line
        late.cancel()
        yield said, time.perf_counter() - start_s, process.pid
    finally:
        late.cancel()
        process.send_signal(signal.SIGTERM)
        process.wait(START_TIMEOUT_S)
        process.stdout.close()


def agents_command(model: Path, n_agents: int, port: int, *flags: str) -> list[str]:
    """The command line of a team."""
    listen = ["--listen", f"127.0.0.1:{port}"]
    team = ["--model", str(model), "--agents", f"0-{n_agents - 1}"]
    return ["-m", "runtime.agent.many", *team, *listen, *flags]


def some_input(spec: EnvSpec) -> tuple[FloatArray, BoolArray]:
    """Random observations [N, O], and available actions [N, A]: all of them."""
    obs = np.random.default_rng(0).random((spec.n_agents, spec.obs_dim), np.float32)
    return obs, np.ones((spec.n_agents, spec.n_actions), np.bool_)


@contextlib.asynccontextmanager
async def team(spec: EnvSpec, port: int, tls: Any = None) -> AsyncIterator[Callable[[], Awaitable[Any]]]:
    """One joint step through agents, as lan-play takes it."""
    from runtime.host.asked_team import AskedTeam
    from runtime.host.team import connect_team
    from runtime.identity.addresses import Address

    addresses = [Address("127.0.0.1", port + index) for index in range(spec.n_agents)]
    links = await connect_team(addresses, spec, START_TIMEOUT_S, tls)
    obs, avail_actions = some_input(spec)
    taken_steps = 0

    async def step() -> None:
        nonlocal taken_steps
        if taken_steps % EPISODE_STEPS == 0:
            await asyncio.gather(*(link.end(10) for link in links))
            await asyncio.gather(*(link.begin(f"bench-{port}-{taken_steps}") for link in links))
        taken_steps += 1
        deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
        await asked.act(obs, avail_actions, deadline_s)

    async with AskedTeam(links, ()) as asked:
        yield step
    if asked.fallbacks:
        raise SystemExit(f"{asked.fallbacks} steps were not answered in time")


def request_bytes(spec: EnvSpec) -> bytes:
    """A request as it is on the wire."""
    from protos import policy_pb2

    return policy_pb2.ActRequest(
        episode_id="bench-00000-0000",
        step=100,
        observation=bytes(4 * spec.obs_dim),
        available_actions=bytes(spec.n_actions),
    ).SerializeToString()


async def measure(steps: dict[str, Callable[[], Awaitable[Any]]], count: int) -> dict[str, dict[str, float]]:
    """p50 and p99 in ms of `count` joint steps of each kind, taken in turns."""
    times_ms: dict[str, list[float]] = {name: [] for name in steps}
    for step in steps.values():
        for _ in range(STEPS_PER_TURN):
            await step()
    for _ in range(max(1, count // STEPS_PER_TURN)):
        for name, step in steps.items():
            for _ in range(STEPS_PER_TURN):
                start_s = time.perf_counter()
                await step()
                times_ms[name].append(1000 * (time.perf_counter() - start_s))
    return {
        name: {f"p{q}": round(float(np.percentile(times, q)), 3) for q in (50, 99)}
        for name, times in times_ms.items()
    }


def measure_team(config: ServingConfig, n_agents: int, directory: Path) -> dict[str, Any]:
    """One team size: joint steps through echoes, agents, agents with TLS, and agents with state on disk."""
    from runtime.identity.certs import CertsConfig, certs
    from runtime.identity.tls import HostTls, TlsFiles

    spec = team_spec(config, n_agents)
    model = directory / f"{n_agents}.onnx"
    write_model(model, spec)
    pki = directory / f"certs-{n_agents}"
    with contextlib.redirect_stdout(sys.stderr):
        certs(CertsConfig(out=pki, agents=n_agents))
    tls_flags = ["--tls-cert", f"{pki}/agent-{{id}}.pem", "--tls-key", f"{pki}/agent-{{id}}-key.pem"]
    ports = [config.port + n_agents * kind for kind in range(4)]
    serves = f"{n_agents} agents serve"
    with contextlib.ExitStack() as stack:
        said, ready_s, _ = stack.enter_context(running(agents_command(model, n_agents, ports[0]), serves))
        echo_command = ["-m", "benchmarks.serving_echo", str(n_agents), str(ports[1])]
        stack.enter_context(running(echo_command, f"{n_agents} echoes serve", SPEC=spec.to_json()))
        secure = agents_command(model, n_agents, ports[2], *tls_flags, "--tls-ca", f"{pki}/ca.pem")
        stack.enter_context(running(secure, serves))
        durable = agents_command(
            model, n_agents, ports[3], "--state-dir", str(directory / f"state-{n_agents}")
        )
        stack.enter_context(running(durable, serves))
        files = TlsFiles(pki / "host.pem", pki / "host-key.pem", pki / "ca.pem")

        async def run() -> dict[str, dict[str, float]]:
            async with (
                echoes(n_agents, ports[1], request_bytes(spec)) as echo,
                team(spec, ports[1]) as messages,
                team(spec, ports[0]) as plain,
                team(spec, ports[2], HostTls(files)) as tls,
                team(spec, ports[3]) as state,
            ):
                kinds = {"echo": echo, "messages": messages, "agents": plain, "tls": tls, "state": state}
                return await measure(kinds, config.steps)

        joint_step_ms = asyncio.run(run())
        pids = [int(pid) for pid in re.findall(r"process (\d+)", said)]
        memory = [memory_mb(pid) for pid in pids]
    p50 = {name: times["p50"] for name, times in joint_step_ms.items()}
    return {
        "joint_step_ms": joint_step_ms,
        "agents_over_echo": round(p50["agents"] / p50["echo"], 3),
        "agents_over_messages": round(p50["agents"] / p50["messages"], 3),
        "tls_over_plain": round(p50["tls"] / p50["agents"], 3),
        "state_over_plain": round(p50["state"] / p50["agents"], 3),
        "all_ready_s": round(ready_s, 3),
        "rss_mb_max": max(rss for rss, _ in memory),
        "pss_mb_mean": round(float(np.mean([pss for _, pss in memory])), 1),
    }


def memory_mb(pid: int) -> tuple[float, float]:
    """Resident and proportional set size of a process, in MB."""
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    rss, pss = (int(re.search(rf"^{name}:\s+(\d+) kB", text, re.M)[1]) for name in ("Rss", "Pss"))  # type: ignore[index]
    return round(rss / 1000, 1), round(pss / 1000, 1)


def measure_single(config: ServingConfig, directory: Path) -> dict[str, Any]:
    """One agent started on its own: memory, time to ready, and what saving a step costs."""
    spec = team_spec(config, 6)
    model = directory / "single.onnx"
    write_model(model, spec)
    command = ["-m", "runtime.agent.cli", "--model", str(model), "--agent-id", "0", "--listen", "127.0.0.1:0"]
    with running(command, "serves") as (_, ready_s, pid):
        rss_mb, _ = memory_mb(pid)
    step_us = measure_saving(spec, model, directory)
    return {"ready_s": round(ready_s, 3), "rss_mb": rss_mb, "step_us_memory_kept": step_us}


def measure_saving(spec: EnvSpec, model: Path, directory: Path) -> dict[str, float]:
    """Median µs of a step without a server, by where memories are kept."""
    from runtime.agent.episodes import EpisodeTable, StepRequest
    from runtime.agent.journal import StateFile
    from runtime.agent.policy import AgentPolicy
    from runtime.model_file.loader import load_model

    policy = AgentPolicy(load_model(model), 0)
    obs, avail = (rows[0].tobytes() for rows in some_input(spec))
    journals = {
        "nowhere": None,
        "on disk": StateFile(directory / "a", 0, n_actions=spec.n_actions, max_episodes=8),
        "on disk, fsync": StateFile(directory / "b", 0, n_actions=spec.n_actions, max_episodes=8, fsync=True),
    }
    tables = {
        name: EpisodeTable(policy, max_episodes=8, idle_s=60, journal=journal)
        for name, journal in journals.items()
    }
    times_us: dict[str, list[float]] = {name: [] for name in tables}
    for name, table in tables.items():  # one after the other: waiting for a disk leaves the caches cold
        for step in range(600):
            request = StepRequest("bench", step, obs, avail)
            start_s = time.perf_counter()
            table.act(request, 0.0)
            times_us[name].append(1e6 * (time.perf_counter() - start_s))
    return {name: round(float(np.median(times)), 1) for name, times in times_us.items()}


def main() -> int:
    """Entry point."""

    def run(config: ServingConfig) -> int:
        report: dict[str, Any] = {"map": config.map, "steps": config.steps}
        with tempfile.TemporaryDirectory() as name:
            report["single"] = measure_single(config, Path(name))
            for n_agents in map(int, config.agents.split(",")):
                report[f"{n_agents} agents"] = measure_team(config, n_agents, Path(name))
        print(json.dumps(report, indent=2))
        return 0

    return run_command(ServingConfig, run, prog="serving", description="Measure the cost of serving.")


if __name__ == "__main__":
    sys.exit(main())
