"""Learning curves of finished or running runs: read, checked for comparability, summarised over seeds."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.command import nearest_names
from envs.errors import InputError
from trainer.config import FILE_NAME, TrainConfig, learner_name
from trainer.learning.algorithms import ALGORITHMS
from trainer.runs.metrics import read_metrics

Reals = npt.NDArray[np.float64]

FREE_SETTINGS = frozenset(
    {"seed", "run_dir", "threads", "device", "steps", "until_win_rate", "map", "algorithm", "sharing"}
)
"""Settings in which runs may differ and still be drawn together."""
ALGORITHM_SETTINGS = frozenset({"updates_per_episode", "optimizer", "first_update_episodes"})
"""Settings that come with an algorithm; they may differ between algorithms, not within one."""


@dataclass(frozen=True)
class Run:
    """One run's evaluations: `steps` [E] environment steps, `values` [E] of the metric."""

    path: Path
    map: str
    algorithm: str
    seed: int
    backend: str
    contract_version: int
    settings: dict[str, Any]
    steps: Reals
    values: Reals
    by: str | None = None
    """The setting whose values have curves of their own."""

    @property
    def learner(self) -> str:
        """What its curve is called, such as `lan`, `lan-by-type` or `lan overlap=on`."""
        name = learner_name(self.algorithm, self.settings.get("sharing", "all"))
        return name if self.by is None else f"{name} {self.by}={setting(self, self.by)}"

    @property
    def by_point(self) -> dict[int, float]:
        """The value at each multiple of the interval, and at the run's end, in environment steps.

        A point has the first evaluation that came after it: later ones, of an end from which the run was made
        longer, lie between two points.
        """
        values: dict[int, float] = {}
        for steps, value in zip(self.steps.tolist(), self.values.tolist(), strict=True):
            values.setdefault(point_of(steps, self.settings), value)
        return values


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


def load_run(path: Path, metric: str, *, until_steps: int | None = None, by: str | None = None) -> Run:
    """The evaluations of a run directory, up to the point `until_steps`; InputError when it holds none.

    Runs that differ in the setting `by` belong to different curves.
    """
    try:
        config = json.loads((path / FILE_NAME).read_text())
        records = read_metrics(path)
    except FileNotFoundError as error:
        lacking = Path(error.filename).name
        raise InputError(f"{path} is no run directory of lan-train: it lacks {lacking}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    if not evaluations:
        raise InputError(f"{path} is empty: it has no evaluation yet")
    if metric not in evaluations[0]:
        known = sorted(name for name in evaluations[0] if name not in ("kind", "env_steps", "wall_s"))
        raise InputError(f"evaluations have no {metric!r}; they have {', '.join(known)}")
    settings = config["config"]
    if until_steps is not None:
        evaluations = [r for r in evaluations if point_of(r["env_steps"], settings) <= until_steps]
    return Run(
        path=path,
        map=settings["map"],
        algorithm=settings["algorithm"],
        seed=settings["seed"],
        backend=config["backend"],
        contract_version=config["spec"]["contract_version"],
        settings=settings,
        steps=np.array([record["env_steps"] for record in evaluations], float),
        values=np.array([record[metric] for record in evaluations], float),
        by=by,
    )


def known_setting(name: str) -> str:
    """A setting by which curves can be told apart, as a field's name; InputError with the nearest names."""
    own = {"seed", "run_dir", "resume", "map", "algorithm", "sharing"}
    known = {field.name for field in fields(TrainConfig)} - own
    wanted = name.removeprefix("--").replace("-", "_")
    if wanted not in known:
        raise InputError(f"--by {name}: no such setting; {nearest_names(wanted, known)}")
    return wanted


def find_differences(runs: Sequence[Run]) -> list[str]:
    """Why these runs should not be drawn together, one text each; none when they may."""
    found = []
    for name in ("backend", "contract_version"):
        values = {getattr(run, name) for run in runs}
        if len(values) > 1:
            found.append(f"{name}: {', '.join(map(str, sorted(values)))}")
    names = {name for run in runs for name in run.settings} - FREE_SETTINGS
    for name in sorted(names - {"env"} - {run.by for run in runs}):
        by_group = defaultdict(set)
        for run in runs:
            group = run.algorithm if name in ALGORITHM_SETTINGS else "all"
            by_group[group].add(json.dumps(setting(run, name)))
        for group, values in by_group.items():
            if len(values) > 1:
                where = "" if group == "all" else f" of {group}"
                found.append(f"{name}{where}: {', '.join(sorted(values))}")
    ends = {run.path: max(run.by_point) for run in runs}
    if len(set(ends.values())) > 1:
        shortest, longest = min(ends, key=ends.__getitem__), max(ends, key=ends.__getitem__)
        found.append(f"length: {shortest} ends at {ends[shortest]:,} steps, {longest} at {ends[longest]:,}")
    taken: dict[tuple[str, str, int], Path] = {}
    for run in runs:
        key = (run.map, run.learner, run.seed)
        if key in taken:
            found.append(f"seed {run.seed} of {run.learner} on {run.map} twice: {taken[key]}, {run.path}")
        taken[key] = run.path
    return found


def point_of(steps: float, settings: dict[str, Any]) -> int:
    """The point of the grid after which an evaluation came: a multiple of the interval, or the run's end."""
    end, interval = int(settings["steps"]), int(settings["eval_interval_steps"])
    return end if steps >= end else int(steps) // interval * interval


def setting(run: Run, name: str) -> Any:
    """A setting of a run: the algorithm's own where it was left to it, the default where it is younger."""
    value = run.settings.get(name, getattr(TrainConfig, name, None))
    defaults = ALGORITHMS.get(run.algorithm)
    return getattr(defaults, name) if value is None and defaults and name in ALGORITHM_SETTINGS else value


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


def markdown_table(curves: Sequence[Curve]) -> str:
    """Final medians with interquartile ranges and the number of seeds, a row per map."""
    learners = sorted({curve.learner for curve in curves})
    lines = [f"| map | {' | '.join(learners)} |", "|---" * (len(learners) + 1) + "|"]
    for map_name in sorted({curve.map for curve in curves}):
        cells = {curve.learner: final_text(curve) for curve in curves if curve.map == map_name}
        lines.append(f"| {map_name} | {' | '.join(cells.get(name, '-') for name in learners)} |")
    return "\n".join(lines)


def evaluations_csv(runs: Sequence[Run], metric: str) -> str:
    """Every evaluation of every run as a line of CSV, from which the figure can be drawn again."""
    lines = [f"map,backend,algorithm,seed,env_steps,{metric}"]
    for run in sorted(runs, key=lambda run: (run.map, run.learner, run.seed)):
        name = f"{run.map},{run.backend},{run.learner},{run.seed}"
        points = zip(run.steps.tolist(), run.values.tolist(), strict=True)
        lines += [f"{name},{int(steps)},{value:.6g}" for steps, value in points]
    return "\n".join(lines) + "\n"


def final_text(curve: Curve) -> str:
    """`0.94 [0.88, 0.97] at 100k steps, 5 seeds`."""
    steps = f"{curve.steps[-1] / 1000:g}k"
    seeds = f"{curve.n_seeds} seed{'s' * (curve.n_seeds > 1)}"
    return f"{curve.median[-1]:.2f} [{curve.lower[-1]:.2f}, {curve.upper[-1]:.2f}] at {steps} steps, {seeds}"
