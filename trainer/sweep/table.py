"""Shows a sweep while it runs: a live table on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from envs.text import one_line
from trainer.config import learner_name
from trainer.runs.display import format_duration
from trainer.sweep.jobs import LOG_NAME, Job, Progress, read_progress

STYLES = {"finished": "green", "failed": "bold red", "training": "bold", "waiting": "dim"}
WIDTHS = {
    "algorithm": 9, "seed": 4, "state": 8, "done": 4, "win rate": 8, "return": 8, "time": 11, "left": 11,
}  # fmt: skip
LEFT = ("algorithm", "state")
READ_EVERY_S = 1.0
SAY_EVERY_S = 300.0
"""How often plain lines say how far a run is."""
LINES_AROUND = 6
"""Lines of the screen that the runs leave free."""


@dataclass
class Row:
    """A run in the table; `state` is waiting, training, finished or failed."""

    job: Job
    state: str = "waiting"
    progress: Progress = field(default_factory=Progress)
    steps_at_start: int = 0
    started: float = 0.0
    wall_s: float = 0.0
    log_before: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        self.state = "finished" if self.job.finished else "waiting"
        self.progress = read_progress(self.job.run_dir)
        self.log_before = self._log_stamp()

    def refresh(self) -> None:
        """Read how far the run is; it has begun once its log grows."""
        if self.state == "waiting" and self._log_stamp() != self.log_before:
            self.state, self.started = "training", time.monotonic()
            self.steps_at_start = self.progress.env_steps
        if self.state == "training":
            self.progress = read_progress(self.job.run_dir)
            self.wall_s = time.monotonic() - self.started

    def end(self, state: str) -> None:
        """Take the run's last state, finished or failed."""
        self.refresh()
        self.state, self.progress = state, read_progress(self.job.run_dir)

    @property
    def left_s(self) -> float | None:
        """Seconds until the end at the speed so far; None while that is unknown."""
        done = self.progress.env_steps - self.steps_at_start
        if self.state != "training" or done <= 0:
            return None
        return max(0.0, self.wall_s * (self.job.config.steps - self.progress.env_steps) / done)

    def _log_stamp(self) -> tuple[int, int] | None:
        try:
            status = (self.job.run_dir / LOG_NAME).stat()
        except OSError:  # not there yet, or a shared disk that is away
            return None
        return status.st_mtime_ns, status.st_size


class PlainSweepDisplay:
    """A line whenever a run begins or ends, and every `SAY_EVERY_S` one for each that trains."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.shown = ["waiting"] * len(rows)
        self.shown_at = [0.0] * len(rows)

    def show(self) -> None:
        """Print a line for every run whose state changed, or of which nothing was said for long."""
        ended, now = sum(row.state in ("finished", "failed") for row in self.rows), time.monotonic()
        for index, row in enumerate(self.rows):
            is_late = row.state == "training" and now - self.shown_at[index] >= SAY_EVERY_S
            if row.state != self.shown[index] or is_late:
                self.shown[index], self.shown_at[index] = row.state, now
                left = "" if row.left_s is None else f", {format_duration(row.left_s)} left"
                print(
                    f"{one_line(row.job.name)}: {describe(row)}{left}  ({ended} of {len(self.rows)} ended)",
                    flush=True,
                )


class LiveSweepDisplay:
    """The table, redrawn in place, with the rows that fit on the screen; at the end the whole table stays."""

    def __init__(self, rows: Sequence[Row], console: Console) -> None:
        self.rows = rows
        self.console = console
        self.live = Live(console=console, auto_refresh=False, transient=True)

    def __enter__(self) -> LiveSweepDisplay:
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.__exit__(kind, error, trace)
        self.console.print(make_table(self.rows, len(self.rows)))

    def show(self) -> None:
        """Redraw."""
        self.live.update(make_table(self.rows, max(1, self.console.height - LINES_AROUND)), refresh=True)


def describe(row: Row) -> str:
    """A run's state in one line."""
    text = f"{row.state}, {row.progress.env_steps:,} steps"
    if row.progress.win_rate is not None:
        text += f", win rate {row.progress.win_rate:.0%}, return {row.progress.return_mean:.2f}"
    return text + (f", {format_duration(row.wall_s)}" if row.wall_s else "")


def make_table(rows: Sequence[Row], height: int) -> Group:
    """A line per run, `height` at most, and how many runs are in which state."""
    shown = pick(rows, height)
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("map", no_wrap=True, overflow="ellipsis", max_width=20)  # 100 columns are enough
    for name, width in WIDTHS.items():
        table.add_column(name, no_wrap=True, min_width=width, justify="left" if name in LEFT else "right")
    for row in shown:
        table.add_row(*cells(row), style="dim" if row.state == "waiting" else "")
    hidden = len(rows) - len(shown)
    more = [Text(f"and {hidden} more runs that do not fit here", style="dim")] if hidden else []
    return Group(Text(headline(rows), style="bold"), table, *more)


def cells(row: Row) -> tuple[str | Text, ...]:
    """A row of the table."""
    config, progress = row.job.config, row.progress
    rated = progress.win_rate is not None and progress.return_mean is not None
    return (
        Text(one_line(config.map)),  # a text is no markup
        learner_name(config.algorithm, config.sharing),
        str(config.seed),
        Text(row.state, style=STYLES[row.state]),
        f"{min(1.0, progress.env_steps / config.steps):.0%}",
        f"{progress.win_rate:.0%}" if rated else "-",
        f"{progress.return_mean:.2f}" if rated else "-",
        format_duration(row.wall_s) if row.wall_s else "-",
        "-" if row.left_s is None else format_duration(row.left_s),
    )


def headline(rows: Sequence[Row]) -> str:
    """How many runs are in which state."""
    counts = {state: sum(row.state == state for row in rows) for state in STYLES}
    parts = [f"{count} {state}" for state, count in counts.items() if count]
    return f"lan-sweep: {len(rows)} runs: {', '.join(parts)}"


def pick(rows: Sequence[Row], height: int) -> list[Row]:
    """The `height` rows that matter most, in the order of the sweep."""
    order = ("failed", "training", "waiting", "finished")
    ranked = sorted(range(len(rows)), key=lambda i: (order.index(rows[i].state), i))
    return [rows[i] for i in sorted(ranked[:height])]
