"""Who commands the enemies in `lan-eval`: the map's script, a scripted team, a checkpoint or a model file."""

from __future__ import annotations

from pathlib import Path

from envs.battle.mirror import turn_of
from envs.battle.opponent import (
    MAP_SCRIPT,
    SCRIPTED,
    OpponentEnv,
    battle_env,
    check_opponent,
    with_scripted_opponent,
)
from envs.command import nearest_names
from envs.errors import InputError
from envs.files import expanded
from envs.make import is_without_fog
from envs.types import MultiAgentEnv
from exporters.card import is_zip
from exporters.contestants import onnx_contestant, torch_contestant


def with_opponent(env: MultiAgentEnv, given: str, backend: str, seed: int) -> MultiAgentEnv:
    """The environment with `--opponent` in command of the enemies; InputError where it does not fit."""
    if given in (MAP_SCRIPT, *SCRIPTED):
        check_opponent(given, env.spec.name, backend)
        return with_scripted_opponent(env, given, seed)
    path = expanded(given)
    if not path.exists():
        known = nearest_names(given, (MAP_SCRIPT, *SCRIPTED))
        raise InputError(f"--opponent {given}: no such team and no such file; {known}")
    return with_model_opponent(env, path, backend, seed)


def with_model_opponent(env: MultiAgentEnv, path: Path, backend: str, seed: int) -> MultiAgentEnv:
    """The environment with a trained team in command of the enemies, who must be as the agents are."""
    name = env.spec.name
    if backend != "sim":
        raise InputError(f"--opponent {path}: only the simulator's enemies can be commanded, --env sim")
    player = torch_contestant(path) if path.is_dir() or is_zip(path) else onnx_contestant(path)
    if different := env.spec.differences(player.spec):
        raise InputError(f"--opponent {path} was made for another environment: {'; '.join(different)}")
    if is_without_fog(name):
        raise InputError(f"--opponent {path}: a trained team commands enemies in fog only, and not on {name}")
    try:
        turn = turn_of(battle_env(env).smac_map)
    except InputError as error:
        raise InputError(f"--opponent {path} learned the other side: {error}") from None
    return OpponentEnv(env, lambda side: player.make_team(side, seed)(), turn=turn)
