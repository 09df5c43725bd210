"""`lan-play`: the game host. It plays battles through agents, each of them a process of its own."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.command import run_command
from envs.errors import InputError
from envs.files import write_atomically
from runtime.identity.addresses import parse_addresses
from runtime.identity.tls import HostTls, tls_files

if TYPE_CHECKING:
    from rich.console import Console

    from envs.battle.record import Recorder
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
    """Where the agents listen, in any order: HOST:PORT,HOST:PORT,..."""
    episodes: int = 32
    """Battles to play."""
    env: str = "auto"
    """Where the battles take place: auto, sim, sc2 or smac."""
    seed: int = 0
    """Seed of the battles."""
    deadline_ms: float = 1000.0
    """How long a joint step may take; an agent without an answer by then is played without."""
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
    """Certificate (PEM) of the authority that the agents' certificates are from."""
    insecure: bool = False
    """Talk to agents on other machines without encryption or identity."""
    json: bool = False
    """Print the report as one JSON object."""


def check_config(config: PlayConfig) -> None:
    """InputError when a flag cannot be used."""
    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: a seed is 0 or more")
    if not 0 < config.deadline_ms <= 3_600_000 or not 0 < config.connect_timeout_s <= 3_600:
        raise InputError("--deadline-ms and --connect-timeout-s must be above 0 and at most an hour")
    if config.record is not None and not config.record.absolute().parent.is_dir():
        raise InputError(f"--record {config.record}: there is no directory {config.record.parent}")
    has_tls = host_tls(config) is not None
    for address in parse_addresses(config.agents):
        if not address.is_loopback and not has_tls and not config.insecure:
            raise InputError(
                f"{address} is another machine, and what it is sent could be read and changed on the way: "
                "give --tls-cert, --tls-key and --tls-ca, or say --insecure if you mean it"
            )


def make_recorder(config: PlayConfig) -> Recorder | None:
    """What records battles as a page, when that is what is wanted."""
    if config.record is None or config.record.suffix != ".html":
        return None
    from envs.battle.record import Recorder

    return Recorder("agents over gRPC")


def write_record(path: Path, results: Sequence[EpisodeResult]) -> None:
    """One line per battle: its number, outcome, and actions [T][N]; the file appears when it is complete."""
    lines = [
        json.dumps(
            {
                "episode": result.episode,
                "won": result.won,
                "return": result.episode_return,
                "fallbacks": result.fallbacks,
                "actions": result.actions.tolist(),
            }
        )
        for result in results
    ]
    write_atomically(path, ("\n".join(lines) + "\n").encode())


def host_tls(config: PlayConfig) -> HostTls | None:
    """What to show agents and to want of them; None without TLS. InputError when the files are not right."""
    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    return None if files is None else HostTls(files)


async def play_env(
    env: MultiAgentEnv, config: PlayConfig, on_episode: Callable[[EpisodeResult], None]
) -> dict[str, Any]:
    """Play `config.episodes` battles of `env` through the agents and report; InputError as `connect_team`."""
    from runtime.host.game import GameHost, connect_team
    from runtime.host.report import make_report

    tls = host_tls(config)
    links = await connect_team(parse_addresses(config.agents), env.spec, config.connect_timeout_s, tls)
    recorder = make_recorder(config)
    host = GameHost(env, links, config.deadline_ms, realtime=config.realtime, recorder=recorder)
    try:
        results = await host.play(config.episodes, on_episode)
    finally:
        await host.close()
    if config.record is not None:
        write_record(config.record, results) if recorder is None else recorder.write(config.record)
    assert links[0].identity is not None
    return {"model_sha256": links[0].identity.model_sha256, **make_report(results, links)}


def play(config: PlayConfig) -> int:
    """Make the environment, play, and print the report."""
    from rich.console import Console
    from rich.logging import RichHandler
    from rich.progress import Progress

    from envs.make import make_env, resolve_backend

    check_config(config)
    backend = resolve_backend(config.env, config.map)
    if backend != "sim" and config.record is not None and config.record.suffix == ".html":
        raise InputError(f"--record {config.record}: only the simulator can be recorded as a page, --env sim")
    screen = Console(stderr=True)
    handler = RichHandler(console=screen, show_path=False, show_level=False)
    logging.basicConfig(level=logging.INFO, format="%(message)s", handlers=[handler])
    screen.print(f"{config.map} on {backend}, seed {config.seed}, {config.episodes} battles", highlight=False)
    env = make_env(config.map, backend, n_battles=1, seed=config.seed)
    won = 0
    try:
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            task = progress.add_task("battles", total=config.episodes)

            def on_episode(result: EpisodeResult) -> None:
                nonlocal won
                won += result.won
                progress.update(task, advance=1, description=f"battles, {won} won")

            report = asyncio.run(play_env(env, config, on_episode))
    finally:
        env.close()
    report = {"map": config.map, "backend": backend, "seed": config.seed, **report}
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
