"""The CSV file of `lan-plot --data`: every evaluation of every run, from which a figure is drawn again."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from envs.errors import InputError
from envs.text import one_line
from trainer.plots.csv_rows import csv_rows, metric_value, whole_number
from trainer.plots.curves import Run

COLUMNS = ("map", "backend", "contract_version", "algorithm", "seed", "env_steps", "point")


def evaluations_csv(runs: Sequence[Run], metric: str) -> str:
    """Every evaluation of every run as a line; `point` is the one at which it is drawn."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")  # quotes what needs it
    writer.writerow([*COLUMNS, metric])
    counts = Counter(run.key for run in runs)
    if twice := [key for key, count in counts.items() if count > 1]:
        map_name, *_, learner, seed = twice[0]
        raise InputError(f"--data: seed {seed} of {one_line(learner)} on {one_line(map_name)} is drawn twice")
    for run in sorted(runs, key=lambda run: (run.map, run.learner, run.seed)):
        rows = zip(run.steps.tolist(), run.points.tolist(), run.values.tolist(), strict=True)
        writer.writerows(
            [*run.key, int(steps), point, repr(value).removesuffix(".0")] for steps, point, value in rows
        )
    return text.getvalue()


def read_runs(path: Path, metric: str, until_steps: int | None = None) -> list[Run]:
    """The runs in such a file, up to the point `until_steps`; InputError when it is none of that metric."""
    if metric in COLUMNS:
        raise InputError(f"--metric {metric} is no metric, but a column of {path} that says what a row is")
    rows = csv_rows(path, str(path))
    if lacking := [name for name in (*COLUMNS, metric) if name not in (rows.fieldnames or ())]:
        raise InputError(f"{path} is no file of lan-plot --data: it lacks the column {lacking[0]}")
    found: dict[tuple[str, ...], dict[int, tuple[int, float]]] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        steps, point = (whole_number(row[name] or "", f"{where}: {name}") for name in ("env_steps", "point"))
        value = metric_value(row[metric] or "", metric, where)
        run = found.setdefault(tuple(row[name] or "" for name in COLUMNS[:5]), {})
        if steps in run:
            raise InputError(f"{where}: this run has a line with env_steps {steps} already")
        run[steps] = point, value
    if not found:
        raise InputError(f"{path} holds no evaluation")
    return [make_run(path, key, evaluations, until_steps) for key, evaluations in found.items()]


def make_run(
    path: Path, key: tuple[str, ...], evaluations: dict[int, tuple[int, float]], until_steps: int | None
) -> Run:
    """One of the runs, by its first five columns; InputError where contract or seed is no number."""
    map_name, backend, contract, learner, seed = key
    kept = [
        (steps, point, value)
        for steps, (point, value) in sorted(evaluations.items())
        if until_steps is None or point <= until_steps
    ]
    if not kept:
        who = one_line(f"seed {seed} of {learner} on {map_name}")
        raise InputError(f"{path}: {who} has no evaluation up to step {until_steps}")
    steps, points, values = zip(*kept, strict=True)
    return Run(
        path=path,
        map=map_name,
        algorithm=learner,
        seed=whole_number(seed, f"{path}: a seed"),
        backend=backend,
        contract_version=whole_number(contract, f"{path}: a contract_version"),
        settings={},
        steps=np.array(steps, float),
        points=np.array(points, np.int64),
        values=np.array(values, float),
    )
