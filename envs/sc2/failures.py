"""Counts lost games, and stops a run after too many."""

from __future__ import annotations

import logging
from typing import Final

from envs.errors import InputError
from envs.sc2.client import LostGameError

log = logging.getLogger(__name__)

MAX_FAILURES: Final = 5
"""Failures in a row, with no episode played to its end in between, that stop the run."""


class Failures:
    """Counts lost games of one environment; `total` is never reset."""

    def __init__(self, map_name: str) -> None:
        self.map_name = map_name
        self.total = 0
        self._in_a_row = 0

    def note(self, error: LostGameError) -> None:
        """One more game was lost; InputError quoting the game when it is one too many."""
        self._in_a_row += 1
        self.total += 1
        log.warning("a game of %s was lost (%s)", self.map_name, error)
        if self._in_a_row >= MAX_FAILURES:
            raise InputError(
                f"StarCraft II failed {self._in_a_row} times in a row on {self.map_name}; last: {error}"
            ) from error

    def forget(self) -> None:
        """Start counting anew: an episode was played to its end."""
        self._in_a_row = 0
