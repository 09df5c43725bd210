"""Curves as text: tables of final values and of who is ahead."""

from __future__ import annotations

from collections.abc import Sequence

from envs.text import one_line
from trainer.plots.absolute_data import Known
from trainer.plots.curves import Run
from trainer.plots.estimates import MIN_RUNS, Estimate
from trainer.plots.statistics import Curve, Summary, absolute_curves, average_over_maps, improvements
from trainer.runs.absolute import BATTLES

RANGES: dict[Summary, str] = {
    "iqm": f"interquartile means with 95 % bootstrap intervals, none with fewer than {MIN_RUNS} seeds",
    "median": f"medians with quartiles, none with fewer than {MIN_RUNS} seeds",
}


def absolute_table(
    runs: Sequence[Run], summary: Summary, known: Known, until_steps: int | None = None
) -> str:
    """The absolute metric's win rates, and who is ahead by them; empty unless every run has the metric."""
    curves = absolute_curves(runs, known, until_steps)
    if not curves:
        return ""
    title = f"Absolute metric: the win rate of each run's best checkpoint over {BATTLES} battles."
    table = markdown_table(curves, summary, over_maps=True, with_steps=False)
    return "\n\n".join(filter(None, (title, table, improvement_table(curves))))


def markdown_table(
    curves: Sequence[Curve], summary: Summary, *, over_maps: bool = False, with_steps: bool = True
) -> str:
    """Final values with ranges, steps and numbers of seeds, a row per map, and `over_maps` one for all."""
    learners = sorted({curve.learner for curve in curves})
    lines = [f"| map | {' | '.join(map(cell, learners))} |", "|---" * (len(learners) + 1) + "|"]
    for map_name in sorted({curve.map for curve in curves}):
        own = [curve for curve in curves if curve.map == map_name]
        cells = {curve.learner: final_text(curve, summary, with_steps) for curve in own}
        lines.append(f"| {cell(map_name)} | {' | '.join(cells.get(name, '-') for name in learners)} |")
    n_maps = len({curve.map for curve in curves})
    if over_maps and n_maps > 1:
        averages = average_over_maps(curves, summary)
        cells = {
            name: text_of(average) + (f" at {steps[-1] / 1000:g}k steps" if with_steps else "")
            for name, (steps, average) in averages.items()
        }
        lines.append(f"| all {n_maps} maps | {' | '.join(cells.get(name, '-') for name in learners)} |")
    return "\n".join([*lines, "", f"Values: {RANGES[summary]}."])


def improvement_table(curves: Sequence[Curve]) -> str:
    """The chance that a run of the row's learner ends higher than one of the column's; empty for one."""
    found = improvements(curves)
    learners = sorted({learner for pair in found for learner in pair})
    if not found:
        return ""
    lines = [
        f"| P(row ends higher) | {' | '.join(map(cell, learners))} |",
        "|---" * (len(learners) + 1) + "|",
    ]
    for one in learners:
        cells = [text_of(found[one, other]) if (one, other) in found else "-" for other in learners]
        lines.append(f"| {cell(one)} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", "A learner is ahead where the interval lies above .5."])


def cell(text: str) -> str:
    """Text inside a cell of a Markdown table, which a bar or a line break would end."""
    return one_line(text).replace("\\", "\\\\").replace("|", "\\|")


def final_text(curve: Curve, summary: Summary, with_steps: bool) -> str:
    """`0.94 [0.88, 0.97] at 100k steps, 5 seeds`, or the same without the steps."""
    at = f" at {curve.steps[-1] / 1000:g}k steps" if with_steps else ""
    return f"{text_of(curve.summarise(summary))}{at}, {curve.n_seeds} seed{'s' * (curve.n_seeds > 1)}"


def text_of(estimate: Estimate) -> str:
    """`0.94 [0.88, 0.97]`, the last point of an estimate; without a range where it has none."""
    value, *ends = (
        float(part.flat[-1]) for part in (estimate.value, estimate.low, estimate.high) if part is not None
    )
    return f"{value:.2f}" + (f" [{ends[0]:.2f}, {ends[1]:.2f}]" if ends else "")
