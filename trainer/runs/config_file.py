"""`config.json`, which makes a directory a run: resolved settings, environment, versions."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.files import not_a_folder, read_regular, write_atomically
from envs.kinds import RUN, RUN_FILE, WHENCE, kind_of, unlike
from envs.make import BACKEND_NAMES, rules_of
from envs.types import EnvSpec
from envs.version import project_version, source_commit
from trainer.config import ResolvedConfig, TrainConfig, resolve
from trainer.marks import shown
from trainer.runs.metrics import FILE_NAME as METRICS_NAME

FILE_NAME = RUN_FILE
RUN_NAME, BEST_NAME = "run.pt", "best.pt"
"""The newest checkpoint and the one that won most; named here, where reading that costs no torch."""
MAX_BYTES = 1 << 20
REPLAY_NAME = "replay"
IN_OLDER_RUNS = {"network": "flat", "reward": "map"}
"""What runs were that do not say it, whatever their preset says now."""


def read_config(run_dir: Path) -> dict[str, Any]:
    """The file: config, and where it is whole backend, rules, spec, versions.

    FileNotFoundError where there is none, InputError where it is something else.
    """
    path = run_dir / FILE_NAME
    try:
        data = json.loads(read_regular(path, MAX_BYTES).decode())
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}") from None
    if not isinstance(data, dict) or not isinstance(data.get("config"), dict):
        raise InputError(f"{path} cannot be used: it is no object with the settings of a run as its config")
    kinds = {"backend": str, "rules": int, "spec": dict}
    if wrong := [key for key, kind in kinds.items() if not isinstance(data.get(key, kind()), kind)]:
        raise InputError(f"{path} cannot be used: its {wrong[0]} is {shown(data[wrong[0]])}")
    return data


def rules_of_run(data: dict[str, Any]) -> tuple[int, int]:
    """The version of the simulator's rules by which a run was begun, and that of today; 0 for other rules.

    Runs that do not say it were begun by version 1. `data`: as `read_config` gives it, backend included.
    """
    today = rules_of(data["config"]["map"], data["backend"])
    return data.get("rules", min(today, 1)), today


def check_rules(run_dir: Path) -> None:
    """InputError when a run was begun by other rules of the simulator than today's."""
    begun, today = rules_of_run({"backend": ""} | read_config(run_dir))
    if begun != today:
        raise InputError(
            f"{run_dir} was begun by version {begun} of the simulator's rules, and here they are of version "
            f"{today}; results must not mix: use the commit that its {FILE_NAME} names, or train anew"
        )


def load_config(run_dir: Path) -> ResolvedConfig:
    """The settings saved in a run directory; InputError when it holds no run."""
    try:
        if run_dir.is_file() and kind_of(run_dir.parent) == f"a {RUN}":
            raise InputError(f"{run_dir} is a file; name the run's directory, {run_dir.parent}")
        if run_dir.is_file() and kind_of(run_dir) is not None:
            raise InputError(unlike(run_dir, RUN))
        if (blocked := not_a_folder(run_dir)) is not None:
            raise InputError(f"no run in {run_dir}: {blocked} is no folder; {WHENCE[RUN]}")
        data = read_config(run_dir)
    except FileNotFoundError:
        if run_dir.is_dir():
            raise InputError(unlike(run_dir, RUN, f"it has no {FILE_NAME}")) from None
        raise InputError(f"there is no run directory {run_dir}; {WHENCE[RUN]}") from None
    except OSError as error:
        raise InputError(f"{run_dir} cannot be read: {error.strerror or error}") from None
    try:
        config = TrainConfig.from_dict(IN_OLDER_RUNS | data["config"])
        if config.env == "auto" and data.get("backend") in BACKEND_NAMES:  # so runs were saved at first
            config = replace(config, env=data["backend"])
        return resolve(config)
    except InputError as error:
        raise InputError(f"{run_dir / FILE_NAME} cannot be used: {error}") from None


def is_unborn(run_dir: Path) -> bool:
    """Whether no line of metrics, no checkpoint and no replay was ever written there."""
    metrics = run_dir / METRICS_NAME
    if any(run_dir.glob("*.pt")) or (run_dir / REPLAY_NAME).exists():
        return False
    return not metrics.exists() or (metrics.is_file() and metrics.stat().st_size == 0)


def begin_directory(run_dir: Path, config: ResolvedConfig, backend: str, spec: EnvSpec) -> None:
    """Write the settings, which makes a directory a run; InputError when the disk says no."""
    import torch

    data = {
        "config": config.to_dict(),
        "backend": backend,
        "rules": rules_of(config.environment, backend),
        "spec": json.loads(spec.to_json()),
        "versions": {
            "lan-smac": project_version(),
            "commit": source_commit(),
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        },
    }
    write_config(run_dir, data)


def check_end(run_dir: Path, config: ResolvedConfig, played_steps: int) -> None:
    """InputError when a resumed run is given an earlier end, which it has passed: its curve would be cut.

    A later one it may have passed too, since the last episodes go on to their own ends.
    """
    if config.steps < min(played_steps, load_config(run_dir).steps):
        raise InputError(
            f"--steps {config.steps}: the run in {run_dir} has played {played_steps} steps already; "
            "leave it out, or say more"
        )


def save_end(run_dir: Path, config: ResolvedConfig) -> None:
    """Write what a resumed run was given anew: its end, so that the next resume keeps it, and the commit."""
    data = read_config(run_dir)
    end = {"steps": config.steps, "until_win_rate": config.until_win_rate}
    resumed = data | {"config": data["config"] | end}
    versions, now = data.get("versions", {}), source_commit()
    before = versions.get("commit") if isinstance(versions, dict) else None
    if isinstance(before, str) and now is not None and now not in before.split(", "):
        resumed["versions"] = versions | {"commit": f"{before}, {now}"}
    if resumed != data:
        write_config(run_dir, resumed)


def write_config(run_dir: Path, data: dict[str, Any]) -> None:
    """Write the file, whole or not at all; InputError when the disk says no."""
    write_atomically(run_dir / FILE_NAME, (json.dumps(data, indent=2) + "\n").encode())
