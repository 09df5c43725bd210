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
from trainer.plots.csv_rows import check_columns, csv_rows, metric_value, name_in, whole_number
from trainer.plots.curves import Key, Run

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
    check_columns(rows, str(path), (*COLUMNS, metric), f"file of lan-plot --data with --metric {metric}")
    found: dict[Key, dict[int, tuple[int, float]]] = {}
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        contract, seed, steps, point = (
            whole_number(row[name] or "", f"{where}: {name}")
            for name in ("contract_version", "seed", "env_steps", "point")
        )
        map_name, backend, learner = (name_in(row, name, where) for name in ("map", "backend", "algorithm"))
        value = metric_value(row[metric] or "", metric, where)
        run = found.setdefault((map_name, backend, contract, learner, seed), {})
        if steps in run:
            raise InputError(f"{where}: this run has a line with env_steps {steps} already")
        run[steps] = point, value
    if not found:
        raise InputError(f"{path} holds no evaluation")
    return [make_run(path, key, evaluations, until_steps) for key, evaluations in found.items()]


def make_run(path: Path, key: Key, evaluations: dict[int, tuple[int, float]], until_steps: int | None) -> Run:
    """One of the runs; InputError where none of its evaluations is early enough."""
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
        seed=seed,
        backend=backend,
        contract_version=contract,
        settings={},
        steps=np.array(steps, float),
        points=np.array(points, np.int64),
        values=np.array(values, float),
    )
