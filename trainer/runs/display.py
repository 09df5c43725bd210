"""Shows a run while it learns: a live line on a terminal, plain lines anywhere else."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from envs.text import one_line
from trainer.config import TrainConfig
from trainer.runs.clocks import Clocks


def format_duration(seconds: float) -> str:
    """`47 s`, `12 min 5 s`, `3 h 4 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def describe_record(record: dict[str, Any]) -> str:
    """A line of metrics as one line of text."""
    steps = f"{record['env_steps']:>9,} steps"
    if record["kind"] == "evaluation":
        return (
            f"{steps}  evaluation: win rate {record['win_rate']:.0%}, return {record['return_mean']:.2f}, "
            f"length {record['episode_length_steps']:.1f}  ({format_duration(record['wall_s'])})"
        )
    loss = f"loss {record['loss']:.4f}  " if "loss" in record else "no update yet  "
    return (
        f"{steps}  {record['episodes']:>6,} episodes  {record['updates']:>7,} updates  {loss}"
        f"epsilon {record['epsilon']:.2f}  return {record['return_mean']:.2f}  "
        f"({format_duration(record['wall_s'])})"
    )


class PlainReporter:
    """One line per record, for logs and pipes."""

    def progress(self, clocks: Clocks, epsilon: float) -> None:
        """Nothing between records."""

    def record(self, record: dict[str, Any]) -> None:
        """Print a record."""
        print(describe_record(record), flush=True)

    def warn(self, text: str) -> None:
        """Print a warning."""
        print(f"lan-train: warning: {one_line(text)}", file=sys.stderr, flush=True)


class LiveReporter:
    """A progress bar with the run's numbers, redrawn in place; evaluations stay above it as lines."""

    def __init__(self, console: Console, config: TrainConfig, start_steps: int) -> None:
        self.config = config
        self.start_steps = start_steps
        self.started = time.monotonic()
        self.live = Live(Text("starting"), console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> LiveReporter:
        self.live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.live.__exit__(kind, error, trace)

    def progress(self, clocks: Clocks, epsilon: float) -> None:
        """Redraw."""
        elapsed_s = time.monotonic() - self.started
        done, total = clocks.env_steps, self.config.steps
        steps_per_s = (done - self.start_steps) / elapsed_s
        left = format_duration((total - done) / steps_per_s) if steps_per_s > 0 and done < total else "-"
        shown = {
            "steps": f"{done:,} / {total:,}",
            "steps/s": f"{steps_per_s:,.0f}",
            "episodes": f"{clocks.episodes:,}",
            "loss": "-" if clocks.loss is None else f"{clocks.loss:.4f}",
            "epsilon": f"{epsilon:.2f}",
            "win rate": "-" if clocks.win_rate is None else f"{clocks.win_rate:.0%}",
            "left": left,
        }
        numbers = Text("  ").join(
            Text.assemble((f"{name} ", "dim"), (value, "bold")) for name, value in shown.items()
        )
        whole = Table.grid(expand=True)  # a bar by itself ends no line
        whole.add_row(ProgressBar(total=total, completed=min(done, total)))
        whole.add_row(numbers)
        self.live.update(whole)

    def record(self, record: dict[str, Any]) -> None:
        """Print an evaluation above the bar."""
        if record["kind"] == "evaluation":
            self.live.console.print(describe_record(record), highlight=False)

    def warn(self, text: str) -> None:
        """Print a warning above the bar."""
        self.live.console.print(Text(f"warning: {one_line(text)}", style="yellow"))
