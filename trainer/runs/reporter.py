"""Where a run's news go: a display, a callback, a test."""

from __future__ import annotations

from typing import Any, Protocol

from trainer.runs.clocks import Clocks


class Reporter(Protocol):
    """Told of a run's news as they come; records are the lines of metrics."""

    def progress(self, clocks: Clocks, epsilon: float) -> None:
        """Something happened."""
        ...

    def record(self, record: dict[str, Any]) -> None:
        """A line of metrics was written."""
        ...

    def warn(self, text: str) -> None:
        """Something failed, and the run goes on."""
        ...
