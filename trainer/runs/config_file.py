"""`config.json`, which makes a directory a run: resolved settings, environment, versions."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.files import write_atomically
from envs.types import EnvSpec
from envs.version import project_version
from trainer.config import ResolvedConfig, TrainConfig, resolve

FILE_NAME = "config.json"


def read_config(run_dir: Path) -> dict[str, Any]:
    """The file as it is: config, backend, spec, versions; OSError or ValueError when it cannot be read."""
    data: dict[str, Any] = json.loads((run_dir / FILE_NAME).read_text())
    return data


def load_config(run_dir: Path) -> ResolvedConfig:
    """The settings saved in a run directory; InputError when it holds no run."""
    if run_dir.is_file():
        raise InputError(f"{run_dir} is a file; name the run's directory, {run_dir.parent}")
    try:
        data = read_config(run_dir)
    except FileNotFoundError:
        raise InputError(f"no run to resume in {run_dir}: it has no {FILE_NAME}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{run_dir / FILE_NAME} cannot be read: {error}") from None
    try:
        return resolve(TrainConfig.from_dict(data["config"]))
    except InputError as error:
        raise InputError(f"{run_dir / FILE_NAME} cannot be used: {error}") from None


def begin_directory(run_dir: Path, config: ResolvedConfig, backend: str, spec: EnvSpec) -> None:
    """Make the directory and write its settings; InputError when the disk says no."""
    import torch

    data = {
        "config": config.to_dict(),
        "backend": backend,
        "spec": json.loads(spec.to_json()),
        "versions": {
            "lan-smac": project_version(),
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        },
    }
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot begin a run in {run_dir}: {error.strerror or error}") from None
    write_config(run_dir, data)


def save_end(run_dir: Path, config: ResolvedConfig) -> None:
    """Write the end that a resumed run was given, so that the next resume keeps it."""
    data = read_config(run_dir)
    end = {"steps": config.steps, "until_win_rate": config.until_win_rate}
    if data["config"] | end != data["config"]:
        data["config"] |= end
        write_config(run_dir, data)


def write_config(run_dir: Path, data: dict[str, Any]) -> None:
    """Write the file, whole or not at all; InputError when the disk says no."""
    write_atomically(run_dir / FILE_NAME, (json.dumps(data, indent=2) + "\n").encode())
