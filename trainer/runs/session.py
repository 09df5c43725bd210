"""One sitting of `lan-train`: a planned run with a display, signals answered, and a summary at the end."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from types import FrameType

from rich.console import Console

from envs.errors import DivergedError
from envs.make import BACKEND_NAMES
from trainer.runs.assembly import assemble
from trainer.runs.checkpoint import FILE_NAME
from trainer.runs.display import LiveReporter, PlainReporter, format_duration
from trainer.runs.plan import Plan
from trainer.runs.process_memory import peak_memory_mb
from trainer.runs.run import TrainingRun


def watch(plan: Plan) -> int:
    """Train; returns 0 when finished or stopped on request, 1 when the run diverged or is not saved."""
    config, console = plan.config, Console()
    with assemble(plan) as run, stop_on_signals(run):
        first_steps, saved = run.clocks.env_steps, run.directory.saved_steps
        begins = "new run" if saved is None else f"resumed at {saved:,} steps"
        print(
            f"lan-train: {config.environment} on {BACKEND_NAMES[plan.backend]} (--env {plan.backend}), "
            f"{config.algorithm}, seed {config.seed}, {begins}, writing to {plan.run_dir}",
            flush=True,
        )
        live = LiveReporter(console, config, first_steps) if console.is_terminal else None
        try:
            with live or nullcontext(PlainReporter()) as reporter:
                run.run(reporter)
        except DivergedError as error:
            print(f"lan-train: the run diverged: {error}", file=sys.stderr)
            return 1
    print_summary(run, first_steps)
    if not run.is_saved:
        print("lan-train: the end of this run is not saved: its last checkpoint failed", file=sys.stderr)
    return 0 if run.is_saved else 1


@contextmanager
def stop_on_signals(run: TrainingRun) -> Iterator[None]:
    """Ctrl-C and SIGTERM ask the run to save and stop; the second one stops it at once."""

    def stop(number: int, frame: FrameType | None) -> None:
        if run.stop_requested:
            raise KeyboardInterrupt
        run.stop_requested = True
        print("\nstopping: saving after this update; once more to stop without saving", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_summary(run: TrainingRun, first_steps: int) -> None:
    """Print how the run ended, how fast it was, where its time went, and its memory."""
    folder, clocks, split = run.directory.path, run.clocks, run.wall_split_s
    steps, wall_s = clocks.env_steps - first_steps, clocks.wall_s - clocks.wall_before_s
    ended = "finished" if run.finished else f"stopped; go on with lan-train --resume {folder}"
    parts = ", ".join(f"{part} {seconds / wall_s:.1%}" for part, seconds in split.items())
    win_rate = "not evaluated yet" if clocks.win_rate is None else f"{clocks.win_rate:.0%}"
    print(
        f"{ended}: {clocks.env_steps:,} steps, {clocks.episodes:,} episodes, "
        f"{run.learner.updates:,} updates, last win rate {win_rate}\n"
        f"{steps:,} steps in {format_duration(wall_s)}: {steps / wall_s:,.0f} steps/s ({parts}); "
        f"peak memory {peak_memory_mb():,.0f} MB, replay {run.replay.nbytes / 2**20:,.0f} MB\n"
        f"checkpoint: {folder / FILE_NAME}"
    )
