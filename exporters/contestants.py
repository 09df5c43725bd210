"""Who plays the battles of `lan-eval`: a checkpoint, a model file or a scripted team."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from envs.command import nearest_names
from envs.errors import InputError
from envs.smac.own_maps import environment_name, learn_map
from envs.types import Arena, EnvSpec

if TYPE_CHECKING:
    from envs.battle.env import BattleEnv
    from envs.battle.views import Side
    from envs.types import MultiAgentEnv, Team
    from trainer.playing.policy import Policy


@dataclass(frozen=True)
class Contestant:
    """A player, the environment it was made for, and how to make its teams.

    `make_team` takes the environment and the seed of the evaluation. `attacks_anywhere`: the team's attacks
    reach any distance, which only the simulator allows.
    """

    name: str
    spec: EnvSpec
    backend: str
    make_team: Callable[[Arena, int], Callable[[], Team]]
    attacks_anywhere: bool = False


def torch_contestant(path: Path) -> Contestant:
    """A checkpoint's advantage network, run by torch on one thread."""
    import torch

    from trainer.playing.policy import TorchPolicy
    from trainer.runs.checkpoint import load_advantage_net, load_checkpoint

    torch.set_num_threads(1)
    checkpoint = load_checkpoint(path)
    learn_map(checkpoint.spec.name, checkpoint.map_text, str(path))
    policy = TorchPolicy(load_advantage_net(checkpoint))
    return Contestant("torch", checkpoint.spec, checkpoint.backend, followers(policy))


def onnx_contestant(path: Path) -> Contestant:
    """A model file, run by onnxruntime as an agent runs it."""
    from runtime.model_file.contract import METADATA_BACKEND, METADATA_MAP
    from runtime.model_file.loader import load_model

    model = load_model(path)
    learn_map(model.spec.name, model.metadata.get(METADATA_MAP), str(path))
    backend = model.metadata.get(METADATA_BACKEND, "auto")
    return Contestant("onnxruntime", model.spec, backend, followers(model))


def playing_field(contestant: Contestant, env: MultiAgentEnv) -> MultiAgentEnv:
    """The environment as a contestant plays it, which allows attacks at any distance where it makes such."""
    if not contestant.attacks_anywhere:
        return env
    from envs.battle.heuristic import AttackAnywhere

    return AttackAnywhere(cast("BattleEnv", env))


def followers(policy: Policy) -> Callable[[Arena, int], Callable[[], Team]]:
    """Greedy agents of a policy, with fresh memories for every team."""
    from trainer.playing.policy import PolicyTeam

    return lambda env, seed: lambda: PolicyTeam(policy, env)


def scripted_contestant(name: str, map_name: str | None) -> Contestant:
    """A scripted team on a SMAC map of the simulator; InputError for other names and environments."""
    from envs.battle.heuristic import HEURISTIC, HeuristicTeam
    from envs.battle.teams import TEAMS
    from envs.make import env_spec, is_without_fog
    from envs.plain import is_smac_map

    teams: dict[str, Callable[[Side, int], Team]] = {**TEAMS, HEURISTIC: HeuristicTeam}
    if name not in teams:
        raise InputError(f"unknown team {name!r}: {nearest_names(name, teams)}")
    if map_name is None:
        raise InputError(f"--team {name}: say which map it plays, e.g. --map 3m")
    map_name = environment_name(map_name)
    if not is_smac_map(map_name):
        raise InputError(f"--team {name} plays SMAC's maps on the simulator, not {map_name}")
    if is_without_fog(map_name):
        plain = map_name.rpartition(":")[0]
        raise InputError(f"--team {name} looks at no observation, so fog changes nothing: say --map {plain}")

    def make_team(env: Arena, seed: int) -> Callable[[], Team]:
        team = teams[name](cast("Side", env), seed)
        return lambda: team

    return Contestant(f"team {name}", env_spec(map_name), "sim", make_team, name == HEURISTIC)
