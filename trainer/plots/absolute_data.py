"""The CSV file of `lan-plot --absolute-data`: how many battles of the absolute metric each run won."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.errors import InputError
from trainer.plots.csv_rows import csv_rows, name_in, whole_number
from trainer.plots.curves import Key, Run
from trainer.runs.absolute import BATTLES, AbsoluteMetric, load_absolute

COLUMNS = ("map", "backend", "contract_version", "algorithm", "seed", "won", "battles")

Known = Mapping[Key, float]
"""Win rates by the absolute metric."""


def is_late(metric: AbsoluteMetric, until_steps: int | None) -> bool:
    """Whether the metric's checkpoint is of later than `until_steps`."""
    return until_steps is not None and metric.env_steps > until_steps


def metric_to_write(run: Run, flag: str, until_steps: int | None) -> AbsoluteMetric:
    """A run's metric for the file of `flag`; InputError where it has none, or one of later steps."""
    if not run.settings:
        raise InputError(f"{flag} needs run directories, which hold the absolute metric; {run.path} does not")
    metric = load_absolute(run.path)
    if metric is None:
        raise InputError(
            f"{flag}: {run.path} has no absolute metric of its best.pt yet: lan-eval --absolute {run.path}"
        )
    if is_late(metric, until_steps):
        raise InputError(
            f"{flag}: the best.pt of {run.path} is of step {metric.env_steps}, after --until {until_steps}"
        )
    return metric


def absolute_csv(runs: Sequence[Run], until_steps: int | None) -> str:
    """A line per run; InputError naming a run that lacks the metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in sorted(runs, key=lambda run: (run.map, run.learner, run.seed)):
        metric = metric_to_write(run, "--absolute-data", until_steps)
        writer.writerow([*run.key, int(sum(metric.battles["won"])), BATTLES])
    return text.getvalue()


def holds_absolute(path: Path) -> bool:
    """Whether a CSV file is one of `--absolute-data`."""
    return tuple(csv_rows(path, str(path)).fieldnames or ()) == COLUMNS


def read_absolute(path: Path, before: Known | None = None) -> dict[Key, float]:
    """The win rates in such a file, and those read `before`.

    InputError where a line is none of it, or of a run that has one already.
    """
    rows = csv_rows(path, str(path))
    found: dict[Key, float] = dict(before or {})
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        contract, seed, won, battles = (
            whole_number(row[name] or "", f"{where}: {name}")
            for name in ("contract_version", "seed", "won", "battles")
        )
        if battles != BATTLES or won > battles:
            raise InputError(
                f"{where}: {won} of {battles} battles won; the absolute metric is {BATTLES} battles"
            )
        map_name, backend, learner = (name_in(row, name, where) for name in ("map", "backend", "algorithm"))
        key = map_name, backend, contract, learner, seed
        if key in found:
            raise InputError(f"{where}: seed {seed} of {key[3]} on {key[0]} has a line already")
        found[key] = won / battles
    return found
