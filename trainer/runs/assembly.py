"""The parts of a training run, put together."""

from __future__ import annotations

import contextlib
from dataclasses import fields, replace
from pathlib import Path

import torch

from envs.errors import InputError
from envs.make import battles_at_once, env_spec, make_env
from trainer.config import ResolvedConfig, TrainConfig, changes, resolve
from trainer.learning.algorithms import enemies_to_read, make_learner, types_to_split
from trainer.learning.learner import LearnerSettings
from trainer.marks import Free
from trainer.runs.beginnings import begin_from
from trainer.runs.checkpoint import Checkpoint
from trainer.runs.claim import Claim
from trainer.runs.config_file import (
    FILE_NAME,
    IN_OLDER_RUNS,
    begin_directory,
    check_end,
    check_rules,
    save_end,
)
from trainer.runs.directory import Found, RunDirectory
from trainer.runs.opponents import commanded
from trainer.runs.plan import Plan, check_free
from trainer.runs.process_memory import keep_freed_memory
from trainer.runs.run import TrainingRun, make_replay

EVALUATION_SEED_OFFSET = 1_000_003
"""Evaluation battles come from another seed, so that no battle is both trained on and tested on."""


def assemble(plan: Plan, claim: Claim | None = None) -> TrainingRun:
    """A planned run with its environments and its learner, new or resumed; writes its settings.

    `claim`: the directory's, where the caller holds it; else the run takes one, and frees it when it closes.
    InputError when it cannot be trained on this machine, when another process trains in its directory, or
    when that cannot be read or written.
    """
    config, device = plan.config, torch_device(plan.config.device)
    with contextlib.ExitStack() as opened:
        own = opened.enter_context(Claim(plan.run_dir)) if claim is None else None
        if config.resume is None:
            check_free(plan.run_dir, config.map)  # again: now nobody else can begin one
        directory = RunDirectory(plan.run_dir, config.keep_checkpoints)
        found = None if config.resume is None or directory.is_new else go_back(plan, directory)
        if found is not None:
            check_rules(plan.run_dir)
            check_end(plan.run_dir, config, found.checkpoint.env_steps)
        agent_types = types_to_split(config.sharing, config.environment)
        enemies = enemies_to_read(config.network, config.environment)
        keep_freed_memory()
        torch.set_num_threads(1)  # the learner splits its batches over --threads instead
        torch.manual_seed(config.seed)
        env = make_env(
            config.environment,
            plan.backend,
            n_battles=config.envs,
            seed=config.seed,
            reward=config.reward,
        )
        env = commanded(opened.enter_context(env), config, config.seed)
        eval_env = make_env(
            config.environment,
            plan.backend,
            n_battles=battles_at_once(plan.backend, config.eval_episodes),
            seed=config.seed + EVALUATION_SEED_OFFSET,
        )
        eval_env = commanded(opened.enter_context(eval_env), config, config.seed + EVALUATION_SEED_OFFSET)
        learner = make_learner(
            config.algorithm, env.spec, learner_settings(config), device, agent_types, enemies
        )
        if found is None:
            begin_from(learner, config, env.spec)
            begin_directory(plan.run_dir, config, plan.backend, env.spec)
        else:
            save_end(plan.run_dir, config)
        opened.pop_all()  # from here on the run closes them
        return TrainingRun(config, plan.backend, directory, env, eval_env, learner, found, own)


def go_back(plan: Plan, directory: RunDirectory) -> Found:
    """The newest usable checkpoint, made the directory's newest.

    InputError when another backend or environment made it, or when a file cannot be read now.
    """
    config, spec = plan.config, env_spec(plan.config.environment)
    try:
        found = directory.find(lambda: make_replay(config, spec), config.replay_memory * 2**30)
        if found.checkpoint.backend != plan.backend:
            raise InputError(
                f"{directory.path} was trained on {found.checkpoint.backend}, not {plan.backend}; "
                "results must not mix"
            )
        check_own(found.path, found.checkpoint, config)
        directory.go_back_to(found)
    except OSError as error:
        raise InputError(
            f"{directory.path} cannot be read or written now ({error}): try again, or where one file stays "
            "unreadable, move it away, and the run goes on from the checkpoint before"
        ) from None
    return found


def check_own(path: Path, checkpoint: Checkpoint, config: ResolvedConfig) -> None:
    """InputError unless a checkpoint is of the run in whose directory it lies, whose settings are given."""
    if different := changes(config_of(checkpoint), config, Free.ON_RESUME):
        raise InputError(
            f"{path} and {path.parent / FILE_NAME} are of different runs "
            f"({', '.join(different)}): put back the one that belongs to the other"
        )
    spec = env_spec(config.environment)
    if different := spec.differences(checkpoint.spec):
        raise InputError(f"{path} was made for another {spec.name}: {'; '.join(different)}")


def config_of(checkpoint: Checkpoint) -> ResolvedConfig:
    """The settings of the run that wrote a checkpoint; InputError when they are none."""
    config = TrainConfig.from_dict(IN_OLDER_RUNS | checkpoint.config)
    return resolve(replace(config, env=checkpoint.backend))


def learner_settings(config: ResolvedConfig) -> LearnerSettings:
    """The learner's part of a run's settings."""
    return LearnerSettings(**{field.name: getattr(config, field.name) for field in fields(LearnerSettings)})


def torch_device(name: str) -> torch.device:
    """The device of that name; InputError when there is none here."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}: say cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; --device cpu works everywhere")
    if device.type == "cuda" and (device.index or 0) >= (count := torch.cuda.device_count()):
        raise InputError(f"--device {name}: torch sees {count} CUDA devices here, numbered from 0")
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: only cpu and cuda are supported")
    return device
