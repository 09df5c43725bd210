"""`lan-plot`: learning curves of runs as a figure, and their final values as a table."""

from __future__ import annotations

import html
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from envs.command import run_command
from envs.errors import InputError
from envs.files import write_atomically
from trainer.learning.algorithms import ALGORITHMS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from trainer.plots.curves import Curve

DESCRIPTION = (
    "Draw the evaluations of runs: median and quartiles over seeds, a panel per map, and of win rates on "
    "several maps the average. Prints a table of the final values. Refuses runs that are not comparable."
)
SUFFIXES = (".png", ".svg", ".html")
PANEL_INCHES = (4.2, 3.0)
LEGEND_INCHES = 1.4
LINE_STYLES = ("-", "--", ":", "-.")


@dataclass(frozen=True)
class PlotConfig:
    """Flags of `lan-plot`."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = field(default=())
    """Run directories of lan-train."""
    out: Path = Path("curves.png")
    """The figure: .png, .svg, or .html (figure and table in one page)."""
    metric: str = "win_rate"
    """What is drawn: win_rate, return_mean or episode_length_steps."""
    data: Path | None = None
    """Also write every evaluation that is drawn, as CSV."""
    until: int | None = None
    """Leave out what lies beyond so many environment steps, so that longer runs compare with shorter ones."""
    by: str | None = None
    """Give each value of this setting a curve of its own, e.g. replay_dtype or overlap."""
    force: bool = False
    """Draw runs together even though they differ, and replace existing files."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(PlotConfig, plot, prog="lan-plot", description=DESCRIPTION, argv=argv)


def plot(config: PlotConfig) -> None:
    """Check, draw, and print the table."""
    from trainer.plots.curves import (
        evaluations_csv,
        find_differences,
        known_setting,
        load_run,
        make_curves,
        markdown_table,
    )

    if not config.runs:
        raise InputError("name the run directories to draw, e.g. lan-plot runs/3m-lan-seed* --out 3m.png")
    if config.out.suffix not in SUFFIXES:
        raise InputError(f"--out {config.out}: the name must end in {', '.join(SUFFIXES)}")
    check_target("--out", config.out, force=config.force)
    if config.data is not None:
        check_target("--data", config.data, force=config.force)
    if config.until is not None and config.until < 1:
        raise InputError(f"--until must be at least 1, not {config.until}")
    by = None if config.by is None else known_setting(config.by)
    runs = [load_run(path, config.metric, until_steps=config.until, by=by) for path in config.runs]
    differences = find_differences(runs)
    if differences and not config.force:
        listed = "; ".join(differences)
        raise InputError(f"these runs are not comparable ({listed}); --force draws them all the same")
    curves = make_curves(runs)
    figure = draw(curves, config.metric, sorted({run.backend for run in runs}))
    table = markdown_table(curves)
    write_atomically(config.out, render(config.out, figure, table))
    if config.data is not None:
        write_atomically(config.data, evaluations_csv(runs, config.metric).encode())
    for difference in differences:
        print(f"lan-plot: drawn in spite of {difference}", file=sys.stderr)
    print(table)


def check_target(flag: str, path: Path, *, force: bool) -> None:
    """InputError unless a file may be written there."""
    if not path.parent.is_dir():
        raise InputError(f"{flag} {path}: there is no folder {path.parent}")
    if path.exists() and not force:
        raise InputError(f"{path} exists: choose another {flag}, or --force to replace it")


def draw(curves: Sequence[Curve], metric: str, backends: Sequence[str]) -> Figure:
    """A panel per map; of win rates on several maps also the average, and the counts of firsts.

    Returns and lengths have another scale on every map: an average would tell nothing.
    """
    from matplotlib.figure import Figure

    from trainer.plots.curves import average_over_maps, count_first

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
        dress(panel, f"{map_name} ({', '.join(backends)})", metric)
    if over_maps:
        for learner, (steps, mean) in average_over_maps(curves).items():
            axes[len(maps)].plot(steps / 1000, mean, **styles[learner])
        dress(axes[len(maps)], f"mean of the medians over {len(maps)} maps", metric)
        counts, panel = count_first(curves), axes[len(maps) + 1]
        panel.barh(list(counts), list(counts.values()), color=[styles[name]["color"] for name in counts])
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
        label = f"{learner} ({seeds} seed{'s' * (n_seeds[-1] > 1)})"
        lines.append(Line2D([], [], **style, label=label))
    figure.legend(handles=lines, loc="outside right upper", fontsize=8)


def draw_curve(panel: Axes, curve: Curve, style: dict[str, Any]) -> None:
    """Median as a line, the quartiles as a band."""
    panel.plot(curve.steps / 1000, curve.median, **style)
    panel.fill_between(
        curve.steps / 1000, curve.lower, curve.upper, color=style["color"], alpha=0.2, linewidth=0
    )


def dress(panel: Axes, title: str, metric: str) -> None:
    """Title, labels, grid."""
    panel.set_title(title, fontsize=10)
    panel.set_xlabel("environment steps (thousands)")
    panel.set_ylabel(metric.replace("_", " "))
    if metric == "win_rate":
        panel.set_ylim(-0.03, 1.03)
    panel.grid(alpha=0.3)


def styles_of(learners: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Colors and line styles: a color for each algorithm, the same in every figure, and a line style for each
    variant of it (`lan-by-type`, `lan overlap=on`); colors too where all are variants of one algorithm."""
    names = list(ALGORITHMS)
    styles: dict[str, dict[str, Any]] = {}
    variants: dict[str, int] = {}
    for learner in sorted(learners):
        algorithm = learner.split(" ")[0].removesuffix("-by-type")
        color = f"C{names.index(algorithm)}" if algorithm in names else "black"
        variant = variants[algorithm] = variants.get(algorithm, -1) + 1
        styles[learner] = {"color": color, "linestyle": LINE_STYLES[variant % len(LINE_STYLES)]}
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


if __name__ == "__main__":
    sys.exit(main())
