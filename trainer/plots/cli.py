"""`lan-plot`: learning curves of runs as a figure, and their final values as a table."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import tyro

from envs.command import nearest_names, run_command
from envs.errors import InputError
from envs.files import write_atomically
from envs.text import one_line

DESCRIPTION = (
    "Draw the evaluations of runs: interquartile means over seeds with 95 % bootstrap intervals, a panel per "
    "map, and, for win rates, what holds over all maps. Prints the final values, and the chance that one "
    "learner's run ends higher than another's. Refuses runs that are not comparable."
)
SUFFIXES = (".png", ".svg", ".html")


@dataclass(frozen=True)
class PlotConfig:
    """Flags of `lan-plot`."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = field(default=())
    """Run directories of lan-train, or CSV files that --data wrote."""
    out: Path = Path("curves.png")
    """Figure to write: .png, .svg, or .html (figure and table in one page)."""
    metric: str = "win_rate"
    """Metric to draw: win_rate, return_mean or episode_length_steps."""
    summary: Literal["iqm", "median"] = "iqm"
    """Line and band: iqm (interquartile mean, 95 % interval) or median (and quartiles, as in the paper)."""
    maps: tuple[str, ...] = ()
    """Maps to draw; all when none is named."""
    beside: Path | None = None
    """CSV file of others' numbers to draw too: columns map, name, env_steps (none: a line) and the metric."""
    data: Path | None = None
    """CSV file to write the drawn evaluations to."""
    marl_eval: Path | None = None
    """JSON file to write for marl-eval, with every battle and every run's absolute metric."""
    until: int | None = None
    """Draw evaluations up to this environment step only, to compare longer runs with shorter ones."""
    by: tuple[str, ...] = ()
    """Draw a curve for each value of these settings, e.g. overlap; of several, defaults are not named."""
    force: bool = False
    """Draw runs that are not comparable, and replace existing files."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(PlotConfig, plot, prog="lan-plot", description=DESCRIPTION, argv=argv, listing=True)


def plot(config: PlotConfig) -> None:
    """Check, draw, and print the table."""
    from trainer.plots.curves import find_differences, known_setting, load_run
    from trainer.plots.drawn_data import evaluations_csv, read_runs
    from trainer.plots.figures import HIGHER_IS_BETTER, draw, render
    from trainer.plots.marl_eval import marl_eval_json
    from trainer.plots.references import read_references
    from trainer.plots.statistics import make_curves
    from trainer.plots.tables import absolute_table, improvement_table, markdown_table

    if not config.runs:
        raise InputError("name the run directories to draw, e.g. lan-plot runs/3m-lan-seed* --out 3m.png")
    if config.out.suffix not in SUFFIXES:
        raise InputError(f"--out {config.out}: the name must end in {', '.join(SUFFIXES)}")
    check_target("--out", config.out, force=config.force)
    for flag, target in (("--data", config.data), ("--marl-eval", config.marl_eval)):
        if target is not None:
            check_target(flag, target, force=config.force)
    check_apart(config)
    if config.until is not None and config.until < 1:
        raise InputError(f"--until must be at least 1, not {config.until}")
    by = tuple(known_setting(name) for name in config.by)
    runs = []
    for path in config.runs:
        if path.suffix.lower() == ".csv":
            if by:
                raise InputError(
                    f"--by {one_line(config.by[0])}: {path} holds no settings; name the run directories"
                )
            runs += read_runs(path, config.metric, config.until)
        else:
            runs.append(load_run(path, config.metric, until_steps=config.until, by=by))
    known = {run.map for run in runs}
    if unknown := [name for name in config.maps if name not in known]:
        raise InputError(f"--maps {one_line(unknown[0])}: no run on it; {nearest_names(unknown[0], known)}")
    runs = [run for run in runs if not config.maps or run.map in config.maps]
    differences = find_differences(runs)
    if differences and not config.force:
        listed = "; ".join(differences)
        raise InputError(f"these runs are not comparable ({listed}); --force draws them all the same")
    references = [] if config.beside is None else read_references(config.beside, config.metric)
    curves = make_curves(runs)
    figure = draw(curves, config.metric, sorted({run.backend for run in runs}), config.summary, references)
    table = markdown_table(curves, config.summary, over_maps=config.metric == "win_rate")
    if config.summary == "iqm" and config.metric in HIGHER_IS_BETTER:
        table = "\n\n".join(filter(None, (table, improvement_table(curves))))
    if config.metric == "win_rate":
        table = "\n\n".join(filter(None, (table, absolute_table(runs, config.summary, config.until))))
    battles = None if config.marl_eval is None else marl_eval_json(runs)
    write_atomically(config.out, render(config.out, figure, table))
    if config.data is not None:
        write_atomically(config.data, evaluations_csv(runs, config.metric).encode(errors="backslashreplace"))
    if config.marl_eval is not None and battles is not None:
        write_atomically(config.marl_eval, battles.encode())
    for difference in differences:
        print(f"lan-plot: drawn in spite of {one_line(difference)}", file=sys.stderr)
    print(table)


def check_apart(config: PlotConfig) -> None:
    """InputError when a file would be written over another, or over one that is read."""
    outputs = {"--out": config.out, "--data": config.data, "--marl-eval": config.marl_eval}
    taken = {path.resolve(): "a file to draw" for path in config.runs}
    if config.beside is not None:
        taken[config.beside.resolve()] = "--beside"
    for flag, path in outputs.items():
        if path is not None:
            if (other := taken.get(path.resolve())) is not None:
                raise InputError(f"{flag} {path} is {other} too: choose another name")
            taken[path.resolve()] = flag


def check_target(flag: str, path: Path, *, force: bool) -> None:
    """InputError unless a file may be written there."""
    if not path.parent.is_dir():
        raise InputError(f"{flag} {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise InputError(f"{flag} {path} is a folder: name a file in it")
    if path.exists() and not force:
        raise InputError(f"{path} exists: choose another {flag}, or --force to replace it")
    if not os.access(path.parent, os.W_OK):
        raise InputError(f"{flag} {path}: nothing can be written in {path.parent}")


if __name__ == "__main__":
    sys.exit(main())
