"""Learning curves beside the real game's: `python -m benchmarks.real_curves curves.csv [--steps N ...]`.

The file is one of `lan-plot --data`. For each map and number of steps that it shares with
results/real-game/curves.csv, under the same algorithm's name: our mean over seeds, the real game's, and the
difference with its 95 % interval by Welch's t. With fewer than three seeds on a side there is no interval.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import tyro
from scipy import stats

from envs.command import run_command
from envs.errors import InputError
from trainer.plots.csv_rows import csv_rows, number
from trainer.plots.curves import Run, find_differences
from trainer.plots.drawn_data import COLUMNS, read_runs
from trainer.plots.estimates import LEVEL, MIN_RUNS

REAL = Path(__file__).resolve().parents[1] / "results" / "real-game" / "curves.csv"
ERRORS = {"win_rate": "win_rate_se", "return_mean": "return_se"}
"""The metrics that the real game's curves have, and the columns of their standard errors."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    curves: Annotated[Path, tyro.conf.Positional]
    """CSV file of lan-plot --data."""
    steps: tuple[int, ...] = (200_000, 500_000, 1_000_000, 2_000_000)
    """Environment steps at which to compare, as far as both have them."""


@dataclass(frozen=True)
class Sampled:
    """The mean of some runs, its standard error (None where it is not known), and their number."""

    mean: float
    error: float | None
    runs: int


def sampled(values: Sequence[float]) -> Sampled:
    """What our seeds say."""
    error = float(np.std(values, ddof=1) / math.sqrt(len(values))) if len(values) > 1 else None
    return Sampled(float(np.mean(values)), error, len(values))


def difference(ours: Sampled, real: Sampled) -> tuple[float, float, float] | None:
    """Ours less theirs with its interval (Welch, 1947); None where either has fewer than three runs."""
    if min(ours.runs, real.runs) < MIN_RUNS or ours.error is None or real.error is None:
        return None
    parts = [each.error**2 for each in (ours, real) if each.error is not None]
    value = ours.mean - real.mean
    if not sum(parts):
        return value, value, value
    freedom = sum(parts) ** 2 / sum(
        p**2 / (each.runs - 1) for p, each in zip(parts, (ours, real), strict=True)
    )
    reach = float(stats.t.ppf((1 + LEVEL) / 2, freedom)) * math.sqrt(sum(parts))
    return value, value - reach, value + reach


def read_real(metric: str, path: Path = REAL) -> dict[tuple[str, str, int], Sampled]:
    """The real game's numbers by map, algorithm and steps."""
    found = {}
    rows = csv_rows(path, str(path))
    for row in rows:
        where = f"{path}, line {rows.line_num}"
        if row[metric]:
            error = row[ERRORS[metric]]
            key = row["map"], row["name"].partition(",")[0].lower(), int(number(row["env_steps"], where))
            found[key] = Sampled(
                number(row[metric], where),
                number(error, where) if error else None,
                int(number(row["runs"], where)),
            )
    return found


def metric_of(path: Path) -> str:
    """The metric in a file of lan-plot --data; InputError unless the real game's curves have it too."""
    names = [name for name in csv_rows(path, str(path)).fieldnames or () if name not in COLUMNS]
    if len(names) != 1 or names[0] not in ERRORS:
        raise InputError(f"{path}: no file of lan-plot --data with one of the metrics {', '.join(ERRORS)}")
    return names[0]


def table(runs: Sequence[Run], real: dict[tuple[str, str, int], Sampled], steps: Sequence[int]) -> list[str]:
    """A row per map, algorithm and number of steps that both have; InputError where there is none."""
    ours: dict[tuple[str, str, int], list[float]] = {}
    for run in runs:
        for step in dict.fromkeys(steps):
            if step in run.by_point:
                ours.setdefault((run.map, run.learner, step), []).append(run.by_point[step])
    shared = sorted(ours.keys() & real.keys())
    if not shared:
        raise InputError("no map, algorithm and number of steps is in both; compare at other --steps")
    heads = ("map", "algorithm", "steps", "here (seeds)", "real game (runs)", "difference (95 % interval)")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for key in shared:
        here, there = sampled(ours[key]), real[key]
        found = difference(here, there)
        told = f"{here.mean - there.mean:+.2f}, no interval"
        if found is not None:
            told = f"{found[0]:+.2f} ({found[1]:+.2f} to {found[2]:+.2f})"
        numbers = [f"{each.mean:.2f} ({each.runs})" for each in (here, there)]
        lines.append(f"| {' | '.join([key[0], key[1], f'{key[2]:,}', *numbers, told])} |")
    return lines


def run(config: Config) -> None:
    """Compare and print."""
    metric = metric_of(config.curves)
    runs = read_runs(config.curves, metric)
    if differences := find_differences(runs):
        raise InputError(f"{config.curves}: these runs are not comparable ({'; '.join(differences)})")
    print("\n".join(table(runs, read_real(metric), config.steps)))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.real_curves", description=__doc__ or "", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
