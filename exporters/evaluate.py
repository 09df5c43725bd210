"""`lan-eval`: greedy battles in one process, of a checkpoint, a model file or a scripted team."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import tyro

from envs.command import nearest_names, run_command
from envs.errors import InputError
from envs.outcomes import summarise
from envs.types import EnvSpec, MultiAgentEnv

if TYPE_CHECKING:
    from envs.battle.env import BattleEnv
    from envs.outcomes import EpisodeStats
    from envs.types import Team
    from trainer.playing.policy import Policy

N_BATTLES = 32
"""Battles side by side; the episodes do not depend on it."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Flags of `lan-eval`."""

    ckpt: Path | None = None
    """Checkpoint (run.pt) or run directory to evaluate with torch."""
    model: Path | None = None
    """Or: model file to evaluate with onnxruntime."""
    team: str | None = None
    """Or: scripted team to play --map in the simulator: random, nearest, focus, kite, heuristic (SMAC's)."""
    episodes: int = 32
    """Battles to play."""
    seed: int = 0
    """Seed of the battles."""
    map: str | None = None
    """Map that --team plays; for a file only to confirm an environment that is code (pettingzoo:...)."""
    env: str | None = None
    """Backend that plays the battles: auto, sim, sc2 or smac; by default the one it was trained on."""
    record: Path | None = None
    """HTML page to write, on which the first battles can be watched."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of lines."""


@dataclass(frozen=True)
class Contestant:
    """A player, the environment it was made for, and how to make its teams.

    `make_team` takes the environment and the seed of the evaluation. `attacks_anywhere`: the team's attacks
    reach any distance, which only the simulator allows.
    """

    name: str
    spec: EnvSpec
    backend: str
    make_team: Callable[[MultiAgentEnv, int], Callable[[], Team]]
    attacks_anywhere: bool = False


@dataclass(frozen=True)
class Evaluation:
    """The outcome of the battles; `win_rate_interval` is Wilson's 95 % interval, returns are undiscounted."""

    map: str
    backend: str
    player: str
    seed: int
    episodes: int
    won: int
    win_rate: float
    win_rate_interval: tuple[float, float]
    return_mean: float
    episode_steps_mean: float


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `lan-eval`."""
    return run_command(
        EvaluateConfig,
        run,
        prog="lan-eval",
        description="Play greedy, decentralised battles in one process and report the win rate.",
        argv=argv,
    )


def run(config: EvaluateConfig) -> None:
    """Evaluate and print; InputError when the flags name no player or no environment fits it."""
    evaluation = evaluate(contestant(config), config)
    if config.record is not None:
        print(f"recorded in {config.record}", file=sys.stderr)
    if config.json:
        print(json.dumps(asdict(evaluation)))
    else:
        print_evaluation(evaluation)


def contestant(config: EvaluateConfig) -> Contestant:
    """The player that the flags name; InputError unless they name exactly one."""
    given = [config.ckpt, config.model, config.team]
    if sum(each is not None for each in given) != 1:
        raise InputError("give one of --ckpt FILE, --model FILE, or --team NAME --map MAP")
    if config.ckpt is not None:
        return torch_contestant(config.ckpt)
    if config.model is not None:
        return onnx_contestant(config.model)
    return scripted_contestant(str(config.team), config.map)


def torch_contestant(path: Path) -> Contestant:
    """A checkpoint's advantage network, run by torch on one thread."""
    import torch

    from trainer.playing.policy import TorchPolicy
    from trainer.runs.checkpoint import load_advantage_net, load_checkpoint

    torch.set_num_threads(1)
    checkpoint = load_checkpoint(path)
    policy = TorchPolicy(load_advantage_net(checkpoint))
    return Contestant("torch", checkpoint.spec, checkpoint.backend, followers(policy))


def onnx_contestant(path: Path) -> Contestant:
    """A model file, run by onnxruntime as an agent runs it."""
    from runtime.model_file.contract import METADATA_BACKEND
    from runtime.model_file.loader import load_model

    model = load_model(path)
    backend = model.metadata.get(METADATA_BACKEND, "auto")
    return Contestant("onnxruntime", model.spec, backend, followers(model))


def followers(policy: Policy) -> Callable[[MultiAgentEnv, int], Callable[[], Team]]:
    """Greedy agents of a policy, with fresh memories for every team."""
    from trainer.playing.policy import PolicyTeam

    return lambda env, seed: lambda: PolicyTeam(policy, env)


def scripted_contestant(name: str, map_name: str | None) -> Contestant:
    """A scripted team on a SMAC map of the simulator; InputError for other names and environments."""
    from envs.battle.heuristic import HEURISTIC, HeuristicTeam
    from envs.battle.teams import TEAMS
    from envs.make import env_spec, is_smac_map, is_without_fog

    teams: dict[str, Callable[[BattleEnv, int], Team]] = {**TEAMS, HEURISTIC: HeuristicTeam}
    if name not in teams:
        raise InputError(f"unknown team {name!r}: {nearest_names(name, teams)}")
    if map_name is None:
        raise InputError(f"--team {name}: say which map it plays, e.g. --map 3m")
    if not is_smac_map(map_name):
        raise InputError(f"--team {name} plays SMAC's maps on the simulator, not {map_name}")
    if is_without_fog(map_name):
        plain = map_name.rpartition(":")[0]
        raise InputError(f"--team {name} looks at no observation, so fog changes nothing: say --map {plain}")

    def make_team(env: MultiAgentEnv, seed: int) -> Callable[[], Team]:
        team = teams[name](cast("BattleEnv", env), seed)
        return lambda: team

    return Contestant(f"team {name}", env_spec(map_name), "sim", make_team, name == HEURISTIC)


def evaluate(contestant: Contestant, config: EvaluateConfig) -> Evaluation:
    """Play the episodes 0 … n - 1 of the seed; InputError when the environment is not the contestant's."""
    from envs.make import resolve_backend
    from exporters.environment import environment_of

    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: it must not be negative")
    backend = resolve_backend(config.env or contestant.backend, contestant.spec.name)
    if config.team is not None and backend != "sim":
        raise InputError(f"--team {config.team} knows the simulator's units only: say --env sim")
    if config.record is not None and backend != "sim":
        raise InputError(f"--record {config.record}: only the simulator can be recorded, --env sim")
    env = environment_of(
        contestant.spec,
        backend,
        named=config.map,
        n_battles=1 if config.record else min(N_BATTLES, config.episodes),
        seed=config.seed,
    )
    with env:
        stats = play_episodes(env, contestant, config)
    return describe(stats, contestant, backend, config.seed)


def play_episodes(
    env: MultiAgentEnv, contestant: Contestant, config: EvaluateConfig
) -> Sequence[EpisodeStats]:
    """Play the episodes in `env`; with --record, write them as a page."""
    from exporters.watching import recording
    from trainer.playing.rollout import play

    if contestant.attacks_anywhere:
        from envs.battle.heuristic import AttackAnywhere

        env = AttackAnywhere(cast("BattleEnv", env))
    make_team = contestant.make_team(env, config.seed)
    if config.record is None:
        return play(env, make_team, config.episodes)
    with recording(env, make_team, contestant.name, config.record) as (make_watched, watcher):
        return play(env, make_watched, config.episodes, watcher)


def describe(stats: Sequence[EpisodeStats], contestant: Contestant, backend: str, seed: int) -> Evaluation:
    """Counts and means over episodes."""
    summary = summarise(stats)
    return Evaluation(
        map=contestant.spec.name,
        backend=backend,
        player=contestant.name,
        seed=seed,
        episodes=summary.episodes,
        won=summary.won,
        win_rate=summary.win_rate,
        win_rate_interval=summary.win_rate_interval,
        return_mean=summary.return_mean,
        episode_steps_mean=summary.length_mean_steps,
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """Three lines for a reader."""
    low, high = evaluation.win_rate_interval
    print(
        f"{evaluation.map} ({evaluation.backend}), {evaluation.player}: "
        f"{evaluation.episodes} battles, seed {evaluation.seed}"
    )
    print(
        f"win rate  {evaluation.win_rate:.1%} ({evaluation.won} of {evaluation.episodes}; "
        f"95 % interval {low:.1%} to {high:.1%})"
    )
    print(f"return    {evaluation.return_mean:.2f}, length {evaluation.episode_steps_mean:.1f} steps (means)")
