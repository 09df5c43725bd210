"""One sitting of `lan-train`: a planned run with a display, and a summary at the end."""

from __future__ import annotations

import sys
from contextlib import nullcontext

from rich.console import Console

from envs.errors import DivergedError
from envs.make import BACKEND_NAMES
from envs.stopping import StopWish
from envs.text import one_line
from trainer.runs.assembly import assemble
from trainer.runs.claim import Claim
from trainer.runs.config_file import RUN_NAME
from trainer.runs.display import LiveReporter, PlainReporter, format_duration
from trainer.runs.plan import Plan, resume_words
from trainer.runs.process_memory import peak_memory_mb
from trainer.runs.run import TrainingRun
from trainer.runs.stopping import ask_to_save


def watch(plan: Plan, stop: StopWish, claim: Claim | None = None) -> int:
    """Train; returns 0 when finished or stopped on request, 1 when the run diverged or is not saved.

    `claim`: the directory's, where the caller holds it.
    """
    config, console = plan.config, Console()
    with assemble(plan, claim) as run:
        ask_to_save(run, stop)
        first_steps, saved = run.clocks.env_steps, run.directory.saved_steps
        new = "new run" if config.init_from is None else f"new run from {one_line(config.init_from)}"
        begins = new if saved is None else f"resumed at {saved:,} steps"
        print(
            f"lan-train: {one_line(config.environment)} on {BACKEND_NAMES[plan.backend]} "
            f"(--env {plan.backend}), {config.algorithm}, seed {config.seed}, {begins}, writing to "
            f"{one_line(plan.run_dir)}",
            flush=True,
        )
        live = LiveReporter(console, config, first_steps) if console.is_terminal else None
        try:
            with live or nullcontext(PlainReporter()) as reporter:
                run.run(reporter)
        except DivergedError as error:
            print(f"lan-train: the run diverged: {one_line(error)}", file=sys.stderr)
            return 1
    print_summary(run, first_steps)
    unsaved = [] if run.is_saved else ["the end of this run: its last checkpoint failed"]
    unsaved += [] if run.metrics.has_all_events else ["the last of TensorBoard's events"]
    if unsaved:
        print(f"lan-train: not saved: {' and '.join(unsaved)}", file=sys.stderr)
    return 1 if unsaved else 0


def print_summary(run: TrainingRun, first_steps: int) -> None:
    """Print how the run ended, how fast it was, where its time went, and its memory."""
    folder, clocks, split = run.directory.path, run.clocks, run.wall_split_s
    steps, wall_s = clocks.env_steps - first_steps, clocks.wall_s - clocks.wall_before_s
    words = resume_words(folder, run.config.map)
    ended = "finished" if run.finished else f"stopped; go on with lan-train {words}"
    parts = ", ".join(f"{part} {seconds / wall_s:.1%}" for part, seconds in split.items())
    win_rate = "not evaluated yet" if clocks.win_rate is None else f"{clocks.win_rate:.0%}"
    print(
        f"{ended}: {clocks.env_steps:,} steps, {clocks.episodes:,} episodes, "
        f"{run.learner.updates:,} updates, last win rate {win_rate}\n"
        f"{steps:,} steps in {format_duration(wall_s)}: {steps / wall_s:,.0f} steps/s ({parts}); "
        f"peak memory {peak_memory_mb():,.0f} MB, replay {run.replay.nbytes / 2**20:,.0f} MB\n"
        f"checkpoint: {checkpoint_words(run)}"
    )


def checkpoint_words(run: TrainingRun) -> str:
    """Where the newest checkpoint is, and how old where the end of the run could not be saved."""
    path, saved = one_line(run.directory.path / RUN_NAME), run.directory.saved_steps
    if run.is_saved:
        return path
    if saved is None:
        return "none could be written"
    return f"{path}, an older one, of {saved:,} steps"
