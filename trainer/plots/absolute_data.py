"""The CSV file of `lan-plot --absolute-data`: how many battles of the absolute metric each run won."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from envs.errors import InputError
from trainer.plots.csv_rows import csv_rows, whole_number
from trainer.plots.curves import Run
from trainer.runs.absolute import BATTLES, load_absolute

COLUMNS = ("map", "algorithm", "seed", "won", "battles")

Known = Mapping[tuple[str, str, int], float]
"""Win rates by the absolute metric, by map, learner and seed."""


def absolute_csv(runs: Sequence[Run]) -> str:
    """A line per run; InputError naming a run that lacks the metric."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for run in sorted(runs, key=lambda run: (run.map, run.learner, run.seed)):
        metric = load_absolute(run.path) if run.settings else None
        if metric is None:
            raise InputError(
                f"--absolute-data: {run.path} has none of its best.pt; lan-eval --absolute RUN plays it"
            )
        writer.writerow([run.map, run.learner, run.seed, int(sum(metric.battles["won"])), BATTLES])
    return text.getvalue()


def holds_absolute(path: Path) -> bool:
    """Whether a CSV file is one of `--absolute-data`."""
    return tuple(csv_rows(path, str(path)).fieldnames or ()) == COLUMNS


def read_absolute(path: Path) -> Known:
    """The win rates in such a file; InputError where a line is none of it."""
    rows = csv_rows(path, str(path))
    found: dict[tuple[str, str, int], float] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        seed, won, battles = (whole_number(row[name] or "", f"{where}: {name}") for name in COLUMNS[2:])
        if battles != BATTLES or won > battles:
            raise InputError(
                f"{where}: {won} of {battles} battles won; the absolute metric is {BATTLES} battles"
            )
        key = row["map"] or "", row["algorithm"] or "", seed
        if key in found:
            raise InputError(f"{where}: seed {seed} of {key[1]} on {key[0]} has a line already")
        found[key] = won / battles
    return found
