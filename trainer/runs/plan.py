"""The plan of a run: settings are checked and resolved once, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.command import nearest_names
from envs.errors import InputError
from envs.make import env_spec, resolve_backend
from trainer.config import ResolvedConfig, TrainConfig, check_resumed, learner_name, resolve
from trainer.learning.algorithms import types_to_split
from trainer.runs.config_file import FILE_NAME, load_config


@dataclass(frozen=True)
class Plan:
    """A checked run: its settings, its directory, and the backend that plays its battles."""

    config: ResolvedConfig
    run_dir: Path
    backend: str


def plan_run(config: TrainConfig) -> Plan:
    """Check and resolve the settings; InputError when they cannot be used."""
    if not config.map:
        raise InputError(
            "say which map to learn, e.g. --map 3m, or which run to go on with, --resume RUN_DIR"
        )
    resolved, backend = resolve_playable(config)
    learner = learner_name(config.algorithm, config.sharing)
    run_dir = config.run_dir or Path("runs") / f"{config.map}-{learner}-seed{config.seed}"
    if config.resume is not None:
        check_resumed(load_config(config.resume), resolved)
        run_dir = config.resume
        resolved = replace(resolved, run_dir=run_dir)  # which may have moved
    elif (run_dir / FILE_NAME).exists():
        raise InputError(
            f"{run_dir} already holds a run: go on with it by --resume {run_dir}, or choose another --run-dir"
        )
    return Plan(resolved, run_dir, backend)


def resolve_playable(config: TrainConfig) -> tuple[ResolvedConfig, str]:
    """The resolved settings and the backend that plays them; InputError when they cannot be played."""
    resolved = resolve(config)
    env_spec(resolved.environment)
    types_to_split(resolved.sharing, resolved.environment)
    return resolved, resolve_backend(resolved.env, resolved.environment)


def continued(run_dir: Path, **changes: Any) -> TrainConfig:
    """The settings of the run in a directory, to go on with it; `changes` are those asked for now.

    InputError when there is no run, and for a setting that does not exist.
    """
    known = {field.name for field in fields(TrainConfig)}
    for name in changes:
        if name not in known:
            raise InputError(f"no setting is called {name!r}: {nearest_names(name, known)}")
    return replace(load_config(run_dir), **{"resume": run_dir, "run_dir": run_dir, **changes})
