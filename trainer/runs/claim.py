"""Lets one process at a time write a run directory, by a lock that the kernel frees at that process's end."""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
import time
from pathlib import Path

from envs.errors import InputError
from envs.files import not_a_folder
from trainer.runs.config_file import FILE_NAME, is_unborn
from trainer.runs.metrics import FILE_NAME as METRICS_NAME

LOCK_NAME = "lock"
STARTS_WITH = (FILE_NAME, METRICS_NAME, "events.out.tfevents.*", ".*.partial", LOCK_NAME)
"""The files that the start of a run writes."""
LOOK_EVERY_S = 0.1
HOLDER_BYTES = 200


class Claim(contextlib.AbstractContextManager["Claim"]):
    """The right to write a run directory, which is made where it is not there; held until `close`.

    InputError when another process still trains there after `wait_s`, or when the directory cannot be
    written. `warning`: why nobody can be kept out, on a file system without locks.
    """

    def __init__(self, run_dir: Path, wait_s: float = 0.0) -> None:
        self.run_dir = run_dir
        self.warning: str | None = None
        if (blocked := not_a_folder(run_dir)) is not None:
            raise InputError(
                f"cannot train in {run_dir}: {blocked} is no folder; remove it, or choose another --run-dir"
            )
        try:
            self._made = [path for path in (run_dir, *run_dir.parents) if not path.exists()]
            self._descriptor: int | None = self._lock(time.monotonic() + wait_s)
            self._before = {path.name for path in run_dir.iterdir()} - {LOCK_NAME}
        except OSError as error:
            raise InputError(
                f"cannot train in {run_dir}: {error.strerror or error}; choose another --run-dir"
            ) from None

    def close(self) -> None:
        """Free the directory; one in which nothing was begun is left as it was."""
        if self._descriptor is None:
            return
        with contextlib.suppress(OSError):
            if is_unborn(self.run_dir):
                self._leave_as_it_was()
            os.ftruncate(self._descriptor, 0)
        os.close(self._descriptor)
        self._descriptor = None

    def __exit__(self, *exception: object) -> None:
        self.close()

    def _lock(self, deadline: float) -> int:
        path = self.run_dir / LOCK_NAME
        while True:
            self.run_dir.mkdir(parents=True, exist_ok=True)
            try:
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # the holder before left nothing behind, not even the folder
                continue
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                holder = holder_in(descriptor)
                os.close(descriptor)
                if time.monotonic() >= deadline:
                    raise InputError(
                        f"{holder} trains in {self.run_dir}: wait until it ends, or "
                        "stop it; other runs need another --run-dir"
                    ) from None
                time.sleep(LOOK_EVERY_S)
                continue
            except OSError as error:
                self.warning = (
                    f"{self.run_dir} lies on a file system without locks ({error.strerror or error}): see to "
                    "it that no other process trains there"
                )
            if names(path, descriptor):
                break
            os.close(descriptor)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = f"process {os.getpid()} on {socket.gethostname()}, since {since},"
        with contextlib.suppress(OSError):  # a full disk: then the next one is told less
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, holder.encode()[:HOLDER_BYTES], 0)
        return descriptor

    def _leave_as_it_was(self) -> None:
        """Remove what a start wrote that failed, and the folders made for it."""
        written = {path for pattern in STARTS_WITH for path in self.run_dir.glob(pattern)}
        for path in written:
            if path.name not in self._before:
                path.unlink()
        for folder in self._made:
            folder.rmdir()


def holder_of(run_dir: Path) -> str | None:
    """Which process has the right to write a run directory; None where none has, or nobody can tell."""
    try:
        descriptor = os.open(run_dir / LOCK_NAME, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return holder_in(descriptor)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return None


def holder_in(descriptor: int) -> str:
    """The holder that a lock file names."""
    return os.pread(descriptor, HOLDER_BYTES, 0).decode(errors="replace").strip() or "another process"


def names(path: Path, descriptor: int) -> bool:
    """Whether a path still leads to the file that was opened."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
