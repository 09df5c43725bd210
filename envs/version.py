"""The version of this project that is installed, and the commit of the source that runs."""

from __future__ import annotations

import functools
import os
import subprocess
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

DISTRIBUTION = "lan-smac"
ROOT = Path(__file__).resolve().parents[1]
GIT_TIMEOUT_S = 10.0
CHANGED = "+changes"
"""What follows the commit where tracked files differ from it."""


@functools.cache
def project_version() -> str:
    """The distribution's version, or `0+unknown` when the code runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"


def source_commit(root: Path = ROOT) -> str | None:
    """The commit of the git checkout at `root`, such as `abc1234def56`, or `abc1234def56+changes`.

    None where `root` is no checkout of its own (an installed package may lie in somebody else's), and where
    git is missing, fails, or does not answer in time.
    """
    if not (root / ".git").exists():
        return None
    # What a hook sets names another checkout; and nothing is written, since others may commit here now.
    env = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    words = [
        "git",
        "-C",
        str(root),
        "describe",
        "--always",
        "--exclude=*",
        "--abbrev=12",
        f"--dirty={CHANGED}",
    ]
    try:
        done = subprocess.run(
            words, capture_output=True, text=True, timeout=GIT_TIMEOUT_S, stdin=subprocess.DEVNULL,
            env=env | {"GIT_OPTIONAL_LOCKS": "0"},
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None
