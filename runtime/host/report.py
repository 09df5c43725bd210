"""The report of a series of battles: win rate with its interval, returns, availability, latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.outcomes import summarise
from envs.smac.maps import MAP_SCRIPT
from runtime.host.agent_link import AgentLink
from runtime.host.game import EpisodeResult


def make_report(
    results: Sequence[EpisodeResult], links: Sequence[AgentLink], enemies: Sequence[AgentLink] = ()
) -> dict[str, Any]:
    """The report as plain data: rates of the battles, latencies of all joint steps, one row per agent.

    `enemies` are the links to the enemies' agents where they have some; else that entry is None.
    """
    summary = summarise([result.stats for result in results])
    latency_ms = [ms for result in results for ms in result.latency_ms]
    p50, p99 = np.percentile(latency_ms, (50, 99)).tolist() if latency_ms else (0.0, 0.0)
    return {
        "episodes": summary.episodes,
        "won": summary.won,
        "win_rate": summary.win_rate,
        "win_rate_interval": list(summary.win_rate_interval),
        "return_mean": summary.return_mean,
        "episode_steps_mean": summary.length_mean_steps,
        "fallbacks": sum(result.fallbacks for result in results),
        "latency_ms": {"p50": p50, "p99": p99},
        "agents": [agent_row(link) for link in links],
        "enemies": None
        if not enemies
        else {
            "model_sha256": enemies[0].model_sha256,
            "fallbacks": sum(link.counts.fallbacks for link in enemies),
            "agents": [agent_row(link) for link in enemies],
        },
    }


def never_answered(links: Sequence[AgentLink]) -> list[AgentLink]:
    """The agents that were asked and gave no answer at all."""
    return [link for link in links if 0 < link.counts.steps == link.counts.fallbacks]


def agent_row(link: AgentLink) -> dict[str, Any]:
    """How well one agent could be reached."""
    counts = link.counts
    return {
        "agent_id": None if link.identity is None else link.identity.agent_id,
        "address": str(link.address),
        "steps": counts.steps,
        "fallbacks": counts.fallbacks,
        "availability": 1.0 - counts.fallbacks / counts.steps if counts.steps else 1.0,
        "reconnects": counts.reconnects,
        "replayed_steps": counts.replayed_steps,
    }


def reached(row: dict[str, Any]) -> str:
    """How well an agent could be reached, in words."""
    return f"answered {row['availability']:.1%} of {row['steps']} steps, {row['reconnects']} reconnects"


def report_table(report: dict[str, Any]) -> str:
    """The report as a table for people."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    low, high = report["win_rate_interval"]
    against = "" if report["opponent"] == MAP_SCRIPT else f" against {report['opponent']}"
    title = Text(f"{report['map']} on {report['backend']}{against}, seed {report['seed']}")
    table = Table(title=title, show_header=False)
    played = report["episodes"]
    short = "" if played == report["episodes_wanted"] else f"; {report['episodes_wanted']} were wanted"
    table.add_row("battles won", f"{report['won']} of {played}{short}")
    table.add_row("win rate", f"{report['win_rate']:.1%} (95 % interval {low:.1%} to {high:.1%})")
    table.add_row("return", f"{report['return_mean']:.2f}")
    table.add_row("battle length", f"{report['episode_steps_mean']:.1f} steps")
    latency = report["latency_ms"]
    table.add_row("joint step", f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms")
    table.add_row("fallbacks", str(report["fallbacks"]))
    if report["own_agents"]:
        table.add_row("agents", f"{len(report['agents'])}, started by lan-play, one process each")
    for row in report["agents"]:
        if row["fallbacks"] or row["reconnects"]:
            table.add_row(f"agent {row['agent_id']}", reached(row))
    if report["enemies"] is not None:
        rows, missed = report["enemies"]["agents"], report["enemies"]["fallbacks"]
        table.add_row("enemies", f"{len(rows)} agents, started by lan-play, one process each")
        table.add_row("enemies' fallbacks", str(missed))
        for row in rows:
            if row["fallbacks"] or row["reconnects"]:
                table.add_row(f"enemies' agent {row['agent_id']}", reached(row))
    console = Console()
    with console.capture() as capture:
        console.print(table)
    return capture.get()
