"""The simulator against the real game: `python -m benchmarks.real_game [PART ...] [--maps 3m] [--json]`.

random: a team that takes random available actions; return, deaths, length, wins.

untrained: greedy teams of networks with random weights, one per network, as every learner begins.

heuristic: SMAC's own non-learning team; wins.

forced: 3m step by step; every unit stands where a recorded one stood, and gets the recorded action.

layout: available actions, states and observations of the recorded rows, written by our layout code.

formation: where units stand when a battle begins.

replays (with --folder): the orders that trained teams gave in replays, given again here.

Prints a Markdown table for each part: the real numbers and ours with standard errors, and the difference from
the interval that the real numbers span, also in standard errors of both sides together and in percent of the
nearest real number. A row is marked where the difference is larger than it may be; the bounds stand in the
code of each part. The real numbers are in real_game.csv and formation.csv beside this file, their sources in
comparison.py, an excerpt of the recorded battles in recorded_3m.npz. recording.py describes the format of
--recording, replays.py that of --folder.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import tyro

from benchmarks.real_game.comparison import Real, Row, as_data, print_table, real_numbers
from benchmarks.real_game.forced import forced_rows
from benchmarks.real_game.formation import formation_rows, seen_places
from benchmarks.real_game.layout import layout_rows
from benchmarks.real_game.recording import EXCERPT, RECORDED, read_recording
from benchmarks.real_game.replays import replay_files, replay_rows
from benchmarks.real_game.scripted import heuristic_row, random_rows
from benchmarks.real_game.untrained import untrained_rows
from envs.command import nearest_names, run_command
from envs.errors import InputError
from envs.smac.maps import MAP_NAMES


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    parts: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Parts to play: formation, layout, forced, replays, random, untrained, heuristic (all when none)."""
    maps: tuple[str, ...] = ()
    """Maps to play (all for which there is a real number when none is named). `random` plays any map."""
    battles: int = 2000
    """Battles of each team on each map; of untrained networks 32 each."""
    seed: int = 0
    """Seed of the battles."""
    recording: Path = EXCERPT
    """Recorded battles of 3m."""
    folder: Path | None = None
    """Folder of replays."""
    json: bool = False
    """Print one JSON object instead of tables."""


def random_part(config: Config) -> Iterator[Row]:
    """All maps that random teams played in the real game, or those named, real numbers or not."""
    real = real_numbers("random")
    for name in config.maps or _maps(config, real):
        yield from random_rows(name, real, config.battles, config.seed)


def untrained_part(config: Config) -> Iterator[Row]:
    """All maps on which learners' first evaluations are known."""
    real = real_numbers("untrained")
    for name in _maps(config, real):
        yield from untrained_rows(name, real, config.battles, config.seed)


def heuristic_part(config: Config) -> Iterator[Row]:
    """All maps with a published rate."""
    real = real_numbers("heuristic")
    for name in _maps(config, real):
        yield heuristic_row(name, real, config.battles, config.seed)


def forced_part(config: Config) -> Iterator[Row]:
    """Every step of a recording."""
    if _wanted(config, RECORDED.name):
        yield from forced_rows(read_recording(config.recording), config.seed)


def layout_part(config: Config) -> Iterator[Row]:
    """Every row of a recording."""
    if _wanted(config, RECORDED.name):
        yield from layout_rows(read_recording(config.recording))


def formation_part(config: Config) -> Iterator[Row]:
    """All maps with places that were seen."""
    for name, places in seen_places().items():
        if _wanted(config, name):
            yield from formation_rows(name, places)


def replays_part(config: Config) -> Iterator[Row]:
    """All maps that the folder has a replay of."""
    for name, path in replay_files(config.folder).items() if config.folder else ():
        if _wanted(config, name):
            yield from replay_rows(name, path, config.seed)


PARTS: Final[dict[str, Callable[[Config], Iterator[Row]]]] = {
    "formation": formation_part,
    "layout": layout_part,
    "forced": forced_part,
    "replays": replays_part,
    "random": random_part,
    "untrained": untrained_part,
    "heuristic": heuristic_part,
}


def _wanted(config: Config, map_name: str) -> bool:
    return map_name in (config.maps or MAP_NAMES)


def _maps(config: Config, real: list[Real]) -> list[str]:
    """The maps with a real number that are to be played."""
    return [name for name in dict.fromkeys(entry.map for entry in real) if _wanted(config, name)]


def check(config: Config) -> list[str]:
    """The parts to play; InputError for flags that name none, or nothing that can be played."""
    for part in config.parts:
        if part not in PARTS:
            raise InputError(f"unknown part {part!r}: {nearest_names(part, PARTS)}")
    for name in config.maps:
        if name not in MAP_NAMES:
            raise InputError(f"unknown map {name!r}: {nearest_names(name, MAP_NAMES)}")
    if config.battles < 2 or config.seed < 0:
        raise InputError("--battles must be at least 2, --seed not negative")
    if "replays" in config.parts and config.folder is None:
        raise InputError("the part replays needs --folder, a folder of replays")
    return list(config.parts or (part for part in PARTS if part != "replays" or config.folder))


def run(config: Config) -> None:
    """Play and print; InputError before anything is played."""
    found = {}
    for part in check(config):
        rows = list(PARTS[part](config))
        found[part] = [as_data(row) for row in rows]
        if rows and not config.json:
            print_table(part, rows)
    if not any(found.values()):
        raise InputError(f"there is no real number of {', '.join(config.maps)} in {', '.join(found)}")
    if config.json:
        print(json.dumps(found, allow_nan=False))


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.real_game", description=__doc__ or "", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
