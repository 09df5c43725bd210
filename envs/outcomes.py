"""Results of battles: of one, and rates and means over many."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class EpisodeStats:
    """How one episode went: undiscounted return, steps, and whether the battle was won."""

    episode_return: float
    length_steps: int
    won: bool


@dataclass(frozen=True)
class Summary:
    """Rates and means over `episodes` battles, all 0 without any; returns are undiscounted."""

    episodes: int
    won: int
    win_rate: float
    return_mean: float
    length_mean_steps: float

    @property
    def win_rate_interval(self) -> tuple[float, float]:
        """Wilson's 95 % interval of the win rate."""
        return wilson_interval(self.won, self.episodes)


def summarise(stats: Sequence[EpisodeStats]) -> Summary:
    """Counts and means over episodes."""
    n, won = len(stats), sum(stat.won for stat in stats)
    return Summary(
        episodes=n,
        won=won,
        win_rate=won / max(n, 1),
        return_mean=sum(stat.episode_return for stat in stats) / max(n, 1),
        length_mean_steps=sum(stat.length_steps for stat in stats) / max(n, 1),
    )


def battles_of(stats: Sequence[EpisodeStats]) -> dict[str, list[float]]:
    """Every battle's return, length and win (0 or 1), in lists."""
    return {
        "return": [stat.episode_return for stat in stats],
        "length_steps": [stat.length_steps for stat in stats],
        "won": [int(stat.won) for stat in stats],
    }


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
