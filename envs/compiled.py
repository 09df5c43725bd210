"""Compiles the simulator's kernels once and keeps the result on disk.

numba notices a change in the file of a cached function but not in the functions and constants it takes
from other files. So the cache lies in a folder named after a digest of every source a kernel is made from:
another version of the project looks elsewhere and can never run stale machine code.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import numpy as np

Function = TypeVar("Function", bound=Callable[..., Any])

KERNEL_SOURCES: Final = (
    "envs.battle.behaviour",
    "envs.battle.combat",
    "envs.battle.fields",
    "envs.battle.kernel",
    "envs.battle.medivac",
    "envs.battle.movement",
    "envs.battle.rng",
    "envs.battle.terrain",
    "envs.battle.world",
    "envs.smac.actions",
    "envs.smac.layout",
    "envs.smac.reward",
    "envs.smac.smac_map",
    "envs.smac.units",
)
"""Modules that hold kernels, or constants and array tuples that kernels read; a test finds the same ones."""

_UNUSED_DAYS = 30

_njit: Any = numba.njit
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""How kernels are compiled. `_nrt`: without numba's reference counts, which cost most of the time (atomic
operations at every row of an array) and which nothing needs here: kernels allocate nothing."""


@cache
def sources_digest() -> str:
    """Digest of `KERNEL_SOURCES`, of how they are compiled, and by which numba, numpy and Python."""
    made_by = f"{numba.__version__} {np.__version__} {sys.version_info[:2]} {sorted(_OPTIONS.items())}"
    digest = hashlib.sha256(made_by.encode())
    for module in KERNEL_SOURCES:
        package, _, name = module.rpartition(".")
        digest.update(name.encode())
        digest.update((resources.files(package) / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


@cache
def cache_folder() -> Path | None:
    """Where machine code is kept: `$LAN_CACHE_DIR`, else the user's cache; None when nothing is writable."""
    base = os.environ.get("LAN_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    for root in (Path(base), Path(tempfile.gettempdir()) / f"cache-{os.getuid()}"):
        folder = root / "lan-smac" / "kernels" / sources_digest()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            os.utime(folder)
        except OSError:
            continue
        if os.access(folder, os.W_OK):
            _remove_unused(folder)
            return folder
    return None


def _remove_unused(folder: Path) -> None:
    """Delete the machine code of other versions that was not used for a month."""
    for other in folder.parent.iterdir():
        if other != folder and time.time() - other.stat().st_mtime > _UNUSED_DAYS * 86400:
            shutil.rmtree(other, ignore_errors=True)


def helper(function: Function, **options: Any) -> Function:
    """Compile `function`, which allocates nothing, for calls from kernels: it becomes part of them."""
    return cast(Function, _njit(**_OPTIONS, **options)(function))


def kernel(function: Function, **options: Any) -> Function:
    """Compile `function`, which allocates nothing, for calls from Python, lock released, cached on disk."""
    folder = cache_folder()
    if folder is None:
        return helper(function, **options)
    settings: Any = numba.config
    before = settings.CACHE_DIR
    settings.CACHE_DIR = str(folder)  # read while decorating; other libraries keep their own
    try:
        return cast(Function, _njit(cache=True, **_OPTIONS, **options)(function))
    finally:
        settings.CACHE_DIR = before


def _is_cached(compiled: Any) -> bool:
    """Whether this checkout's machine code of a kernel is there: numba keeps it by the source's path."""
    settings: Any = numba.config
    if settings.DISABLE_JIT:  # kernels are then plain functions, with nothing to compile
        return True
    path = compiled.stats.cache_path
    return path is not None and any(Path(path).glob(f"*{compiled.__name__}*.nbc"))


def announce(what: str, *kernels: Callable[..., Any]) -> None:
    """Say on stderr, in one line, that `kernels` have to be compiled first, when they are not cached."""
    folder = cache_folder()
    if folder is None or not all(map(_is_cached, kernels)):
        kept = f"kept in {folder}" if folder else "not kept: no writable cache folder; set LAN_CACHE_DIR"
        print(f"compiling {what}, once, about half a minute ({kept})", file=sys.stderr, flush=True)
