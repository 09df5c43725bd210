"""Compiles the simulator's kernels once and keeps the result on disk.

numba notices a change in the file of a cached function but not in the functions and constants it takes
from other files. So the cache lies in a folder named after a digest of every source a kernel is made from:
another version of the project looks elsewhere and can never run stale machine code.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, ClassVar, Final, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numba.core import caching

from envs.errors import InputError
from envs.files import expanded
from envs.stopping import postponed
from envs.text import one_line

Function = TypeVar("Function", bound=Callable[..., Any])

KERNEL_SOURCES: Final = (
    "envs.battle.behaviour",
    "envs.battle.collisions",
    "envs.battle.combat",
    "envs.battle.commands",
    "envs.battle.drawing",
    "envs.battle.fields",
    "envs.battle.kernel",
    "envs.battle.lances",
    "envs.battle.medivac",
    "envs.battle.movement",
    "envs.battle.opening",
    "envs.battle.spots",
    "envs.battle.targets",
    "envs.battle.terrain",
    "envs.battle.world",
    "envs.smac.actions",
    "envs.smac.formation",
    "envs.smac.layout",
    "envs.smac.memory",
    "envs.smac.reward",
    "envs.smac.rng",
    "envs.smac.sightings",
    "envs.smac.smac_map",
    "envs.smac.state",
    "envs.smac.tables",
    "envs.smac.units",
)
"""Modules that hold kernels, or constants and array tuples that kernels read; a test finds the same ones."""

_UNUSED_DAYS = 30

_njit: Any = numba.njit
_caching: Any = caching
_OPTIONS = {"nogil": True, "error_model": "numpy", "_nrt": False}
"""How kernels are compiled. `_nrt`: without numba's reference counts, which cost most of the time (atomic
operations at every row of an array) and which nothing needs here: kernels allocate nothing."""

_INLINED = {"forceinline": True}
"""How helpers are compiled too: a call would pass every array of a `World` by value, a hundred words, which
made a step of 3m take 2.7 times as long."""


@cache
def sources_digest() -> str:
    """Digest of `KERNEL_SOURCES`, of how they are compiled, and by which numba, numpy and Python."""
    made_by = (
        f"{numba.__version__} {np.__version__} {sys.version_info[:2]} {sorted((_OPTIONS | _INLINED).items())}"
    )
    digest = hashlib.sha256(made_by.encode())
    for module in KERNEL_SOURCES:
        package, _, name = module.rpartition(".")
        digest.update(name.encode())
        digest.update((resources.files(package) / f"{name}.py").read_bytes())
    return digest.hexdigest()[:16]


class _Place(NamedTuple):
    """Where machine code is kept; None, and why, where no folder is safe."""

    folder: Path | None
    refusals: str = ""


@cache
def _place() -> _Place:
    """The first safe one of `$LAN_CACHE_DIR`, or the user's cache, and a folder among temporary files."""
    names = ("lan-smac", "kernels", sources_digest())
    home_cache = os.environ.get("LAN_CACHE_DIR") or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    refusals = []
    for root, own in ((home_cache, names), (None, (f"cache-{os.geteuid()}", *names))):
        try:
            folder = _private_folder(expanded(root or tempfile.gettempdir()).absolute(), own)
        except (InputError, OSError) as error:
            refusals.append(str(error))
            continue
        _remove_unused(folder)
        return _Place(folder)
    return _Place(None, "; ".join(refusals))


def cache_folder() -> Path | None:
    """Where machine code is kept: `$LAN_CACHE_DIR`, else the user's cache; None when no folder is safe."""
    return _place().folder


def _private_folder(base: Path, own: Sequence[str]) -> Path:
    """The folder `base` / own[0] / own[1] …, made where it is missing; InputError or OSError if unsafe.

    What lies in it is run: numba's index files are pickles. So nobody else may write into the folders of
    `own`, nor put others in their place.
    """
    base.mkdir(parents=True, exist_ok=True)
    base = base.resolve()
    for above in (base, *base.parents):
        found = above.stat()
        if found.st_uid not in (0, os.geteuid()):
            raise InputError(f"{above} belongs to somebody else")
        if _others_may_write(found) and not found.st_mode & stat.S_ISVTX:
            raise InputError(f"others may write in {above}")
    folder = base
    for name in own:
        folder = folder / name
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        found = folder.lstat()
        if not stat.S_ISDIR(found.st_mode):
            raise InputError(f"{folder} is no folder")
        if found.st_uid != os.geteuid():
            raise InputError(f"{folder} belongs to somebody else")
        if _others_may_write(found):
            raise InputError(f"others may write in {folder}")
    os.utime(folder)
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"{folder} cannot be written")
    return folder


def _others_may_write(found: os.stat_result) -> bool:
    """Whether a folder's mode lets others in; the user's own group, which many systems give to each, may."""
    group = found.st_mode & stat.S_IWGRP and found.st_gid != os.getegid()
    return bool(group or found.st_mode & stat.S_IWOTH)


def _remove_unused(folder: Path) -> None:
    """Delete the machine code of other versions that was not used for a month."""
    for other in folder.parent.iterdir():
        with contextlib.suppress(FileNotFoundError):  # another process may delete it first
            if other != folder and time.time() - other.stat().st_mtime > _UNUSED_DAYS * 86400:
                shutil.rmtree(other, ignore_errors=True)


def helper(function: Function, **options: Any) -> Function:
    """Compile `function`, which allocates nothing, for calls from kernels: it becomes part of them."""
    return cast(Function, _njit(**_OPTIONS, **_INLINED, **options)(function))


def _cache_folder_for(sources: Sequence[str]) -> Path | None:
    """`cache_folder`, or a folder in it for kernels that are made from other modules too."""
    folder = cache_folder()
    if folder is None or not sources:
        return folder
    digest = hashlib.sha256()
    for module in sources:
        package, _, name = module.rpartition(".")
        digest.update((resources.files(package) / f"{name}.py").read_bytes())
    try:
        return _private_folder(folder, (digest.hexdigest()[:16],))
    except (InputError, OSError):
        return None


def kernel(function: Function, *, sources: Sequence[str] = (), **options: Any) -> Function:
    """Compile `function`, which allocates nothing, for calls from Python, lock released, cached on disk.

    `sources`: modules it is made from beside its own and `KERNEL_SOURCES`.
    """
    compiled: Any = _njit(**_OPTIONS, **options)(function)
    folder, settings = _cache_folder_for(sources), cast(Any, numba.config)
    if settings.DISABLE_JIT:  # it is then the function itself
        return function
    compiled.compile = _to_the_end(compiled.compile)
    if folder is not None:
        before = settings.CACHE_DIR
        settings.CACHE_DIR = str(folder)  # read by the cache's constructor; other libraries keep their own
        try:
            compiled._cache = _DiskCache(function)
        except RuntimeError:  # nothing can be written there any more: a full disk
            pass
        finally:
            settings.CACHE_DIR = before
    return cast(Function, compiled)


def _to_the_end(compile_: Callable[..., Any]) -> Callable[..., Any]:
    """Compiling, or loading what is compiled, so that signals are answered when it is done.

    LLVM calls functions of Python's, and an exception in one of them, such as KeyboardInterrupt, is lost.
    """

    def compile_to_the_end(*signature: Any) -> Any:
        with postponed("once the compiler is done"):
            return compile_(*signature)

    return compile_to_the_end


class _OurFolderOnly(_caching.CompileResultCacheImpl):  # type: ignore[misc]
    """Keeps machine code in `CACHE_DIR` or nowhere: beside the sources it would outlive their next change."""

    _locator_classes: ClassVar = [_caching.UserProvidedCacheLocator]


class _DiskCache(_caching.FunctionCache):  # type: ignore[misc]
    """numba's cache of one function; a full disk or a damaged file costs time, and ends nothing."""

    _impl_class = _OurFolderOnly

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        """The machine code for a signature; None when there is none, or when its file is damaged."""
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # unpickling a damaged file may raise anything
            with contextlib.suppress(OSError):
                self.flush()
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        """Keep machine code, if the disk allows it."""
        with contextlib.suppress(OSError):
            super().save_overload(sig, data)


def _is_cached(compiled: Any) -> bool:
    """Whether this checkout's machine code of a kernel is there: numba keeps it by the source's path."""
    settings: Any = numba.config
    if settings.DISABLE_JIT:  # kernels are then plain functions, with nothing to compile
        return True
    path = compiled.stats.cache_path
    return path is not None and any(Path(path).glob(f"*{compiled.__name__}*.nbc"))


def announce(what: str, *kernels: Callable[..., Any]) -> None:
    """Say on stderr, in one line, that `kernels` have to be compiled first, when they are not cached.

    A process says it once, however many environments it makes before it plays.
    """
    folder, refusals = _place()
    if folder is None or not all(map(_is_cached, kernels)):
        kept = f"kept in {folder}" if folder else f"not kept: {refusals}; set LAN_CACHE_DIR"
        _say_once(f"compiling {what}, once, about half a minute ({one_line(kept)})")


@cache
def _say_once(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
