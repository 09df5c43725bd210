"""The version that this installation reports."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "lan-smac"


@functools.cache
def server_version() -> str:
    """The installed distribution's version, or `unknown` when the code runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "unknown"
