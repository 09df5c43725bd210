"""Runs in the JSON form of marl-eval, the field's tool for such comparisons (InstaDeep, 2022)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from envs.errors import InputError
from envs.plain import is_smac_map
from trainer.plots.absolute_data import metric_to_write
from trainer.plots.curves import Run
from trainer.runs.absolute import are_battles
from trainer.runs.metrics import FILE_NAME, read_metrics

NAMES = {"win_rate": "won", "return": "return", "episode_length": "length_steps"}
"""marl-eval's metrics, and which list of a run's battles each one is."""


def marl_eval_json(runs: Sequence[Run], until_steps: int | None) -> str:
    """Environment, map, learner, seed, evaluations up to the shortest run's end, and the absolute metric.

    Every metric is a list with an entry per battle, as marl-eval wants it. InputError where a run keeps no
    battles, or has no absolute metric yet.
    """
    shared = set.intersection(*(set(run.by_point) for run in runs))
    if not shared:
        raise InputError("--marl-eval: the runs have no point in common")
    data: dict[str, Any] = {}
    for run in runs:
        environment = "smac" if is_smac_map(run.map) else run.map
        by_learner = data.setdefault(environment, {}).setdefault(run.map, {})
        by_seed = by_learner.setdefault(run.learner.replace(",", ";"), {})  # marl-eval splits at commas
        by_seed[f"seed_{run.seed}"] = run_entry(run, shared, until_steps)
    return json.dumps(data)


def run_entry(run: Run, shared: set[int], until_steps: int | None) -> dict[str, Any]:
    """The evaluations of a run at the `shared` points, and its absolute metric."""
    absolute = metric_to_write(run, "--marl-eval", until_steps)
    evaluations = [record for record in read_metrics(run.path) if record["kind"] == "evaluation"]
    by_point: dict[int, Any] = {}
    for point, record in zip(run.points.tolist(), evaluations, strict=False):
        if "battles" not in record:
            raise InputError(f"{run.path} was made before evaluations kept every battle; train it anew")
        if not are_battles(record["battles"]):
            where = f"{run.path / FILE_NAME}, the evaluation at {point} steps"
            raise InputError(f"{where}: its battles are damaged; take the file from a copy, or train anew")
        by_point.setdefault(point, metrics_of(record["battles"]))
    entry = {
        f"step_{index}": {"step_count": point, **by_point[point]}
        for index, point in enumerate(sorted(shared))
    }
    return {**entry, "absolute_metrics": metrics_of(absolute.battles)}


def metrics_of(battles: dict[str, list[float]]) -> dict[str, list[float]]:
    """marl-eval's metrics of some battles."""
    return {name: [float(value) for value in battles[key]] for name, key in NAMES.items()}
