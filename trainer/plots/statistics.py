"""Runs over seeds and maps: medians and quartiles, averages, counts of firsts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from trainer.plots.curves import Reals, Run


@dataclass(frozen=True)
class Curve:
    """Seeds of one learner on one map: median and quartiles [G] on the grid `steps` [G]."""

    map: str
    learner: str
    n_seeds: int
    steps: Reals
    median: Reals
    lower: Reals
    upper: Reals


def make_curves(runs: Sequence[Run]) -> list[Curve]:
    """One curve per map and learner, at the points of `Run.by_point`, as far as every seed goes.

    Evaluations come a few steps after each point; each is drawn at its point.
    """
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for run in runs:
        groups[run.map, run.learner].append(run)
    return [make_curve(map_name, learner, group) for (map_name, learner), group in sorted(groups.items())]


def make_curve(map_name: str, learner: str, runs: Sequence[Run]) -> Curve:
    """Median and quartiles over the seeds of one learner on one map."""
    by_point = [run.by_point for run in runs]
    points = sorted(set.intersection(*(set(points) for points in by_point)))
    values = np.array([[seed[point] for point in points] for seed in by_point])  # [seeds, G]
    lower, median, upper = np.percentile(values, (25, 50, 75), axis=0)
    return Curve(map_name, learner, len(runs), np.array(points, float), median, lower, upper)


def average_over_maps(curves: Sequence[Curve]) -> dict[str, tuple[Reals, Reals]]:
    """Per learner that was run on every map: grid and mean over maps of the medians (paper, Figure 4)."""
    maps = {curve.map for curve in curves}
    averages = {}
    for learner in sorted({curve.learner for curve in curves}):
        own = [curve for curve in curves if curve.learner == learner]
        if {curve.map for curve in own} == maps:
            grid = sorted(set.intersection(*(set(curve.steps.tolist()) for curve in own)))
            rows = [[dict(zip(c.steps, c.median, strict=True))[step] for step in grid] for c in own]
            averages[learner] = (np.array(grid), np.mean(rows, axis=0))
    return averages


def count_first(curves: Sequence[Curve], margin: float = 1 / 32) -> dict[str, int]:
    """On how many maps a learner's final median leads all others' by `margin` (paper, Figure 4)."""
    counts = dict.fromkeys(sorted({curve.learner for curve in curves}), 0)
    for map_name in {curve.map for curve in curves}:
        final = {curve.learner: float(curve.median[-1]) for curve in curves if curve.map == map_name}
        for learner, value in final.items():
            others = [other for name, other in final.items() if name != learner]
            counts[learner] += bool(others) and all(value >= other + margin for other in others)
    return counts
