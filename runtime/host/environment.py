"""The environment that `lan-play` plays, who commands its enemies, and whether it can be recorded."""

from __future__ import annotations

import os
from pathlib import Path

from envs.errors import InputError
from envs.make import is_code, is_smac_map
from envs.smac.maps import MAP_SCRIPT
from envs.smac.own_maps import environment_name, is_own_map, learn_map
from envs.text import shell_word
from envs.types import MultiAgentEnv


def map_to_play(given: str | None, model: Path | None) -> str:
    """The environment that --map names, else the one that --model was made for; InputError."""
    from runtime.model_file.metadata import environment_in

    if model is None or not (given is None or is_own_map(given)):
        if given is None:
            raise InputError("say which map the agents play, e.g. --map 3m or --map FILE.json")
        return environment_name(given)
    spec, map_text = environment_in(model)
    learn_map(spec.name, map_text, str(model))
    if given is None and is_code(spec.name):
        raise InputError(
            f"{model} asks to import code, as the environment {spec.name!r}; "
            f"say --map {shell_word(spec.name)} if you trust it"
        )
    return given or spec.name


def check_record(path: Path, map_name: str) -> None:
    """InputError unless battles of an environment can be recorded in a file."""
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"--record {path}: there is no directory {path.parent}")
    if path.exists() and not path.is_file():
        raise InputError(f"--record {path}: something that is no file has this name")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise InputError(f"--record {path}: it may not be written")
    if path.suffix == ".html" and not is_smac_map(map_name):
        other = path.with_suffix(".jsonl")
        raise InputError(
            f"--record {path}: a page shows battles on SMAC's maps only; {map_name}'s actions can be "
            f"recorded, for example by --record {other}"
        )


def check_team(opponent: str, map_name: str, backend: str) -> None:
    """InputError unless a scripted team of that name can command the enemies."""
    if opponent == MAP_SCRIPT:
        return
    from envs.battle.opponent import check_opponent

    if Path(opponent).suffix == ".onnx" or os.path.lexists(opponent):
        raise InputError(
            f"--opponent {opponent}: lan-play runs no model; give a scripted team, or let lan-eval play it"
        )
    check_opponent(opponent, map_name, backend)


def with_opponent(env: MultiAgentEnv, opponent: str, seed: int) -> MultiAgentEnv:
    """The environment with a scripted team in command of the enemies, unless that is the map's own order."""
    if opponent == MAP_SCRIPT:
        return env
    from envs.battle.opponent import with_scripted_opponent

    return with_scripted_opponent(env, opponent, seed)
