"""The version of this project that is installed."""

from __future__ import annotations

import functools
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "lan-smac"


@functools.cache
def project_version() -> str:
    """The distribution's version, or `0+unknown` when the code runs without being installed."""
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:
        return "0+unknown"
