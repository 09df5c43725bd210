"""The plan of a run: settings are checked and resolved once, before anything is written."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.command import nearest_names
from envs.errors import InputError
from envs.make import (
    BACKEND_NAMES,
    check_reward,
    env_spec,
    has_sc2_game,
    is_code,
    resolve_backend,
    sc2_root,
)
from envs.text import shell_word
from trainer.config import ResolvedConfig, TrainConfig, check_resumed, check_used, resolve, run_name
from trainer.learning.algorithms import enemies_to_read, types_to_split
from trainer.marks import Free
from trainer.runs.beginnings import named_beginning
from trainer.runs.claim import holder_of
from trainer.runs.config_file import FILE_NAME, is_unborn, load_config
from trainer.runs.opponents import check_config, named_opponent


@dataclass(frozen=True)
class Plan:
    """A checked run: its settings, its directory, and the backend that plays its battles.

    The directory is an absolute path: an environment may change the current folder.
    """

    config: ResolvedConfig
    run_dir: Path
    backend: str


def plan_run(config: TrainConfig) -> Plan:
    """Check and resolve the settings; InputError when they cannot be used."""
    if config.resume is not None:
        return plan_resumed(config, config.resume)
    if not config.map:
        raise InputError(
            "say which map to learn, e.g. --map 3m, or which run to go on with, --resume RUN_DIR"
        )
    if config.init_from is not None:
        config = replace(config, init_from=named_beginning(config.init_from))
    run_dir = (config.run_dir or Path("runs") / run_name(config)).absolute()
    resolved, backend = resolve_playable(config)
    check_used(resolved)
    check_free(run_dir, config.map)
    return Plan(resolved, run_dir, backend)


def plan_resumed(config: TrainConfig, run_dir: Path) -> Plan:
    """The plan of a run that goes on: its own settings, and the backend that it was begun on."""
    run_dir = run_dir.absolute()
    saved = load_config(run_dir)
    if config.run_dir is not None and config.run_dir.absolute() != run_dir:
        raise InputError(f"--run-dir {config.run_dir}: the run goes on in {run_dir}; leave it out")
    if not saved.map:
        raise InputError(f"{run_dir / FILE_NAME} names no map; put back the file that the run was begun with")
    if not config.map:
        raise InputError(
            f"{run_dir} asks to import code, as the environment {saved.map!r}; "
            f"say --map {shell_word(saved.map)} as well if you trust it"
        )
    if config.env == "auto":
        config = replace(config, env=saved.env)
    config = replace(config, opponent=named_opponent(config.opponent))
    check_resumed(saved, resolve(config))
    if saved.env in ("sc2", "smac", "smacv2") and not has_sc2_game(sc2_root()):
        raise InputError(
            f"{run_dir} was trained on {BACKEND_NAMES[saved.env]} and goes on there only, but {sc2_root()} "
            "holds no game: set SC2PATH to where it is, or train anew in another directory with --env sim"
        )
    resolved, backend = resolve_playable(replace(config, run_dir=run_dir))  # which may have moved
    check_used(resolved, Free.ON_RESUME)
    return Plan(resolved, run_dir, backend)


def check_free(run_dir: Path, map_name: str) -> None:
    """InputError when a run was begun there; settings alone, of a start that failed, are none."""
    try:
        if (run_dir / FILE_NAME).exists() and not (is_unborn(run_dir) and is_readable(run_dir)):
            raise InputError(
                f"{run_dir} already holds a run: go on with it by {resume_words(run_dir, map_name)}, "
                "or choose another --run-dir"
            )
    except OSError as error:
        raise InputError(f"--run-dir {run_dir} cannot be used: {error.strerror or error}") from None


def is_readable(run_dir: Path) -> bool:
    """Whether the settings in a directory are a run's."""
    try:
        load_config(run_dir)
    except InputError:
        return False
    return True


def resume_words(run_dir: Path, map_name: str) -> str:
    """The flags of `lan-train` that go on with a run, for a shell; a name that is code must be said again."""
    words = ["--resume", str(run_dir), *(["--map", map_name] if is_code(map_name) else [])]
    return " ".join(map(shell_word, words))


def resolve_playable(config: TrainConfig) -> tuple[ResolvedConfig, str]:
    """The resolved settings and the backend that plays them; InputError when they cannot be played."""
    resolved = resolve(replace(config, opponent=named_opponent(config.opponent)))
    env_spec(resolved.environment)
    types_to_split(resolved.sharing, resolved.environment)
    enemies_to_read(resolved.network, resolved.environment)
    backend = resolve_backend(resolved.env, resolved.environment)
    check_config(resolved, backend)
    check_reward(resolved.reward, resolved.environment, backend)
    return replace(resolved, env=backend), backend


def continued(run_dir: Path, **changes: Any) -> TrainConfig:
    """The settings of the run in a directory, to go on with it; `changes` are those asked for now.

    A map whose name is code must be among them. InputError when there is no run, and for a setting that does
    not exist.
    """
    known = {field.name for field in fields(TrainConfig)}
    for name in changes:
        if name not in known:
            raise InputError(f"no setting is called {name!r}: {nearest_names(name, known)}")
    try:
        saved = load_config(run_dir)
    except InputError:
        if (holder := holder_of(run_dir)) is not None:
            raise InputError(f"{holder} has just begun to train in {run_dir}: wait until it ends") from None
        raise
    asked = {"map": "" if is_code(saved.map) else saved.map, "resume": run_dir, "run_dir": run_dir, **changes}
    return replace(saved, **asked)
