"""`lan-play`: the game host. It plays battles through agents, each in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.command import run_command
from envs.errors import InputError
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.tls import HostTls, tls_files

if TYPE_CHECKING:
    from rich.console import Console

    from envs.types import MultiAgentEnv
    from runtime.host.game import EpisodeResult

DESCRIPTION = (
    "Play battles through agents. Every agent is sent its own observation and its own available actions, and "
    "nothing else; a unit whose agent does not answer in time stands still."
)


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """The flags of lan-play."""

    map: str
    """SMAC map, such as 3m or corridor."""
    agents: str
    """Where the agents listen, in any order: HOST:PORT,HOST:PORT,... or HOST:FIRST-LAST."""
    episodes: int = 32
    """Battles to play."""
    env: str = "auto"
    """Where the battles take place: auto, sim, sc2 or smac."""
    seed: int = 0
    """Seed of the battles."""
    deadline_ms: float = 1000.0
    """Time limit of a joint step; without an answer by then, the agent's unit takes a fallback action."""
    realtime: bool = False
    """Play at the game's own speed, a step every 357 ms, and never wait longer for an agent."""
    record: Path | None = None
    """NAME.html: the first battles, to be watched; any other name: all actions, a JSON object per line."""
    connect_timeout_s: float = 10.0
    """How long an agent may take to answer at the start."""
    tls_cert: str | None = None
    """The host's certificate (PEM), issued for spiffe://lan/host."""
    tls_key: str | None = None
    """The certificate's private key (PEM)."""
    tls_ca: str | None = None
    """Certificate (PEM) of the authority that signed the agents' certificates."""
    insecure: bool = False
    """Talk to agents on other machines without encryption or identity."""
    json: bool = False
    """Print the report as one JSON object."""


@dataclass(frozen=True)
class ResolvedPlay:
    """The flags of lan-play with their meaning: backend sim, sc2 or smac; TLS credentials, None without."""

    config: PlayConfig
    backend: str
    addresses: list[Address]
    tls: HostTls | None

    @property
    def records_page(self) -> bool:
        """Whether the record is a page to be watched."""
        return self.config.record is not None and self.config.record.suffix == ".html"


def resolve(config: PlayConfig) -> ResolvedPlay:
    """Read what the flags name; InputError when one cannot be used."""
    from envs.make import resolve_backend

    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: a seed is 0 or more")
    if not 0 < config.deadline_ms <= 3_600_000 or not 0 < config.connect_timeout_s <= 3_600:
        raise InputError("--deadline-ms and --connect-timeout-s must be above 0 and at most an hour")
    if config.record is not None and not config.record.absolute().parent.is_dir():
        raise InputError(f"--record {config.record}: there is no directory {config.record.parent}")
    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    tls = None if files is None else HostTls(files)
    addresses = parse_addresses(config.agents)
    for address in addresses:
        if not address.is_loopback and tls is None and not config.insecure:
            raise InputError(
                f"{address} is another machine, and what it is sent could be read and changed on the way: "
                "give --tls-cert, --tls-key and --tls-ca, or say --insecure if you mean it"
            )
    resolved = ResolvedPlay(config, resolve_backend(config.env, config.map), addresses, tls)
    if resolved.backend != "sim" and resolved.records_page:
        raise InputError(f"--record {config.record}: only the simulator can be recorded as a page, --env sim")
    return resolved


async def play_env(
    env: MultiAgentEnv, resolved: ResolvedPlay, on_episode: Callable[[EpisodeResult], None]
) -> dict[str, Any]:
    """Play the battles of `env` through the agents and report; InputError as `connect_team`."""
    from runtime.host.game import GameHost
    from runtime.host.records import PageWatcher, write_record
    from runtime.host.report import make_report
    from runtime.host.team import connect_team

    config = resolved.config
    watcher = PageWatcher(env) if resolved.records_page else None
    links = await connect_team(resolved.addresses, env.spec, config.connect_timeout_s, resolved.tls)
    async with GameHost(env, links, config.deadline_ms, realtime=config.realtime, watcher=watcher) as host:
        results = await host.play(config.episodes, on_episode)
    if watcher is not None and config.record is not None:
        watcher.write(config.record)
    elif config.record is not None:
        write_record(config.record, results)
    return {"model_sha256": links[0].model_sha256, **make_report(results, links)}


def play(config: PlayConfig) -> int:
    """Make the environment, play, and print the report."""
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import Progress

    from envs.make import make_env

    resolved = resolve(config)
    screen = Console(stderr=True)
    handler = RichHandler(console=screen, show_path=False, show_level=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    where = f"{config.map} on {resolved.backend}"
    screen.print(f"{where}, seed {config.seed}, {config.episodes} battles", highlight=False)
    won = 0
    with contextlib.ExitStack() as stack:
        env = make_env(config.map, resolved.backend, n_battles=1, seed=config.seed)
        stack.callback(env.close)
        progress = Progress(console=screen, transient=True, disable=not screen.is_terminal)
        task = stack.enter_context(progress).add_task("battles", total=config.episodes)

        def on_episode(result: EpisodeResult) -> None:
            nonlocal won
            won += result.won
            progress.update(task, advance=1, description=f"battles, {won} won")

        report = asyncio.run(play_env(env, resolved, on_episode))
    if config.record is not None:
        screen.print(f"recorded in {config.record}", highlight=False)
    report = {"map": config.map, "backend": resolved.backend, "seed": config.seed, **report}
    if config.json:
        print(json.dumps(report))
    else:
        print_report(Console(), report)
    return 0


def print_report(console: Console, report: dict[str, Any]) -> None:
    """The report as a table for people."""
    from rich.table import Table

    low, high = report["win_rate_interval"]
    table = Table(title=f"{report['map']} on {report['backend']}, seed {report['seed']}", show_header=False)
    table.add_row("battles won", f"{report['won']} of {report['episodes']}")
    table.add_row("win rate", f"{report['win_rate']:.1%} (95 % interval {low:.1%} to {high:.1%})")
    table.add_row("return", f"{report['return_mean']:.2f}")
    table.add_row("battle length", f"{report['episode_steps_mean']:.1f} steps")
    latency = report["latency_ms"]
    table.add_row("joint step", f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms")
    table.add_row("fallbacks", str(report["fallbacks"]))
    for row in report["agents"]:
        if row["fallbacks"] or row["reconnects"]:
            answered = f"answered {row['availability']:.1%} of {row['steps']} steps"
            table.add_row(f"agent {row['agent_id']}", f"{answered}, {row['reconnects']} reconnects")
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 played, 2 bad input."""
    return run_command(PlayConfig, play, prog="lan-play", description=DESCRIPTION, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
