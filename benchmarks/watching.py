"""The cost of being watched: joint steps of `lan-play` alone, with --watch, and with viewers.

    python -m benchmarks.watching [--model zoo/3m.onnx --viewers 5 --turns 12 --battles 25]

Battles are played in turns, in changing order: without --watch, with it and nobody there, and with viewers,
who read their news in another process as fast as they come. Prints one JSON object: a step's median time over
turns, on the wall and of the host's processor, and the median of its ratio to the kind before it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import statistics
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from envs.command import run_command
from envs.make import find_map, make_env
from envs.types import MultiAgentEnv
from runtime.host.agent_link import AgentLink
from runtime.host.game import GameHost
from runtime.host.live_view import LiveView
from runtime.host.own_agents import own_agents
from runtime.host.team import connect_team
from runtime.host.watch_port import watch_port
from runtime.identity.addresses import Address
from runtime.model_file.metadata import environment_in

KINDS = ("alone", "nobody there", "viewers")
READER = """
import selectors, socket, sys
host, port, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
chosen = selectors.DefaultSelector()
for _ in range(count):
    stream = socket.create_connection((host, port))
    stream.sendall(b"GET /events HTTP/1.0\\r\\n\\r\\n")
    chosen.register(stream, selectors.EVENT_READ)
print("there", flush=True)
while chosen.get_map():
    for key, _ in chosen.select():
        if not key.fileobj.recv(1 << 20):
            chosen.unregister(key.fileobj)
"""


@dataclass(frozen=True, kw_only=True)
class WatchingConfig:
    """The flags of this benchmark."""

    model: Path = Path("zoo/3m.onnx")
    """Model file, whose agents play, one process each."""
    viewers: int = 5
    """Browsers that watch at the same time."""
    turns: int = 12
    """Turns of each kind."""
    battles: int = 25
    """Battles of a turn."""


@dataclass(frozen=True)
class Turn:
    """The time of a joint step and of the environment's, in one turn."""

    wall_ms: float
    processor_ms: float


async def play_turn(env: MultiAgentEnv, addresses: list[Address], kind: str, config: WatchingConfig) -> Turn:
    """Some battles of one kind."""
    async with contextlib.AsyncExitStack() as stack:
        links = await connect_team(addresses, env.spec, 30.0)
        watchers = await stack.enter_async_context(watching(env, links, kind, config))
        host = await stack.enter_async_context(GameHost(env, links, 10_000.0, watchers=watchers))
        await host.play(1, lambda result: None)
        wall_s, processor_s = time.perf_counter(), time.process_time()
        results = await host.play(config.battles, lambda result: None)
        wall_s, processor_s = time.perf_counter() - wall_s, time.process_time() - processor_s
    steps = sum(result.steps for result in results)
    return Turn(1000 * wall_s / steps, 1000 * processor_s / steps)


@contextlib.asynccontextmanager
async def watching(
    env: MultiAgentEnv, links: list[AgentLink], kind: str, config: WatchingConfig
) -> AsyncIterator[list[LiveView]]:
    """The watchers of a kind of turn, with their viewers."""
    if kind == "alone":
        yield []
        return
    view = LiveView(config.battles)
    view.join(env, links, [])
    count = config.viewers if kind == "viewers" else 0
    with watch_port(Address("127.0.0.1", 0), "", view) as url, viewers(url, count):
        yield [view]


@contextlib.contextmanager
def viewers(url: str, count: int) -> Iterator[None]:
    """That many readers of the news, in one process."""
    if not count:
        yield
        return
    address = urlsplit(url)
    words = [sys.executable, "-c", READER, str(address.hostname), str(address.port), str(count)]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "there\n":
            raise SystemExit("the viewers did not come")
        try:
            yield
        finally:
            process.kill()


def summary(turns: dict[str, list[Turn]]) -> dict[str, dict[str, float]]:
    """Medians over turns; ratios to the same round's turn of the kind before."""
    found: dict[str, dict[str, float]] = {}
    for kind, before in zip(KINDS, (None, *KINDS), strict=False):
        mine = turns[kind]
        found[kind] = {
            "wall_ms": round(statistics.median(turn.wall_ms for turn in mine), 3),
            "processor_ms": round(statistics.median(turn.processor_ms for turn in mine), 3),
        }
        if before is not None:
            pairs = list(zip(mine, turns[before], strict=True))
            found[kind] |= {
                "wall_ratio": round(statistics.median(a.wall_ms / b.wall_ms for a, b in pairs), 3),
                "processor_ratio": round(
                    statistics.median(a.processor_ms / b.processor_ms for a, b in pairs), 3
                ),
            }
    return found


def run(config: WatchingConfig) -> None:
    """Play all turns and print what they took."""
    name = environment_in(config.model)[0].name
    find_map(name)  # which must be a map of SMAC's
    turns: dict[str, list[Turn]] = {kind: [] for kind in KINDS}
    with own_agents(config.model, name) as addresses, make_env(name, "sim", seed=0) as env:
        for turn in range(config.turns):
            for place in range(len(KINDS)):
                kind = KINDS[(turn + place) % len(KINDS)]
                turns[kind].append(asyncio.run(play_turn(env, addresses, kind, config)))
    print(json.dumps({"map": name, "n_viewers": config.viewers, **summary(turns)}, indent=2))


def main() -> int:
    """The command; returns its exit code."""
    return run_command(WatchingConfig, run, prog="benchmarks.watching", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
