"""Who commands the enemies in `lan-eval`: the map's script, a scripted team, a checkpoint or a model file."""

from __future__ import annotations

from pathlib import Path

from envs.battle.opponent import SCRIPTED, with_scripted_opponent, with_trained_opponent
from envs.command import nearest_names
from envs.errors import InputError
from envs.files import expanded
from envs.kinds import CHECKPOINT, kind_of
from envs.make import check_commanded
from envs.smac.maps import MAP_SCRIPT
from envs.types import MultiAgentEnv
from exporters.contestants import onnx_contestant, torch_contestant


def with_opponent(env: MultiAgentEnv, given: str, backend: str, seed: int) -> MultiAgentEnv:
    """The environment with `--opponent` in command of the enemies; InputError where it does not fit."""
    if given in (MAP_SCRIPT, *SCRIPTED):
        if given != MAP_SCRIPT:
            check_commanded(given, env.spec.name, backend)
        return with_scripted_opponent(env, given, seed)
    path = expanded(given)
    if not path.exists():
        known = nearest_names(given, (MAP_SCRIPT, *SCRIPTED))
        raise InputError(f"--opponent {given}: no such team and no such file; {known}")
    return with_model_opponent(env, path, backend, seed)


def with_model_opponent(env: MultiAgentEnv, path: Path, backend: str, seed: int) -> MultiAgentEnv:
    """The environment with a trained team in command of the enemies, who must be as the agents are."""
    check_commanded(path, env.spec.name, backend)
    is_trained_here = path.is_dir() or kind_of(path) == f"a {CHECKPOINT}"
    player = torch_contestant(path) if is_trained_here else onnx_contestant(path)
    return with_trained_opponent(env, str(path), player.spec, lambda side: player.make_team(side, seed)())
