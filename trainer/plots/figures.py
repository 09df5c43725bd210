"""The figure: a panel per map, what holds over maps, who is ahead, one legend beside them; and its file."""

from __future__ import annotations

import html
import io
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.text import one_line
from trainer.learning.algorithms import ALGORITHMS
from trainer.plots.curves import Reals
from trainer.plots.estimates import MIN_RUNS, Estimate
from trainer.plots.references import Reference
from trainer.plots.statistics import (
    THRESHOLDS,
    Curve,
    Summary,
    average_over_maps,
    count_first,
    improvements,
    profiles,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.2, 3.0)
LEGEND_INCHES = 1.4
"""At least; long names take more."""
INCHES_PER_LETTER, INCHES_PER_LINE = 0.062, 0.16
"""Of the legend's letters and lines, about."""
LABEL_LETTERS = 34
"""A longer name is broken into lines."""
LINE_STYLES = ("-", "--", ":", "-.")
MARKERS = ("x", "+", "1", "2", "3", "4")
HIGHER_IS_BETTER = ("win_rate", "return_mean")
Styles = Mapping[str, dict[str, Any]]


def draw(
    curves: Sequence[Curve],
    metric: str,
    backends: Sequence[str],
    summary: Summary = "iqm",
    references: Sequence[Reference] = (),
) -> Figure:
    """Draw a panel per map; for win rates on several maps also what holds over all, and who ends higher.

    Returns and lengths have another scale on every map, so they are not averaged.
    """
    from matplotlib.figure import Figure

    maps, learners = sorted({curve.map for curve in curves}), {curve.learner for curve in curves}
    styles = styles_of(list(learners))
    drawers = [(draw_map, name) for name in maps]
    if len(maps) > 1 and metric == "win_rate":
        drawers += [(draw_average, ""), (draw_firsts if summary == "median" else draw_profiles, "")]
    if len(learners) > 1 and metric in HIGHER_IS_BETTER and summary == "iqm":
        drawers.append((draw_improvements, ""))
    columns = min(4, len(drawers))
    rows = -(-len(drawers) // columns)
    names = sorted({reference.name for reference in references if reference.map in maps})
    labels = legend_labels(curves, styles, names)
    lines = [broken(learner).count("\n") + 1 for learner in learners]  # beside the chances, below each other
    row = max(PANEL_INCHES[1], 1 + INCHES_PER_LINE * sum(lines) if drawers[-1][0] is draw_improvements else 0)
    size = PANEL_INCHES[0] * columns + legend_inches(labels.values())[0], row * rows
    figure = Figure((size[0], max(size[1], legend_inches(labels.values())[1])), layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, (drawer, name) in zip(axes, drawers, strict=False):
        shown = [curve for curve in curves if name in ("", curve.map)]
        drawer(panel, shown, styles, summary)
        if drawer is draw_map:
            draw_references(panel, [ref for ref in references if ref.map == name], names)
            dress(panel, f"{one_line(name)} ({', '.join(backends)})", metric)
    for panel in axes[len(drawers) :]:
        panel.set_visible(False)
    add_legend(figure, labels, styles, names)
    return figure


def legend_labels(curves: Sequence[Curve], styles: Styles, names: Sequence[str]) -> dict[str, str]:
    """What the legend says, by learner, and then by the names of others' numbers."""
    labels = {}
    for learner in styles:
        n_seeds = sorted({curve.n_seeds for curve in curves if curve.learner == learner})
        seeds = " to ".join(str(n) for n in dict.fromkeys((n_seeds[0], n_seeds[-1])))
        few = ", no interval" if n_seeds[-1] < MIN_RUNS else ""
        labels[learner] = broken(f"{one_line(learner)} ({seeds} seed{'s' * (n_seeds[-1] > 1)}{few})")
    return labels | {f"beside {name}": broken(name) for name in names}


def broken(name: str) -> str:
    """A name in lines of at most `LABEL_LETTERS`, where it has spaces."""
    return textwrap.fill(one_line(name), LABEL_LETTERS, break_long_words=False, break_on_hyphens=False)


def legend_inches(labels: Iterable[str]) -> tuple[float, float]:
    """How wide and how high the legend is with these labels."""
    lines = [line for label in labels for line in label.splitlines() or [""]]
    width = 0.5 + INCHES_PER_LETTER * max(map(len, lines))
    return max(LEGEND_INCHES, width), 0.4 + INCHES_PER_LINE * len(lines)


def add_legend(figure: Figure, labels: Mapping[str, str], styles: Styles, names: Sequence[str]) -> None:
    """One legend for all panels, beside them, where it hides no curve."""
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], **style) for style in styles.values()]
    lines += [Line2D([], [], **reference_style(names, name)) for name in names]
    legend = figure.legend(lines, list(labels.values()), loc="outside right upper", fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def draw_map(panel: Axes, curves: Sequence[Curve], styles: Styles, summary: Summary) -> None:
    """The curves of one map."""
    for curve in curves:
        draw_estimate(panel, curve.steps / 1000, curve.summarise(summary), styles[curve.learner])
        if curve.n_seeds < MIN_RUNS:
            for run in curve.values.T:
                panel.plot(curve.steps / 1000, run, ".", color=styles[curve.learner]["color"], markersize=3)


def draw_estimate(panel: Axes, x: Reals, estimate: Estimate, style: dict[str, Any]) -> None:
    """A line, and a band where there is one."""
    panel.plot(x, estimate.value, **style)
    if estimate.low is not None and estimate.high is not None:
        panel.fill_between(x, estimate.low, estimate.high, color=style["color"], alpha=0.2, linewidth=0)


def draw_references(panel: Axes, references: Sequence[Reference], names: Sequence[str]) -> None:
    """Others' numbers on a map: points, and horizontal lines where they have no steps."""
    for reference in references:
        style = reference_style(names, reference.name)
        if reference.level is not None:
            panel.axhline(reference.level, color=style["color"], linestyle=":", linewidth=1)
        if reference.points:
            steps, values = zip(*reference.points, strict=True)
            limits = panel.get_xlim()
            panel.plot([step / 1000 for step in steps], values, **style)
            panel.set_xlim(limits)  # they may go on where the runs end


def reference_style(names: Sequence[str], name: str) -> dict[str, Any]:
    """A grey and a marker for each of others' names."""
    index = list(names).index(name)
    grey = str(0.15 + 0.5 * index / max(1, len(names)))
    return {"color": grey, "marker": MARKERS[index % len(MARKERS)], "linestyle": ":", "markersize": 4}


def draw_average(panel: Axes, curves: Sequence[Curve], styles: Styles, summary: Summary) -> None:
    """What holds over all maps, by steps."""
    for learner, (steps, estimate) in average_over_maps(curves, summary).items():
        draw_estimate(panel, steps / 1000, estimate, styles[learner])
    n_maps = len({curve.map for curve in curves})
    what = "interquartile mean" if summary == "iqm" else "mean of the medians"
    dress(panel, f"{what} over {n_maps} maps", "win_rate")


def draw_profiles(panel: Axes, curves: Sequence[Curve], styles: Styles, summary: Summary) -> None:
    """The share of runs that end with more than each win rate."""
    for learner, estimate in profiles(curves).items():
        draw_estimate(panel, THRESHOLDS, estimate, styles[learner])
    dress(panel, "share of runs that end above a win rate", "win_rate")
    panel.set_xlabel("win rate at the end")
    panel.set_ylabel("share of runs")


def draw_firsts(panel: Axes, curves: Sequence[Curve], styles: Styles, summary: Summary) -> None:
    """On how many maps each learner leads."""
    from matplotlib.ticker import MaxNLocator

    counts = count_first(curves)
    places = range(len(counts))
    panel.barh(places, list(counts.values()), color=[styles[name]["color"] for name in counts])
    panel.set_yticks(places, [broken(name) for name in counts], parse_math=False)
    panel.set_title("maps led by 1/32 at the end", fontsize=10)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))


def draw_improvements(panel: Axes, curves: Sequence[Curve], styles: Styles, summary: Summary) -> None:
    """The chance that a run of LAN, or else of the first learner, ends higher than one of each other."""
    learners = sorted({curve.learner for curve in curves})
    ours = "lan" if "lan" in learners else learners[0]
    found = {other: chance for (one, other), chance in improvements(curves).items() if one == ours}
    for place, (other, chance) in enumerate(found.items()):
        color = styles[other]["color"]
        if chance.low is not None and chance.high is not None:
            panel.plot([float(chance.low), float(chance.high)], [place, place], color=color, linewidth=3)
        panel.plot(float(chance.value), place, "o", color=color)
    panel.axvline(0.5, color="0.5", linestyle="--", linewidth=1)
    panel.set_yticks(range(len(found)), [broken(name) for name in found], parse_math=False)
    panel.set_ylim(-0.5, len(found) - 0.5)
    panel.set_xlim(-0.03, 1.03)
    panel.set_title(broken(f"chance that {ours} ends higher than …"), fontsize=10, parse_math=False)


def dress(panel: Axes, title: str, metric: str) -> None:
    """Title, labels, grid."""
    panel.set_title(title, fontsize=10, parse_math=False)
    panel.set_xlabel("environment steps (thousands)")
    panel.set_ylabel(metric.replace("_", " "))
    if metric == "win_rate":
        panel.set_ylim(-0.03, 1.03)
    panel.grid(alpha=0.3)


def styles_of(learners: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colors and line styles: a color for each algorithm, the same in every figure, and a line style for each
    variant of it (`lan-by-type`, `lan overlap=on`).

    Where all are variants of one algorithm, or one has more than there are line styles, each has a color too.
    """
    algorithms = {name: name.split(" ")[0].removesuffix("-by-type") for name in sorted(learners)}
    colors = list(dict.fromkeys([*ALGORITHMS, *algorithms.values()]))  # unknown ones after the known
    styles: dict[str, dict[str, Any]] = {}
    variants: dict[str, int] = {}
    for learner, algorithm in algorithms.items():
        variant = variants[algorithm] = variants.get(algorithm, -1) + 1
        line_style = LINE_STYLES[variant % len(LINE_STYLES)]
        styles[learner] = {"color": f"C{colors.index(algorithm)}", "linestyle": line_style}
    if len(variants) == 1 or max(variants.values()) >= len(LINE_STYLES):
        for index, style in enumerate(styles.values()):
            style["color"] = f"C{index % 10}"
    return styles


def render(path: Path, figure: Figure, table: str) -> bytes:
    """The figure, or the page with figure and table, in the format of the path's suffix."""
    import matplotlib

    kind, buffer = "svg" if path.suffix == ".html" else path.suffix[1:], io.BytesIO()
    with matplotlib.rc_context({"svg.hashsalt": "lan-plot"}):  # the same figure is the same file
        figure.savefig(buffer, format=kind, dpi=150, metadata={"Date": None} if kind == "svg" else None)
    content = buffer.getvalue()
    if path.suffix == ".html":
        svg = content[content.index(b"<svg") :].decode()
        content = (
            "<!doctype html><meta charset=utf-8><title>Learning curves</title>"
            "<meta name=viewport content='width=device-width'>"
            "<style>body{font-family:sans-serif;margin:2em}svg{max-width:100%;height:auto}</style>"
            f"{svg}<pre>{html.escape(table)}</pre>\n"
        ).encode()
    return content
