"""The report of a series of battles: win rate with its interval, returns, availability, latency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.outcomes import summarise
from runtime.host.agent_link import AgentLink
from runtime.host.game import EpisodeResult


def make_report(results: Sequence[EpisodeResult], links: Sequence[AgentLink]) -> dict[str, Any]:
    """The report as plain data: rates of the battles, latencies of all joint steps, one row per agent."""
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
    }


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
