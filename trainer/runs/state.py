"""The clocks of a run, and who is told about them."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Protocol


class Reporter(Protocol):
    """Who shows a run to the person watching; records are the metrics' lines."""

    def progress(self, state: RunState, epsilon: float) -> None:
        """Something happened."""
        ...

    def record(self, record: dict[str, Any]) -> None:
        """A line of metrics was written."""
        ...

    def warn(self, text: str) -> None:
        """Something failed, and the run goes on."""
        ...


@dataclass
class RunState:
    """The clocks of a run and whatever else is neither network nor replay.

    env_steps counts steps of finished episodes; pending_updates are gradient updates owed for episodes that
    were already collected.
    """

    env_steps: int = 0
    episodes: int = 0
    pending_updates: int = 0
    next_eval_steps: int = 0
    next_log_steps: int = 0
    evaluated_at_steps: int = -1
    evaluations: int = 0
    good_evaluations: int = 0
    best_win_rate: float = -1.0
    win_rate: float | None = None
    loss: float | None = None
    metrics_lines: int = 0
    wall_s: float = 0.0
    window_sums: dict[str, float] = field(default_factory=dict)
    window_counts: dict[str, int] = field(default_factory=dict)
    rng: str = ""
    collector: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {f.name: getattr(self, f.name) for f in fields(self)}
