"""`lan-play`: the game host. It plays battles through agents, each in its own process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.command import run_command
from envs.printing import print_result
from envs.smac.maps import MAP_SCRIPT
from envs.stopping import StopWish, stop_wish
from envs.text import one_line
from runtime.host.flags import PlayConfig, ResolvedPlay, resolve
from runtime.identity.tls import load_grpc

if TYPE_CHECKING:
    from rich.console import Console

    from envs.types import MultiAgentEnv
    from runtime.host.agent_link import AgentLink
    from runtime.host.game import EpisodeResult, Watcher
    from runtime.host.live_view import LiveView
    from runtime.identity.addresses import Address

DESCRIPTION = (
    "Play battles through agents. Every agent is sent its own observation and its own available actions, and "
    "nothing else. A unit whose agent does not answer in time does nothing where its environment has an "
    "action for that, and else takes its first available action."
)


@dataclass
class Played:
    """The battles of a run so far, and the agents."""

    results: list[EpisodeResult] = field(default_factory=list)
    links: list[AgentLink] = field(default_factory=list)
    enemies: list[AgentLink] = field(default_factory=list)

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
            **make_report(self.results, self.links, self.enemies),
        }


async def play_env(
    env: MultiAgentEnv,
    resolved: ResolvedPlay,
    on_episode: Callable[[EpisodeResult], None],
    played: Played | None = None,
    view: LiveView | None = None,
) -> dict[str, Any]:
    """Play the battles of `env` through the agents and report; InputError as `connect_team`.

    However it ends, `played` holds what was played, and --record's file too. `view`: what --watch shows.
    """
    from runtime.host.game import GameHost
    from runtime.host.records import ActionsRecord, PageRecord, Record
    from runtime.host.team import connect_team

    config = resolved.config
    played = Played() if played is None else played
    watchers: list[Watcher] = [] if view is None else [view]
    with contextlib.ExitStack() as stack:
        record: Record | None = None
        if config.record is not None and resolved.records_page:
            record = stack.enter_context(contextlib.closing(page := PageRecord(config.record, env)))
            watchers.append(page)
        elif config.record is not None:
            record = stack.enter_context(contextlib.closing(ActionsRecord(config.record)))

        def note(result: EpisodeResult) -> None:
            played.results.append(result)
            for noted in (record, view):
                if noted is not None:
                    noted.note(result)
            on_episode(result)

        links = await connect_team(resolved.addresses, env.spec, config.connect_timeout_s, resolved.tls)
        played.links += links
        if resolved.enemies:
            try:
                played.enemies += await connect_team(
                    resolved.enemies, env.spec, config.connect_timeout_s, called="enemies' agent"
                )
            except BaseException:
                await asyncio.gather(*(link.close() for link in links))
                raise
        if view is not None:
            view.join(env, links, played.enemies)
        async with GameHost(
            env,
            links,
            config.deadline_ms,
            realtime=config.realtime,
            watchers=watchers,
            enemies=played.enemies,
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
        with shown_to_browsers(resolved, screen) as view, agents_of(resolved, screen) as there:
            play_battles(there, screen, stop, played, view)
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
    silent = never_answered([*played.links, *played.enemies])
    for link in silent:
        print(f"lan-play: error: {link} never answered a step: {one_line(link.why_lost)}", file=sys.stderr)
    return 1 if silent or not is_printed else 0


@contextlib.contextmanager
def shown_to_browsers(resolved: ResolvedPlay, screen: Console) -> Iterator[LiveView | None]:
    """What --watch shows in browsers for the block, None without it; InputError where the port is taken."""
    if resolved.watch is None:
        yield None
        return
    from envs.battle.record import live_page
    from envs.make import find_map
    from runtime.host.live_view import LiveView
    from runtime.host.watch_port import EVENTS, watch_port

    smac_map = find_map(resolved.map)
    view = LiveView(resolved.config.episodes)
    page = live_page(smac_map, "agents over gRPC", EVENTS, view.game)
    with watch_port(resolved.watch, page, view) as url:
        pace = "" if resolved.config.realtime else " (--realtime plays at the game's own speed)"
        screen.print(f"watch at {url}{pace}", markup=False, highlight=False)
        yield view


@contextlib.contextmanager
def agents_of(resolved: ResolvedPlay, screen: Console) -> Iterator[ResolvedPlay]:
    """The flags with the addresses of the agents that models start for the block; InputError."""
    from runtime.host.own_agents import own_agents

    with contextlib.ExitStack() as stack:

        def start(model: Path, whose: str) -> list[Address]:
            addresses = stack.enter_context(own_agents(model, resolved.map, whose))
            text = f"{len(addresses)} {whose}agents started, one process each"
            screen.print(text, markup=False, highlight=False)
            return addresses

        if resolved.config.model is not None:
            resolved = replace(resolved, addresses=start(resolved.config.model, ""))
        if resolved.opponent_model is not None:
            resolved = replace(resolved, enemies=tuple(start(resolved.opponent_model, "enemies' ")))
        yield resolved


def play_battles(
    resolved: ResolvedPlay, screen: Console, stop: StopWish, played: Played, view: LiveView | None
) -> None:
    """Play the battles into `played`, with a display and for `view`; InputError, KeyboardInterrupt."""
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

            stop.run(lambda: play_env(InterruptibleEnv(env, stop), resolved, on_episode, played, view))


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
