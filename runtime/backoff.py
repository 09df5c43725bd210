"""Pauses between attempts at something that keeps failing."""

from __future__ import annotations

from collections.abc import Iterator


def growing_pauses(first_s: float, most_s: float) -> Iterator[float]:
    """Pauses in seconds, for ever: each twice as long as the one before, up to `most_s`."""
    pause_s = first_s
    while True:
        yield pause_s
        pause_s = min(2 * pause_s, most_s)
