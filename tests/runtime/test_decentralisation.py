"""An agent's answers depend on what that agent was sent, and nothing passes between agents."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.make import make_env
from envs.types import TimeStep
from runtime.host.game import EpisodeResult, GameHost
from runtime.model_file.loader import load_model
from tests.runtime.support.playing import hosted, play_in_process, same_actions, team
from tests.runtime.support.processes import started
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC, TagEnv

N = SPEC.n_agents


def recorded_steps(count: int) -> list[TimeStep]:
    """What a small game shows when everybody does the first thing that is possible."""
    env = TagEnv(seed=11)
    steps = [env.reset()]
    while len(steps) < count:
        steps.append(env.step(steps[-1].avail_actions.argmax(2)))
        if steps[-1].done[0]:
            steps.append(env.reset())
    return steps


def test_other_agents_observations_do_not_change_an_agents_answers(model_file: Path) -> None:
    """Each agent's rows are kept while all other rows are destroyed, or swapped among the others."""

    async def actions_of(changed: list[TimeStep], name: str) -> np.ndarray:
        for link in host.links:
            await link.begin(name)
        return np.array([await host.joint_step(time_step) for time_step in changed])

    async def run() -> None:
        nonlocal host
        async with hosted(TagEnv(), addresses) as host:
            steps = recorded_steps(40)
            rng = np.random.default_rng(0)
            original = await actions_of(steps, "original")
            for i in range(N):
                others = [j for j in range(N) if j != i]
                destroyed, swapped = [], []
                for time_step in steps:
                    noise = rng.standard_normal(time_step.obs.shape).astype(np.float32)
                    noise[0, i] = time_step.obs[0, i]
                    destroyed.append(replace(time_step, obs=noise))
                    order = np.arange(N)
                    order[others] = order[others][::-1]
                    swapped.append(
                        replace(
                            time_step,
                            obs=time_step.obs[:, order],
                            avail_actions=time_step.avail_actions[:, order],
                        )
                    )
                for name, changed in (("destroyed", destroyed), ("swapped", swapped)):
                    got = await actions_of(changed, f"{name}-{i}")
                    assert np.array_equal(got[:, i], original[:, i]), (name, i)
                    assert not np.array_equal(got, original)  # the change was one for somebody

    host: GameHost
    with team(model_file) as (addresses, _):
        asyncio.run(run())


class Sniffer(threading.Thread):
    """Records every IPv4 packet on some interfaces as (interface, source, destination)."""

    def __init__(self, interfaces: list[str]) -> None:
        super().__init__(daemon=True)
        self.packets: list[tuple[str, str, str]] = []
        self.interfaces = interfaces
        self.is_done = False

    def run(self) -> None:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)) as raw:  # ETH_P_ALL
            raw.settimeout(0.2)
            while not self.is_done:
                try:
                    data, (interface, protocol, *_) = raw.recvfrom(65_536)
                except TimeoutError:
                    continue
                if interface in self.interfaces and protocol == 0x0800:
                    source, destination = struct.unpack_from("!4s4s", data, 14 + 12)
                    pair = (socket.inet_ntoa(source), socket.inet_ntoa(destination))
                    self.packets.append((interface, *pair))


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=10)


@contextlib.contextmanager
def namespaces(count: int) -> Iterator[list[str]]:
    """As many network namespaces, each with one cable to this one: host 10.199.i.1, agent 10.199.i.2."""
    names = [f"lan{os.getpid() % 10_000}a{i}" for i in range(count)]
    try:
        for i, name in enumerate(names):
            ip("netns", "add", name)
            ip("link", "add", f"{name}h", "type", "veth", "peer", "name", "eth0", "netns", name)
            ip("addr", "add", f"10.199.{i}.1/30", "dev", f"{name}h")
            ip("link", "set", f"{name}h", "up")
            ip("-n", name, "addr", "add", f"10.199.{i}.2/30", "dev", "eth0")
            ip("-n", name, "link", "set", "eth0", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10)


def can_make_namespaces() -> bool:
    if shutil.which("ip") is None or os.geteuid() != 0:
        return False
    name = f"lan{os.getpid()}probe"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, timeout=10).returncode == 0
    subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=10)
    return made


def reaches(namespace: str, address: str) -> bool:
    """Whether a TCP connection from a namespace gets anywhere, if only to a refusal."""
    code = (
        "import socket, sys\n"
        f"try: socket.create_connection(('{address}', 9), timeout=0.5)\n"
        "except ConnectionRefusedError: sys.exit(0)\n"
        "except OSError: sys.exit(1)\n"
    )
    command = ["ip", "netns", "exec", namespace, "python3", "-c", code]
    return subprocess.run(command, capture_output=True, timeout=10).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not can_make_namespaces(), reason="needs root and network namespaces")
@pytest.mark.parametrize("map_name", ["3m", "corridor"])
def test_agents_that_can_reach_the_host_alone_play_as_before(tmp_path: Path, map_name: str) -> None:
    env = make_env(map_name, "sim", n_battles=1, seed=5)
    n_agents, port, episodes = env.spec.n_agents, 50_051, 6
    model = tmp_path / "agent.onnx"
    model.write_bytes(model_bytes(env.spec))

    async def play() -> list[EpisodeResult]:
        async with hosted(env, addresses, 5000.0) as host:
            return await host.play(episodes, lambda result: None)

    with namespaces(n_agents) as names, contextlib.ExitStack() as stack:
        for i, name in enumerate(names):
            assert reaches(name, f"10.199.{i}.1")
            assert not reaches(name, f"10.199.{(i + 1) % n_agents}.2")
            stack.enter_context(
                started(
                    "agent", "--model", model, "--agent-id", i, "--listen", f"10.199.{i}.2:{port}",
                    "--insecure", until="serves", before=("ip", "netns", "exec", name),
                )
            )  # fmt: skip
        addresses = ",".join(f"10.199.{i}.2:{port}" for i in range(n_agents))
        sniffer = Sniffer([f"{name}h" for name in names])
        sniffer.start()
        results = asyncio.run(play())
        sniffer.is_done = True
        sniffer.join(5)
    undisturbed = play_in_process(load_model(model), make_env(map_name, "sim", n_battles=1, seed=5), episodes)
    assert same_actions(results, undisturbed)
    assert sum(result.fallbacks for result in results) == 0
    steps = sum(result.steps for result in results)
    assert len(sniffer.packets) > 2 * steps * n_agents
    for interface, *pair in sniffer.packets:
        i = names.index(interface.removesuffix("h"))
        assert set(pair) == {f"10.199.{i}.1", f"10.199.{i}.2"}
