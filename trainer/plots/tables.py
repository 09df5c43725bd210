"""Curves and runs as text: a table of final values, and every evaluation as CSV."""

from __future__ import annotations

from collections.abc import Sequence

from trainer.plots.curves import Run
from trainer.plots.statistics import Curve


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
