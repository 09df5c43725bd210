"""What a series of battles comes to: win rate with its interval, returns, availability, latency."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from runtime.host.agent_link import AgentLink
from runtime.host.game import EpisodeResult

Z_95 = 1.959963984540054


def wilson_interval(successes: int, trials: int, z: float = Z_95) -> tuple[float, float]:
    """Wilson's score interval of a proportion (E. B. Wilson, 1927), by default at 95 %.

    (0, 1) without trials.
    """
    if not trials:
        return 0.0, 1.0
    p = successes / trials
    centre = (p + z * z / (2 * trials)) / (1 + z * z / trials)
    half = z * math.sqrt(p * (1 - p) / trials + z * z / (4 * trials * trials)) / (1 + z * z / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def make_report(results: Sequence[EpisodeResult], links: Sequence[AgentLink]) -> dict[str, Any]:
    """The report as plain data: rates of the battles, latencies of all joint steps, one row per agent."""
    won = sum(result.won for result in results)
    latency_ms = [ms for result in results for ms in result.latency_ms]
    p50, p99 = np.percentile(latency_ms, (50, 99)).tolist() if latency_ms else (0.0, 0.0)
    return {
        "episodes": len(results),
        "won": won,
        "win_rate": won / len(results) if results else 0.0,
        "win_rate_interval": list(wilson_interval(won, len(results))),
        "return_mean": mean([result.episode_return for result in results]),
        "episode_steps_mean": mean([result.steps for result in results]),
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


def mean(values: Sequence[float]) -> float:
    """The mean, 0 of nothing."""
    return float(np.mean(values)) if len(values) else 0.0
