"""Runs over seeds and maps: a line and a band per learner and map, averages, who is ahead."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from envs.errors import InputError
from envs.text import one_line
from trainer.plots.absolute_data import Known, is_late
from trainer.plots.curves import Reals, Run
from trainer.plots.estimates import MIN_RUNS, Estimate, estimate, improvement, interquartile_mean, profile
from trainer.runs.absolute import load_absolute

Summary = Literal["iqm", "median"]
"""`iqm`: interquartile mean and 95 % interval. `median`: median and quartiles, as in the LAN paper."""

THRESHOLDS = np.linspace(0.0, 1.0, 33)


@dataclass(frozen=True)
class Curve:
    """Seeds of one learner on one map: `values` [G, seeds] on the grid `steps` [G]."""

    map: str
    learner: str
    steps: Reals
    values: Reals

    @property
    def n_seeds(self) -> int:
        """How many runs there are."""
        return int(self.values.shape[1])

    def summarise(self, summary: Summary) -> Estimate:
        """Line and band over the seeds, [G] each; no band where there are too few seeds."""
        if summary == "iqm":
            return estimate(interquartile_mean, [self.values])
        low, median, high = np.percentile(self.values, (25, 50, 75), axis=1)
        return Estimate(median, low, high) if self.n_seeds >= MIN_RUNS else Estimate(median)


def make_curves(runs: Sequence[Run]) -> list[Curve]:
    """One curve per map and learner, at the points of `Run.by_point`, as far as every seed goes.

    Evaluations come a few steps after each point; each is drawn at its point.
    """
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.map, run.learner].append(run)
    return [make_curve(map_name, learner, group) for (map_name, learner), group in sorted(groups.items())]


def make_curve(map_name: str, learner: str, runs: Sequence[Run]) -> Curve:
    """The seeds of one learner on one map."""
    by_point = [run.by_point for run in runs]
    points = sorted(set.intersection(*(set(points) for points in by_point)))
    if not points:
        raise InputError(f"the runs of {learner} on {map_name} have no point in common; draw fewer of them")
    values = np.array([[seed[point] for seed in by_point] for point in points])
    return Curve(map_name, learner, np.array(points, float), values)


def absolute_curves(runs: Sequence[Run], known: Known, until_steps: int | None = None) -> list[Curve]:
    """As `make_curves`, of the runs' absolute win rates alone; none unless every run has its metric.

    `known`: those of runs from data. None where a best checkpoint is of later than `until_steps`, or may be.
    """
    found = []
    for run in runs:
        value = absolute_win_rate(run, known, until_steps)
        if value is None:
            return []
        steps, points = np.zeros(1), np.zeros(1, np.int64)
        found.append(replace(run, steps=steps, points=points, values=np.array([value])))
    return make_curves(found)


def why_no_absolute_table(runs: Sequence[Run], known: Known, until_steps: int | None = None) -> str | None:
    """Which run keeps the others' absolute metric from a table; None where there is a table, or nothing."""
    values = [absolute_win_rate(run, known, until_steps) for run in runs]
    lacking = [run for run, value in zip(runs, values, strict=True) if value is None]
    if len(lacking) in (0, len(runs)):
        return None
    one = lacking[0]
    name = one_line(f"{one.path}" if one.settings else f"seed {one.seed} of {one.learner} in {one.path}")
    late = "" if until_steps is None else f" of a checkpoint up to step {until_steps}"
    return (
        f"{len(lacking)} of {len(runs)} runs lack the absolute metric{late}, {name} among them, "
        "so it has no table"
    )


def absolute_win_rate(run: Run, known: Known, until_steps: int | None) -> float | None:
    """A run's win rate by the absolute metric; None where it is not known, or may be of later steps."""
    if not run.settings:
        return known.get(run.key) if until_steps is None else None
    metric = load_absolute(run.path)
    return None if metric is None or is_late(metric, until_steps) else metric.win_rate


def on_every_map(curves: Sequence[Curve]) -> dict[str, list[Curve]]:
    """The curves of each learner that was run on every map."""
    maps = {curve.map for curve in curves}
    own = {
        learner: [curve for curve in curves if curve.learner == learner]
        for learner in sorted({curve.learner for curve in curves})
    }
    return {learner: its for learner, its in own.items() if {curve.map for curve in its} == maps}


def average_over_maps(curves: Sequence[Curve], summary: Summary) -> dict[str, tuple[Reals, Estimate]]:
    """Per learner that was run on every map: grid, and the estimate over maps on it.

    `iqm`: of all runs of all maps, drawn map by map; `median`: mean of the medians (paper, Figure 4).
    """
    averages = {}
    for learner, own in on_every_map(curves).items():
        grid = np.array(sorted(set.intersection(*(set(curve.steps.tolist()) for curve in own))))
        if not len(grid):
            continue  # its maps share no point
        values = [curve.values[np.isin(curve.steps, grid)] for curve in own]
        if summary == "iqm":
            averages[learner] = grid, estimate(interquartile_mean, values)
        else:
            averages[learner] = grid, Estimate(np.mean([np.median(rows, axis=1) for rows in values], axis=0))
    return averages


def count_first(curves: Sequence[Curve], margin: float = 1 / 32) -> dict[str, int]:
    """On how many maps a learner's final median leads all others' by `margin` (paper, Figure 4)."""
    counts = dict.fromkeys(sorted({curve.learner for curve in curves}), 0)
    for map_name in {curve.map for curve in curves}:
        final = {
            curve.learner: float(np.median(curve.values[-1])) for curve in curves if curve.map == map_name
        }
        for learner, value in final.items():
            others = [other for name, other in final.items() if name != learner]
            counts[learner] += bool(others) and all(value >= other + margin for other in others)
    return counts


def profiles(curves: Sequence[Curve]) -> dict[str, Estimate]:
    """Per learner that was run on every map, the share of runs that end above each of `THRESHOLDS`."""
    return {
        learner: estimate(lambda sample: profile(sample, THRESHOLDS), [curve.values[-1] for curve in own])
        for learner, own in on_every_map(curves).items()
    }


def improvements(curves: Sequence[Curve]) -> dict[tuple[str, str], Estimate]:
    """For each two learners, the chance that a run of the first ends higher than one of the second.

    Over the maps on which both were run; pairs without such a map are left out.
    """
    finals = {(curve.map, curve.learner): curve.values[-1] for curve in curves}
    learners = sorted({curve.learner for curve in curves}, key=lambda name: (name != "lan", name))
    found = {}
    for one, other in itertools.combinations(learners, 2):
        maps = [m for m, learner in sorted(finals) if learner == one and (m, other) in finals]
        if maps:
            ours, theirs = ([finals[m, learner] for m in maps] for learner in (one, other))
            found[one, other] = estimate(improvement, ours, theirs)
            found[other, one] = opposite(found[one, other])
    return found


def opposite(chance: Estimate) -> Estimate:
    """The chance of the other one, from the same draws."""
    if chance.low is None or chance.high is None:
        return Estimate(1 - chance.value)
    return Estimate(1 - chance.value, 1 - chance.high, 1 - chance.low)
