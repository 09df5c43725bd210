"""Draw the figures of `results/` again, from the CSV files beside them: `python -m benchmarks.results`.

The commands stand in each folder's README: every line of a code block that begins with `lan-plot NAME.csv`.
They run in the folder, in the order in which they stand there, and their tables are printed.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import tyro

from envs.command import run_command
from envs.errors import InputError
from trainer.plots.cli import main as lan_plot

RESULTS = Path(__file__).resolve().parents[1] / "results"


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    folders: Annotated[tuple[Path, ...], tyro.conf.Positional] = field(default=())
    """Folders with a README.md; all of results/ when none is named."""


def commands_of(folder: Path) -> Iterator[list[str]]:
    """The words of each command in a folder's README that draws from a CSV file."""
    try:
        lines = (folder / "README.md").read_text().splitlines()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{folder} has no README.md that can be read: {reason}") from None
    is_code = False
    for line in lines:
        is_code ^= line.startswith("```")
        if is_code and re.match(r"lan-plot \S+\.csv ", line):
            try:
                yield shlex.split(line, comments=True)[1:]
            except ValueError as error:
                raise InputError(f"{folder / 'README.md'}: {line}: {error}") from None


def run(config: Config) -> int:
    """Run all commands; 1 when one of them fails."""
    folders = config.folders or sorted(path.parent for path in RESULTS.glob("*/README.md"))
    code = 0
    for folder in folders:
        for words in list(commands_of(folder)):
            print(f"{folder.name}: lan-plot {shlex.join(words)}\n", flush=True)
            with in_folder(folder):
                code = max(code, lan_plot(words) and 1)
            print(flush=True)
    return code


@contextlib.contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    """Work in a folder for a block."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main() -> int:
    """The command; returns its exit code."""
    return run_command(Config, run, prog="benchmarks.results", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
