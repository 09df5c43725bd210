"""`lan-eval`: greedy, decentralised evaluation in one process, of a checkpoint or of a model file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from envs.command import InputError, run_command
from envs.types import EnvSpec

if TYPE_CHECKING:
    from exporters.play import Policy
    from trainer.rollout import EpisodeStats

N_BATTLES = 8
"""Battles side by side; the episodes played are the same whatever this is."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Flags of `lan-eval`."""

    ckpt: Path | None = None
    """Checkpoint (run.pt) or run directory to evaluate, with torch."""
    model: Path | None = None
    """Or: model file to evaluate, with onnxruntime."""
    episodes: int = 32
    """Battles to play."""
    seed: int = 0
    """Seed of the battles."""
    map: str | None = None
    """The environment once more; needed where its name is code to import (pettingzoo:…)."""
    env: str | None = None
    """Backend that plays the battles: auto, sim, sc2, smac; the one it was trained on by default."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of lines."""


@dataclass(frozen=True)
class Contestant:
    """A policy to evaluate, what it was made for, and what runs it."""

    policy: Policy
    spec: EnvSpec
    backend: str
    engine: str


@dataclass(frozen=True)
class Evaluation:
    """What the battles came to; `win_rate_interval` is Wilson's interval, returns are undiscounted."""

    map: str
    backend: str
    engine: str
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
    """Evaluate and print; InputError when there is nothing to evaluate or no environment for it."""
    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: it must not be negative")
    evaluation = evaluate(contestant(config), config)
    if config.json:
        print(json.dumps(asdict(evaluation)))
    else:
        print_evaluation(evaluation)


def contestant(config: EvaluateConfig) -> Contestant:
    """The policy that the flags name; InputError unless they name exactly one."""
    if config.ckpt is not None and config.model is None:
        return torch_contestant(config.ckpt)
    if config.model is not None and config.ckpt is None:
        return onnx_contestant(config.model)
    raise InputError("give either --ckpt FILE or --model FILE")


def torch_contestant(path: Path) -> Contestant:
    """A checkpoint's advantage network, run by torch on one thread."""
    import torch

    from exporters.torch_policy import TorchPolicy, load_advantage_net
    from trainer.checkpoint import load_checkpoint

    torch.set_num_threads(1)
    checkpoint = load_checkpoint(path)
    policy = TorchPolicy(load_advantage_net(checkpoint))
    return Contestant(policy, checkpoint.spec, checkpoint.backend, "torch")


def onnx_contestant(path: Path) -> Contestant:
    """A model file, run by onnxruntime as an agent runs it."""
    from runtime.model import METADATA_BACKEND, load_model

    model = load_model(path)
    return Contestant(model, model.spec, model.metadata.get(METADATA_BACKEND, "auto"), "onnxruntime")


def evaluate(contestant: Contestant, config: EvaluateConfig) -> Evaluation:
    """Play the episodes 0 … n - 1 of the seed; InputError when the environment is not the contestant's."""
    from envs.make import resolve_backend
    from exporters.environment import environment_of
    from exporters.play import play

    backend = resolve_backend(config.env or contestant.backend, contestant.spec.name)
    env = environment_of(
        contestant.spec,
        backend,
        named=config.map,
        n_battles=min(N_BATTLES, config.episodes),
        seed=config.seed,
    )
    try:
        stats = play(env, contestant.policy, config.episodes)
    finally:
        env.close()
    return summarize(stats, contestant, backend, config.seed)


def summarize(stats: Sequence[EpisodeStats], contestant: Contestant, backend: str, seed: int) -> Evaluation:
    """Counts and means over episodes."""
    from runtime.report import wilson_interval

    n, won = len(stats), sum(episode.won for episode in stats)
    return Evaluation(
        map=contestant.spec.name,
        backend=backend,
        engine=contestant.engine,
        seed=seed,
        episodes=n,
        won=won,
        win_rate=won / n,
        win_rate_interval=wilson_interval(won, n),
        return_mean=sum(episode.episode_return for episode in stats) / n,
        episode_steps_mean=sum(episode.length_steps for episode in stats) / n,
    )


def print_evaluation(evaluation: Evaluation) -> None:
    """Three lines for a reader."""
    low, high = evaluation.win_rate_interval
    print(
        f"{evaluation.map} ({evaluation.backend}), {evaluation.engine}: "
        f"{evaluation.episodes} greedy battles, seed {evaluation.seed}"
    )
    print(
        f"win rate  {evaluation.win_rate:.1%} ({evaluation.won} of {evaluation.episodes}; "
        f"95 % interval {low:.1%} to {high:.1%})"
    )
    print(f"return    {evaluation.return_mean:.2f}, length {evaluation.episode_steps_mean:.1f} steps (means)")
