"""The command that draws what a sweep has trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from envs.text import shell_word
from trainer.runs.config_file import FILE_NAME
from trainer.runs.grid import point_of
from trainer.runs.metrics import read_metrics
from trainer.sweep.jobs import Job


def plot_command(out: Path, jobs: Sequence[Job]) -> str:
    """The command line of `lan-plot` for the runs of a sweep, to paste into a shell.

    Runs that ended at a win rate are cut to the last point that all of them reached, since lan-plot draws no
    runs of different lengths.
    """
    folders = {job.run_dir for job in jobs}
    beside = {path.parent for path in out.absolute().glob(f"*/{FILE_NAME}")} | set(visible(out))
    if beside == folders:
        words = [f"{shell_word(out)}/*"]
    else:  # other runs lie there, which may not be comparable
        words = [shell_word(out / job.run_dir.name) for job in jobs]
    if jobs[0].config.until_win_rate is not None and (until := last_common_point(jobs)) is not None:
        words += ["--until", str(until)]
    return " ".join(["lan-plot", *words, "--out", "curves.png"])


def visible(folder: Path) -> list[Path]:
    """What the shell's `*` stands for in a folder."""
    return [path for path in folder.absolute().iterdir() if not path.name.startswith(".")]


def last_common_point(jobs: Sequence[Job]) -> int | None:
    """The last point of the evaluations' grid that every run has reached, in environment steps."""
    try:
        common = set.intersection(*(points(job) for job in jobs))
    except (OSError, ValueError):  # metrics that somebody has changed or deleted
        return None
    return max(common, default=None)


def points(job: Job) -> set[int]:
    """The points of a run's evaluations."""
    settings = job.config.to_dict()
    evaluations = [record for record in read_metrics(job.run_dir) if record["kind"] == "evaluation"]
    return {point_of(record["env_steps"], settings) for record in evaluations}
