"""The environment that `lan-play` plays, who commands its enemies, and whether it can be recorded."""

from __future__ import annotations

import os
from pathlib import Path

from envs.errors import InputError
from envs.files import expanded
from envs.kinds import MODEL, unlike
from envs.make import check_commanded, find_map, is_code
from envs.outputs import PAGES, check_output
from envs.plain import is_smac_map
from envs.smac.maps import MAP_SCRIPT
from envs.smac.own_maps import environment_name, learn_map
from envs.text import shell_word
from envs.types import MultiAgentEnv
from runtime.model_file.metadata import environment_in

"""Records that show battles: a page and a picture. They need the simulator's units."""

BEGINNING = b'{"episode": '
"""How each line of a record of actions begins."""


def map_to_play(given: str | None, model: Path | None) -> str:
    """The environment that --map names, else the one that --model was made for; InputError."""
    if model is None:
        if given is None:
            raise InputError("say which map the agents play, e.g. --map 3m or --map FILE.json")
        return environment_name(given)
    spec, map_text = environment_in(model)
    learn_map(spec.name, map_text, str(model))
    if given is not None and (named := environment_name(given)) != spec.name:
        raise InputError(f"--map {named}: {model} was made for {spec.name}; leave --map out to play that")
    if given is None and is_code(spec.name):
        raise InputError(
            f"{model} asks to import code, as the environment {spec.name!r}; "
            f"say --map {shell_word(spec.name)} if you trust it"
        )
    return spec.name


def check_record(path: Path, map_name: str) -> None:
    """InputError unless battles of an environment can be recorded in a file."""
    check_output("--record", path)
    if path.exists() and not os.access(path, os.W_OK):
        raise InputError(f"--record {path}: it may not be written")
    if path.suffix.lower() in PAGES and not is_smac_map(map_name):
        other = path.with_suffix(".jsonl")
        raise InputError(
            f"--record {path}: a page shows battles on SMAC's maps only; {map_name}'s actions can be "
            f"recorded, for example by --record {other}"
        )


def check_replaced(path: Path) -> None:
    """InputError where actions would replace anything but an empty file or an earlier record of actions."""
    if path.suffix.lower() in PAGES or not path.is_file():
        return
    try:
        with path.open("rb") as file:
            beginning = file.read(len(BEGINNING))
    except OSError as error:
        raise InputError(f"--record {path} cannot be read: {error.strerror or error}") from None
    if beginning not in (b"", BEGINNING):
        raise InputError(f"--record {path} exists and holds no actions of battles; name another file")


def model_of_opponent(name: str, map_name: str, backend: str) -> Path | None:
    """The model file that --opponent names, None where it names a team; InputError where neither can play."""
    if name == MAP_SCRIPT:
        return None
    from envs.battle.opponent import SCRIPTED, check_opponent, trained_side

    model = expanded(name)
    is_team = name in SCRIPTED or not (model.suffix == ".onnx" or os.path.lexists(model))
    if is_team:
        check_opponent(name)
    check_commanded(name, map_name, backend)
    if is_team:
        return None
    if model.is_dir():
        raise InputError(f"--opponent {unlike(model, MODEL)}")
    spec, _ = environment_in(model)
    trained_side(find_map(map_name), name, spec)
    return model


def with_opponent(env: MultiAgentEnv, name: str, seed: int) -> MultiAgentEnv:
    """The environment with --opponent in command of the enemies; the host asks the agents of a model."""
    if name == MAP_SCRIPT:
        return env
    from envs.battle.mirror import turn_of
    from envs.battle.opponent import SCRIPTED, TwoSidedEnv, with_scripted_opponent

    if name in SCRIPTED:
        return with_scripted_opponent(env, name, seed)
    return TwoSidedEnv(env, turn_of(find_map(env.spec.name)))
