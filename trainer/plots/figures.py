"""The figure: a panel per map, the averages over maps, one legend beside them; and its file."""

from __future__ import annotations

import html
import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from envs.text import one_line
from trainer.learning.algorithms import ALGORITHMS
from trainer.plots.statistics import Curve, average_over_maps, count_first

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL_INCHES = (4.2, 3.0)
LEGEND_INCHES = 1.4
LINE_STYLES = ("-", "--", ":", "-.")


def draw(curves: Sequence[Curve], metric: str, backends: Sequence[str]) -> Figure:
    """Draw a panel per map; for win rates on several maps also the average and the counts of firsts.

    Returns and lengths have another scale on every map, so they are not averaged.
    """
    from matplotlib.figure import Figure

    maps = sorted({curve.map for curve in curves})
    styles = styles_of(list({curve.learner for curve in curves}))
    over_maps = len(maps) > 1 and metric == "win_rate"
    n_panels = len(maps) + (2 if over_maps else 0)
    columns = min(4, n_panels)
    rows = -(-n_panels // columns)
    size = PANEL_INCHES[0] * columns + LEGEND_INCHES, PANEL_INCHES[1] * rows
    figure = Figure(size, layout="constrained")
    axes = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel, map_name in zip(axes, maps, strict=False):
        for curve in (curve for curve in curves if curve.map == map_name):
            draw_curve(panel, curve, styles[curve.learner])
        dress(panel, f"{one_line(map_name)} ({', '.join(backends)})", metric)
    if over_maps:
        for learner, (steps, mean) in average_over_maps(curves).items():
            axes[len(maps)].plot(steps / 1000, mean, **styles[learner])
        dress(axes[len(maps)], f"mean of the medians over {len(maps)} maps", metric)
        counts, panel = count_first(curves), axes[len(maps) + 1]
        places = range(len(counts))
        panel.barh(places, list(counts.values()), color=[styles[name]["color"] for name in counts])
        panel.set_yticks(places, [one_line(name) for name in counts], parse_math=False)
        panel.set_title("maps led by 1/32 at the end", fontsize=10)
        panel.xaxis.get_major_locator().set_params(integer=True)
    for panel in axes[n_panels:]:
        panel.set_visible(False)
    add_legend(figure, curves, styles)
    return figure


def add_legend(figure: Figure, curves: Sequence[Curve], styles: dict[str, dict[str, Any]]) -> None:
    """One legend for all panels, beside them, where it hides no curve."""
    from matplotlib.lines import Line2D

    lines = []
    for learner, style in styles.items():
        n_seeds = sorted({curve.n_seeds for curve in curves if curve.learner == learner})
        seeds = " to ".join(str(n) for n in dict.fromkeys((n_seeds[0], n_seeds[-1])))
        label = f"{one_line(learner)} ({seeds} seed{'s' * (n_seeds[-1] > 1)})"
        lines.append((Line2D([], [], **style), label))
    legend = figure.legend(*zip(*lines, strict=True), loc="outside right upper", fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)


def draw_curve(panel: Axes, curve: Curve, style: dict[str, Any]) -> None:
    """Median as a line, the quartiles as a band."""
    panel.plot(curve.steps / 1000, curve.median, **style)
    panel.fill_between(
        curve.steps / 1000, curve.lower, curve.upper, color=style["color"], alpha=0.2, linewidth=0
    )


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
    variant of it (`lan-by-type`, `lan overlap=on`); colors too where all are variants of one algorithm."""
    algorithms = {name: name.split(" ")[0].removesuffix("-by-type") for name in sorted(learners)}
    colors = list(dict.fromkeys([*ALGORITHMS, *algorithms.values()]))  # unknown ones after the known
    styles: dict[str, dict[str, Any]] = {}
    variants: dict[str, int] = {}
    for learner, algorithm in algorithms.items():
        variant = variants[algorithm] = variants.get(algorithm, -1) + 1
        line_style = LINE_STYLES[variant % len(LINE_STYLES)]
        styles[learner] = {"color": f"C{colors.index(algorithm)}", "linestyle": line_style}
    if len(variants) == 1:
        for index, style in enumerate(styles.values()):
            style["color"] = f"C{index}"
    return styles


def render(path: Path, figure: Figure, table: str) -> bytes:
    """The figure, or the page with figure and table, in the format of the path's suffix."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="svg" if path.suffix == ".html" else path.suffix[1:], dpi=150)
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
