"""`lan-plot`: learning curves of runs as a figure, and their final values as a table."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from envs.command import nearest_names, run_command
from envs.errors import InputError
from envs.files import write_atomically
from envs.outputs import check_apart, check_output
from envs.text import one_line

if TYPE_CHECKING:
    from trainer.plots.absolute_data import Known
    from trainer.plots.curves import Key, Run

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
    """Run directories of lan-train, or CSV files that --data and --absolute-data wrote."""
    out: Path = Path("curves.png")
    """Figure to write: .png, .svg, or .html (figure and table in one page)."""
    metric: str = "win_rate"
    """Metric to draw: win_rate, return_mean, episode_length_steps or wall_processor_s (processor seconds)."""
    summary: Literal["iqm", "median"] = "iqm"
    """Line and band: iqm (interquartile mean, 95 % interval) or median (and quartiles, as in the paper)."""
    maps: tuple[str, ...] = ()
    """Maps to draw; all when none is named."""
    beside: Path | None = None
    """CSV file of others' numbers to draw too: columns map, name, env_steps (none: a line) and the metric."""
    data: Path | None = None
    """CSV file to write the drawn evaluations to."""
    absolute_data: Path | None = None
    """CSV file to write every run's absolute metric to."""
    marl_eval: Path | None = None
    """JSON file to write for marl-eval, with every battle and every run's absolute metric."""
    until: int | None = None
    """Draw evaluations up to this environment step only, to compare longer runs with shorter ones."""
    by: tuple[str, ...] = ()
    """Draw a curve for each value of these settings, e.g. overlap; of several, defaults are not named."""
    force: bool = False
    """Draw runs that are not comparable, and replace existing files."""

    def files(self) -> dict[str, Path]:
        """What is to be written, by flag."""
        asked = {
            "--out": self.out,
            "--data": self.data,
            "--absolute-data": self.absolute_data,
            "--marl-eval": self.marl_eval,
        }
        return {flag: path for flag, path in asked.items() if path is not None}


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    return run_command(PlotConfig, plot, prog="lan-plot", description=DESCRIPTION, argv=argv, listing=True)


def plot(config: PlotConfig) -> None:
    """Check, draw, write, and print the tables."""
    from trainer.plots.curves import find_differences

    check(config)
    runs, known = read(config)
    differences = find_differences(runs)
    if differences and not config.force:
        listed = "; ".join(differences)
        raise InputError(f"these runs are not comparable ({listed}); --force draws them all the same")
    tables, contents = drawn(config, runs, known)
    for path, content in contents.items():
        write_atomically(path, content)
        print(f"lan-plot: written to {one_line(path)}", file=sys.stderr)
    for difference in differences:
        print(f"lan-plot: drawn in spite of {one_line(difference)}", file=sys.stderr)
    print(tables)


def check(config: PlotConfig) -> None:
    """InputError where flags are wrong, before anything is read."""
    if not config.runs:
        raise InputError("name the run directories to draw, e.g. lan-plot runs/3m-lan-seed* --out 3m.png")
    if config.out.suffix not in SUFFIXES:
        raise InputError(f"--out {config.out}: the name must end in {', '.join(SUFFIXES)}")
    check_places(config)
    if config.until is not None and config.until < 1:
        raise InputError(f"--until must be at least 1, not {config.until}")


def read(config: PlotConfig) -> tuple[list[Run], Known]:
    """The runs to draw, and what CSV files say of their absolute metric."""
    from trainer.plots.absolute_data import holds_absolute, read_absolute
    from trainer.plots.curves import known_setting, load_run
    from trainer.plots.drawn_data import read_runs

    by = tuple(dict.fromkeys(known_setting(name) for name in config.by))
    runs: list[Run] = []
    known: dict[Key, float] = {}
    for path in config.runs:
        if path.suffix.lower() != ".csv":
            runs.append(load_run(path, config.metric, until_steps=config.until, by=by))
        elif holds_absolute(path):
            known = read_absolute(path, known)
        elif by:
            asked = f"--by {one_line(config.by[0])}"
            raise InputError(f"{asked}: {path} holds no settings; name the run directories")
        else:
            runs += read_runs(path, config.metric, config.until)
    if not runs:
        raise InputError(f"{config.runs[0]} holds the absolute metric alone: name the file of --data too")
    check_all_used(config, runs, known)
    maps = {run.map for run in runs}
    if unknown := [name for name in config.maps if name not in maps]:
        raise InputError(f"--maps {one_line(unknown[0])}: no run on it; {nearest_names(unknown[0], maps)}")
    return [run for run in runs if not config.maps or run.map in config.maps], known


def check_all_used(config: PlotConfig, runs: Sequence[Run], known: Known) -> None:
    """InputError where a CSV file of the absolute metric would not be shown, or lacks a run."""
    if not known:
        return
    told = "the file of the absolute metric would not be shown"
    if config.metric != "win_rate":
        raise InputError(f"--metric {config.metric}: {told}, which holds win rates; leave it out")
    if config.until is not None:
        raise InputError(f"--until: {told}, since it does not tell its checkpoints' steps; leave it out")
    of_data = {run.key for run in runs if not run.settings}
    for keys, what in (
        (known.keys() - of_data, "it has a line of a run that is not in a CSV file of --data"),
        (of_data - known.keys(), "it has no line of a run that is"),
    ):
        if keys:
            map_name, _, _, learner, seed = min(keys)
            raise InputError(f"{told}: {what}, seed {seed} of {one_line(learner)} on {one_line(map_name)}")


def drawn(config: PlotConfig, runs: Sequence[Run], known: Known) -> tuple[str, dict[Path, bytes]]:
    """The tables, and what goes into each file."""
    from trainer.plots.absolute_data import absolute_csv
    from trainer.plots.drawn_data import evaluations_csv
    from trainer.plots.figures import HIGHER_IS_BETTER, draw, render
    from trainer.plots.marl_eval import marl_eval_json
    from trainer.plots.references import read_references
    from trainer.plots.statistics import make_curves, why_no_absolute_table
    from trainer.plots.tables import absolute_table, improvement_table, markdown_table

    references = []
    if config.beside is not None:
        references = read_references(config.beside, config.metric, {run.map for run in runs})
    curves, rates = make_curves(runs), config.metric == "win_rate"
    figure = draw(curves, config.metric, sorted({run.backend for run in runs}), config.summary, references)
    tables = [markdown_table(curves, config.summary, over_maps=rates)]
    if config.summary == "iqm" and config.metric in HIGHER_IS_BETTER:
        tables.append(improvement_table(curves))
    if rates:
        tables.append(absolute_table(runs, config.summary, known, config.until))
        if not tables[-1] and (reason := why_no_absolute_table(runs, known, config.until)):
            print(f"lan-plot: {reason}", file=sys.stderr)
    text = "\n\n".join(filter(None, tables))
    contents = {config.out: render(config.out, figure, text)}
    if config.data is not None:
        contents[config.data] = evaluations_csv(runs, config.metric).encode(errors="backslashreplace")
    if config.absolute_data is not None:
        contents[config.absolute_data] = absolute_csv(runs, config.until).encode(errors="backslashreplace")
    if config.marl_eval is not None:
        contents[config.marl_eval] = marl_eval_json(runs, config.until).encode()
    return text, contents


def check_places(config: PlotConfig) -> None:
    """InputError where a file may not be written, or would be written over one that is read."""
    for flag, target in config.files().items():
        check_output(flag, target, force=config.force)
    read = {f"the {'run' if path.is_dir() else 'file'} {path}": path for path in config.runs}
    check_apart({**read, "--beside": config.beside}, config.files())


if __name__ == "__main__":
    sys.exit(main())
