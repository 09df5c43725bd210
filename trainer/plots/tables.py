"""Curves and runs as text: a table of final values, and every evaluation as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from envs.text import one_line
from trainer.plots.curves import Run
from trainer.plots.statistics import Curve


def markdown_table(curves: Sequence[Curve]) -> str:
    """Final medians with interquartile ranges and the number of seeds, a row per map."""
    learners = sorted({curve.learner for curve in curves})
    lines = [f"| map | {' | '.join(map(cell, learners))} |", "|---" * (len(learners) + 1) + "|"]
    for map_name in sorted({curve.map for curve in curves}):
        cells = {curve.learner: final_text(curve) for curve in curves if curve.map == map_name}
        lines.append(f"| {cell(map_name)} | {' | '.join(cells.get(name, '-') for name in learners)} |")
    return "\n".join(lines)


def evaluations_csv(runs: Sequence[Run], metric: str) -> str:
    """Every evaluation of every run as a line of CSV, from which the figure can be drawn again."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")  # quotes what needs it
    writer.writerow(["map", "backend", "algorithm", "seed", "env_steps", metric])
    for run in sorted(runs, key=lambda run: (run.map, run.learner, run.seed)):
        name = [run.map, run.backend, run.learner, run.seed]
        points = zip(run.steps.tolist(), run.values.tolist(), strict=True)
        writer.writerows([*name, int(steps), f"{value:.6g}"] for steps, value in points)
    return text.getvalue()


def cell(text: str) -> str:
    """Text inside a cell of a Markdown table, which a bar or a line break would end."""
    return one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def final_text(curve: Curve) -> str:
    """`0.94 [0.88, 0.97] at 100k steps, 5 seeds`."""
    steps = f"{curve.steps[-1] / 1000:g}k"
    seeds = f"{curve.n_seeds} seed{'s' * (curve.n_seeds > 1)}"
    return f"{curve.median[-1]:.2f} [{curve.lower[-1]:.2f}, {curve.upper[-1]:.2f}] at {steps} steps, {seeds}"
