"""The evaluations of runs, and whether the runs may be drawn together."""

from __future__ import annotations

import itertools
import json
import math
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.command import nearest_names
from envs.errors import InputError
from envs.kinds import RUN, WHENCE, unlike
from envs.plain import is_smac_map
from envs.text import one_line
from trainer.config import TrainConfig, hints, learner_name, may_differ
from trainer.learning.algorithms import ALGORITHMS
from trainer.marks import Free, check_value, shown
from trainer.presets import PRESETS, left_open_on
from trainer.runs.config_file import IN_OLDER_RUNS, read_config, rules_of_run
from trainer.runs.grid import point_of
from trainer.runs.metrics import read_metrics

Reals = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


Key = tuple[str, str, int, str, int]
"""Map, backend, contract version, learner and seed."""
OF_A_MAP = ("eval_interval_steps", "reward")
"""Settings that every map may have its own of, as it may have a length of its own; few have two rewards."""


@dataclass(frozen=True)
class Run:
    """One run's evaluations: `steps` [E] environment steps, the `points` [E] of the grid that they belong to,
    and `values` [E] of the metric.
    """

    path: Path
    map: str
    algorithm: str
    seed: int
    backend: str
    contract_version: int
    settings: dict[str, Any]
    steps: Reals
    points: IntArray
    values: Reals
    by: tuple[str, ...] = ()
    """The settings of which each value has a curve."""

    @property
    def learner(self) -> str:
        """The name of its curve, such as `lan`, `lan-by-type` or `lan overlap=on`.

        Where several settings tell curves apart, those at their defaults are not named.
        """
        name = learner_name(self.algorithm, self.settings.get("sharing", "all"))
        named = [each for each in self.by if len(self.by) == 1 or setting(self, each) != default(self, each)]
        return " ".join([name, *(f"{each}={setting(self, each)}" for each in named)])

    @property
    def key(self) -> Key:
        """Of which battlefield, learner and seed it is, which no two runs of a figure share."""
        return self.map, self.backend, self.contract_version, self.learner, self.seed

    @property
    def by_point(self) -> dict[int, float]:
        """The value at each multiple of the interval, and at the run's end, in environment steps.

        A point has the first evaluation after it. One left over from an earlier, shorter end of the run falls
        between two points and is ignored.
        """
        values: dict[int, float] = {}
        for point, value in zip(self.points.tolist(), self.values.tolist(), strict=True):
            values.setdefault(point, value)
        return values


def load_run(path: Path, metric: str, *, until_steps: int | None = None, by: Sequence[str] = ()) -> Run:
    """The evaluations of a run directory, up to the point `until_steps`; InputError when it holds none.

    Runs that differ in a setting of `by` belong to different curves.
    """
    if os.path.lexists(path) and not path.is_dir():
        raise InputError(unlike(path, RUN))
    try:
        return make_run(path, metric, until_steps, by)
    except FileNotFoundError as error:
        if not path.exists():
            raise InputError(f"there is no run directory {path}; {WHENCE[RUN]}") from None
        raise InputError(unlike(path, RUN, f"it lacks {Path(error.filename).name}")) from None
    except KeyError as error:
        raise InputError(f"{path} cannot be read: it lacks {error}") from None
    except (OSError, ValueError, TypeError, OverflowError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {one_line(error, 300)}") from None


def make_run(path: Path, metric: str, until_steps: int | None, by: Sequence[str]) -> Run:
    """As `load_run`; files that are not ours may raise KeyError, ValueError, TypeError and the like."""
    config, records = read_config(path), read_metrics(path)
    settings = config["config"]
    check_plain(
        settings, {"map": str, "algorithm": str, "seed": int, "steps": int, "eval_interval_steps": int}
    )
    check_settings(settings)
    check_plain(config, {"backend": str})
    check_plain(config["spec"], {"contract_version": int})
    if min(settings["steps"], settings["eval_interval_steps"]) < 1:
        raise ValueError("its steps are not positive")
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    if not evaluations:
        raise InputError(f"{path} is empty: it has no evaluation yet")
    known = sorted(
        name
        for name, value in evaluations[0].items()
        if name not in ("kind", "env_steps", "wall_s") and not isinstance(value, dict | list)
    )
    if metric not in known:
        raise InputError(f"--metric {one_line(metric)}: evaluations of {path} have {', '.join(known)}")
    if until_steps is not None:
        evaluations = [r for r in evaluations if point_of(r["env_steps"], settings) <= until_steps]
    if not evaluations:
        raise InputError(f"{path} has no evaluation up to step {until_steps}")
    for before, record in itertools.pairwise(evaluations):
        if record["env_steps"] <= before["env_steps"]:
            raise ValueError(
                f"its evaluation at step {record['env_steps']} comes after {before['env_steps']}"
            )
    for record in evaluations:
        value = record[metric]
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ValueError(f"its {metric} at step {record['env_steps']} is {one_line(repr(value), 80)}")
        if metric == "win_rate" and not 0 <= value <= 1:
            raise ValueError(f"its win rate at step {record['env_steps']} is {value:g}")
    return Run(
        path=path,
        map=settings["map"],
        algorithm=settings["algorithm"],
        seed=settings["seed"],
        backend=battlefield(config),
        contract_version=config["spec"]["contract_version"],
        settings=settings,
        steps=np.array([record["env_steps"] for record in evaluations], float),
        points=np.array([point_of(record["env_steps"], settings) for record in evaluations], np.int64),
        values=np.array([record[metric] for record in evaluations], float),
        by=tuple(by),
    )


def battlefield(config: dict[str, Any]) -> str:
    """Where a run was played: its backend, and the simulator's rules from version 2 on, which do not mix."""
    rules, _ = rules_of_run(config)
    return f"{config['backend']} rules {rules}" if rules > 1 else str(config["backend"])


def check_plain(data: dict[str, Any], kinds: dict[str, type]) -> None:
    """ValueError naming the first entry that is not of its type; KeyError when it is missing."""
    for name, kind in kinds.items():
        if type(data[name]) is not kind:
            raise ValueError(f"its {name} is {one_line(repr(data[name]), 80)}")


def check_settings(settings: dict[str, Any]) -> None:
    """ValueError naming the first setting that lan-train would refuse; those it does not know are left."""
    try:
        for name, hint in hints().items():
            if name in settings and name != "run_dir":  # saved as text, and of no account here
                check_value(name, settings[name], hint)
    except InputError as error:
        raise ValueError(f"of its settings, {error}") from None
    if not settings["map"]:
        raise ValueError("its map has no name")
    if settings.get("preset", TrainConfig.preset) not in PRESETS:
        raise ValueError(f"its preset is {shown(settings['preset'])}")


def known_setting(name: str) -> str:
    """A setting by which curves can be told apart, as a field's name; InputError with the nearest names."""
    own = {"seed", "run_dir", "resume", "map", "algorithm", "sharing"}
    known = {field.name for field in fields(TrainConfig)} - own
    wanted = name.removeprefix("--").replace("-", "_")
    if wanted in ("map", "algorithm", "sharing"):
        raise InputError(f"--by {name}: curves are told apart by it already; leave it out")
    if wanted not in known:
        raise InputError(f"--by {name}: no such setting; {nearest_names(wanted, known)}")
    return wanted


def find_differences(runs: Sequence[Run]) -> list[str]:
    """The reasons not to draw these runs together; none when they are comparable."""
    found = []
    for name in ("backend", "contract_version"):
        values = {getattr(run, name) for run in runs}
        if len(values) > 1:
            found.append(f"{name}: {', '.join(map(str, sorted(values)))}")
    known = [run for run in runs if run.settings]  # a CSV file holds none
    names = {name for run in known for name in run.settings if not may_differ(name, Free.WHEN_DRAWN)}
    for name in sorted(names - {name for run in runs for name in run.by}):
        by_group = defaultdict(set)
        for run in known:
            if name == "network" and not is_smac_map(run.map):
                continue  # there is one network alone
            group = run.algorithm if may_differ(name, Free.BETWEEN_ALGORITHMS) else "all"
            group = run.map if name in OF_A_MAP else group
            by_group[group].add(json.dumps(whole(setting(run, name))))
        for group, values in by_group.items():
            if len(values) > 1:
                where = "" if group == "all" else f" of {group}"
                found.append(f"{name}{where}: {', '.join(sorted(values))}")
    for map_name in sorted({run.map for run in runs}):
        ends = [(max(run.by_point), run) for run in runs if run.map == map_name]
        (shortest, one), (longest, other) = (chosen(ends, key=lambda end: end[0]) for chosen in (min, max))
        if shortest != longest:
            found.append(f"length: {one.path} ends at {shortest:,} steps, {other.path} at {longest:,}")
    taken: dict[tuple[str, str, int], Path] = {}
    for run in runs:
        key = (run.map, run.learner, run.seed)
        if key in taken:
            found.append(f"seed {run.seed} of {run.learner} on {run.map} twice: {taken[key]}, {run.path}")
        taken[key] = run.path
    return found


def setting(run: Run, name: str) -> Any:
    """A setting of a run: by algorithm and preset if it was left open, ours if the run does not know it."""
    value = run.settings.get(name, IN_OLDER_RUNS.get(name, getattr(TrainConfig, name, None)))
    return default(run, name) if value is None else value


def whole(value: Any) -> Any:
    """A setting as it is compared: 1.0, as a flag gives it, is 1, as the algorithm does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def default(run: Run, name: str) -> Any:
    """The value that a setting of a run would have had if nobody had given one."""
    value = getattr(TrainConfig, name, None)
    if value is None and run.algorithm in ALGORITHMS:
        preset = run.settings.get("preset", TrainConfig.preset)
        batch = run.settings.get("batch_episodes")
        value = left_open_on(run.map, run.backend, run.algorithm, preset, batch).get(name)
    return value
