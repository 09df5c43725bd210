"""`lan-map`: writes a map of one's own from a line, shows it, and checks it."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from envs.command import no_subcommand, printed, run_command
from envs.errors import InputError
from envs.files import write_atomically
from envs.make import env_spec, find_map
from envs.outputs import check_output
from envs.smac.own_maps import environment_name, is_map_file
from envs.text import one_line, shell_word

DESCRIPTIONS = {
    "new": "Write a map from a line, e.g. '5 marines and a medivac against 3 zealots, 32 x 32, limit 120'.",
    "check": "Read a map's file as every command does with --map, and say what its environment is.",
    "show": "Draw a map, and how its battles start.",
}
USAGE = "usage: lan-map new LINE --out FILE [--force] | check FILE | show FILE   (lan-map new --help)"


@dataclass(frozen=True)
class NewConfig:
    """The flags of lan-map new."""

    line: Annotated[str, tyro.conf.Positional]
    """TEAM against TEAM [, WIDTH x HEIGHT] [, limit STEPS]; a TEAM is such as: 5 marines and a medivac."""
    out: Path
    """File to write, NAME.json; NAME becomes the map's name."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the file if it exists."""


@dataclass(frozen=True)
class FileConfig:
    """The flags of lan-map check and show."""

    file: Annotated[str, tyro.conf.Positional]
    """The map's file, NAME.json, or the name of one of SMAC's."""


def new(config: NewConfig) -> None:
    """Write the map, and say how it is used."""
    from envs.smac.map_line import map_of_line
    from envs.smac.map_text import file_text

    out = config.out
    if out.suffix != ".json":
        raise InputError(f"--out {out}: a map's file is called NAME.json")
    data = map_of_line(config.line, out.stem)
    check_output("--out", out, force=config.force)
    write_atomically(out, file_text(data).encode())
    named = str(out) if is_map_file(str(out)) else f"./{out}"  # a colon makes a name, but behind a slash
    print(f"wrote {one_line(out)}; now: lan-map show {shell_word(named)}")
    print(f"                then: lan-train --map {shell_word(named)} --preset fast")


def check(config: FileConfig) -> None:
    """Say what the map's environment is called and how large it is."""
    spec = env_spec(config.file)
    print(
        f"{one_line(spec.name)}: {spec.n_agents} agents, {spec.n_actions} actions, {spec.obs_dim} features "
        f"in an observation, {spec.state_dim} in the state, at most {spec.episode_limit} steps"
    )


def show(config: FileConfig) -> None:
    """Draw the map."""
    from envs.smac.map_picture import picture

    name = environment_name(config.file)
    print(f"{one_line(name)}\n{picture(find_map(name))}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    what = words[0] if words else ""
    prog, rest = f"lan-map {what}", words[1:]
    if what == "new":
        return run_command(NewConfig, new, prog=prog, description=DESCRIPTIONS[what], argv=rest)
    if what in ("check", "show"):
        run = check if what == "check" else show
        return run_command(
            FileConfig, run, prog=prog, description=DESCRIPTIONS[what], argv=rest, listing=True
        )
    return printed(lambda: no_subcommand("lan-map", USAGE, "new, check or show", what), "lan-map")


if __name__ == "__main__":
    sys.exit(main())
