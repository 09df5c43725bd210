"""`lan-play`: the game host. It plays battles through agents, each in its own process."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.command import run_command
from envs.errors import InputError
from envs.printing import print_result
from envs.smac.maps import MAP_SCRIPT
from envs.stopping import StopWish, stop_wish
from envs.text import one_line
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.tls import HostTls, load_grpc, tls_files

if TYPE_CHECKING:
    from rich.console import Console

    from envs.types import MultiAgentEnv
    from runtime.host.agent_link import AgentLink
    from runtime.host.game import EpisodeResult

DESCRIPTION = (
    "Play battles through agents. Every agent is sent its own observation and its own available actions, and "
    "nothing else. A unit whose agent does not answer in time does nothing where its environment has an "
    "action for that, and else takes its first available action."
)


@dataclass(frozen=True, kw_only=True)
class PlayConfig:
    """The flags of lan-play."""

    map: str | None = None
    """SMAC map, such as 3m or corridor, or a map file, NAME.json; with --model by default the model's own."""
    agents: str | None = None
    """Where running agents listen, in any order: HOST:PORT,HOST:PORT,... or HOST:FIRST-LAST."""
    model: Path | None = None
    """Or: model file; its agents are started for these battles, one process each on this machine."""
    episodes: int = 32
    """Battles to play."""
    env: str = "auto"
    """Where the battles take place: auto, sim, sc2 or smac."""
    opponent: str = MAP_SCRIPT
    """Who commands the enemies: map (its own order), or random, nearest, focus, kite, heuristic."""
    seed: int = 0
    """Seed of the battles."""
    deadline_ms: float = 1000.0
    """Time limit of a joint step; without an answer by then, the agent's unit takes a fallback action."""
    realtime: bool = False
    """Play at the game's own speed, a step every 357 ms, and never wait longer for an agent."""
    record: Path | None = None
    """NAME.html: the first battles, to be watched; any other name: all actions, a JSON object per line."""
    connect_timeout_s: float = 10.0
    """How long to wait at the start for agents that are not there yet."""
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
    """The flags of lan-play with their meaning: the environment's name; backend sim, sc2 or smac; TLS
    credentials, None without.
    """

    config: PlayConfig
    map: str
    backend: str
    addresses: list[Address]
    tls: HostTls | None

    @property
    def records_page(self) -> bool:
        """Whether the record is a page to be watched."""
        return self.config.record is not None and self.config.record.suffix == ".html"


@dataclass
class Played:
    """The battles of a run so far, and the agents."""

    results: list[EpisodeResult] = field(default_factory=list)
    links: list[AgentLink] = field(default_factory=list)

    def report(self, resolved: ResolvedPlay) -> dict[str, Any]:
        """The report as plain data."""
        from runtime.host.report import make_report

        return {
            "map": resolved.map,
            "backend": resolved.backend,
            "opponent": resolved.config.opponent,
            "seed": resolved.config.seed,
            "model_sha256": self.links[0].model_sha256,
            "own_agents": resolved.config.model is not None,
            "episodes_wanted": resolved.config.episodes,
            **make_report(self.results, self.links),
        }


def resolve(config: PlayConfig) -> ResolvedPlay:
    """Read what the flags name; InputError when one cannot be used."""
    from envs.make import resolve_backend
    from runtime.host.environment import check_record, check_team, map_to_play

    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if not 0 <= config.seed < 2**64:
        raise InputError(f"--seed {config.seed}: a seed is 0 or more, and less than 2^64")
    if not 0 < config.deadline_ms <= 3_600_000 or not 0 < config.connect_timeout_s <= 3_600:
        raise InputError("--deadline-ms and --connect-timeout-s must be above 0 and at most an hour")
    tls, addresses = running_agents(config)
    map_name = map_to_play(config.map, config.model)
    if config.record is not None:
        check_record(config.record, map_name)
        config = replace(config, record=config.record.absolute())  # an environment may change the folder
    resolved = ResolvedPlay(config, map_name, resolve_backend(config.env, map_name), addresses, tls)
    if resolved.backend != "sim" and resolved.records_page:
        raise InputError(f"--record {config.record}: only the simulator can be recorded as a page, --env sim")
    check_team(config.opponent, map_name, resolved.backend)
    return resolved


def running_agents(config: PlayConfig) -> tuple[HostTls | None, list[Address]]:
    """How and where running agents are reached: nowhere yet with --model; InputError when nobody may be."""
    if (config.agents is None) == (config.model is None):
        raise InputError(
            "give either --model FILE, whose agents are then started, or --agents ADDRESSES of running ones"
        )
    if config.agents is None:
        for flag in ("tls_cert", "tls_key", "tls_ca", "insecure"):
            if getattr(config, flag):
                name = flag.replace("_", "-")
                raise InputError(
                    f"--{name} is for --agents: those of --model stay on this machine's loopback"
                )
        return None, []
    files = tls_files(config.tls_cert, config.tls_key, config.tls_ca)
    tls = None if files is None else HostTls(files)
    addresses = parse_addresses(config.agents)
    for address in addresses:
        if not address.port:
            raise InputError(f"{address}: no agent listens on port 0; say the port that it printed")
        if not address.is_loopback and tls is None and not config.insecure:
            raise InputError(
                f"{address} is another machine, and what it is sent could be read and changed on the way: "
                "give --tls-cert, --tls-key and --tls-ca, or say --insecure if you mean it"
            )
    return tls, addresses


async def play_env(
    env: MultiAgentEnv,
    resolved: ResolvedPlay,
    on_episode: Callable[[EpisodeResult], None],
    played: Played | None = None,
) -> dict[str, Any]:
    """Play the battles of `env` through the agents and report; InputError as `connect_team`.

    However it ends, `played` holds what was played, and --record's file too.
    """
    from runtime.host.game import GameHost
    from runtime.host.records import ActionsRecord, PageRecord
    from runtime.host.team import connect_team

    config = resolved.config
    played = Played() if played is None else played
    with contextlib.ExitStack() as stack:
        watcher = record = None
        if config.record is not None:
            watcher = PageRecord(config.record, env) if resolved.records_page else None
            record = stack.enter_context(contextlib.closing(watcher or ActionsRecord(config.record)))

        def note(result: EpisodeResult) -> None:
            played.results.append(result)
            if record is not None:
                record.add(result)
            on_episode(result)

        links = await connect_team(resolved.addresses, env.spec, config.connect_timeout_s, resolved.tls)
        played.links += links
        async with GameHost(
            env, links, config.deadline_ms, realtime=config.realtime, watcher=watcher
        ) as host:
            await host.play(config.episodes, note)
    return played.report(resolved)


def play(config: PlayConfig, stop: StopWish) -> int:
    """Make the environment, play, and print the report of what was played, however that ends."""
    resolved = resolve(config)
    load_grpc(with_tls=resolved.tls is not None)  # the modules below load it too
    from runtime.host.report import never_answered, report_table
    from runtime.host.screen import make_screen, start_log

    screen, played = make_screen(), Played()
    start_log(screen)
    try:
        with agents_of(resolved, screen) as there:
            play_battles(there, screen, stop, played)
    finally:
        stop.settle()
        is_printed = True
        if played.results:
            report = played.report(resolved)
            text = json.dumps(report) + "\n" if config.json else report_table(report)
            is_printed = print_result(text, prog="lan-play")
        if len(played.results) < config.episodes and (played.links or stop.number):
            count = f"{len(played.results)} of {config.episodes} battles were played"
            screen.print(count, markup=False, highlight=False)
    if config.record is not None:
        screen.print(f"recorded in {one_line(config.record)}", markup=False, highlight=False)
    silent = never_answered(played.links)
    for link in silent:
        print(f"lan-play: error: {link} never answered a step: {one_line(link.why_lost)}", file=sys.stderr)
    return 1 if silent or not is_printed else 0


@contextlib.contextmanager
def agents_of(resolved: ResolvedPlay, screen: Console) -> Iterator[ResolvedPlay]:
    """The flags with the addresses of the agents, which --model starts for the block; InputError."""
    if resolved.config.model is None:
        yield resolved
        return
    from runtime.host.own_agents import own_agents

    with own_agents(resolved.config.model, resolved.map) as addresses:
        screen.print(f"{len(addresses)} agents started, one process each", markup=False, highlight=False)
        yield replace(resolved, addresses=addresses)


def play_battles(resolved: ResolvedPlay, screen: Console, stop: StopWish, played: Played) -> None:
    """Play the battles into `played`, with a display; InputError, KeyboardInterrupt."""
    from rich.progress import Progress

    from envs.make import make_env
    from runtime.host.environment import with_opponent
    from runtime.host.interruptible import InterruptibleEnv

    config = resolved.config
    where = f"{resolved.map} on {resolved.backend}"
    if config.opponent != MAP_SCRIPT:
        where += f" against {config.opponent}"
    screen.print(f"{where}, seed {config.seed}, {config.episodes} battles", markup=False, highlight=False)
    won = 0
    with make_env(resolved.map, resolved.backend, n_battles=1, seed=config.seed) as made:
        env = with_opponent(made, config.opponent, config.seed)
        if not env.idle_actions:
            text = (
                f"{resolved.map} has no action that does nothing: a silent agent's is the first available one"
            )
            screen.print(text, markup=False, highlight=False)
        with Progress(console=screen, transient=True, disable=not screen.is_terminal) as progress:
            task = progress.add_task("battles", total=config.episodes)

            def on_episode(result: EpisodeResult) -> None:
                nonlocal won
                won += result.won
                progress.update(task, advance=1, description=f"battles, {won} won")

            stop.run(lambda: play_env(InterruptibleEnv(env, stop), resolved, on_episode, played))


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code.

    0 played, 1 an agent never answered or the report could not be printed, 2 bad input, 128 and its number
    after a signal.
    """
    with stop_wish() as stop:
        return run_command(
            PlayConfig, lambda config: play(config, stop), prog="lan-play", description=DESCRIPTION,
            argv=argv, stop=stop,
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
