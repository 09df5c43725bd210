"""The folder an agent keeps its state in: made, locked, and its files opened only when they are its own."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

from envs.errors import InputError
from envs.files import not_a_folder, sync_folder


def make_folder(folder: Path, fsync: bool) -> None:
    """Make a folder that is missing, for this user alone, and the folders above it.

    With `fsync` their names outlive a loss of power. InputError when it cannot be made.
    """
    if (blocked := not_a_folder(folder)) is not None:
        what = f"{blocked} is no folder; remove it, or choose another --state-dir"
        raise InputError(f"state directory {folder} cannot be used: {what}")
    try:
        missing = [each for each in (folder, *folder.parents) if not each.exists()]
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for each in missing if fsync else ():
            sync_folder(each.parent)
    except OSError as error:
        raise InputError(f"state directory {folder} cannot be used: {error.strerror}") from None


def lock(path: Path) -> int:
    """A lock that lasts as long as the process; InputError when another one holds it, or none can be had."""
    try:
        descriptor = open_ours(path, os.O_CREAT)
    except OSError as error:
        raise InputError(f"state directory {path.parent} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise InputError(f"{path} is held by another agent: every agent needs its own state") from None
        raise InputError(
            f"{path} cannot be locked ({error.strerror}): a --state-dir on another file system is needed"
        ) from None
    return descriptor


def open_ours(path: Path, flags: int = 0) -> int:
    """Open a regular file of this user for reading and writing; `flags` are added to those of os.open.

    InputError for whatever else lies there: it follows no link and waits for no pipe. OSError as os.open.
    """
    flags |= os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):  # a link, a folder, a socket
            raise not_ours(path, "is no regular file") from None
        raise
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise not_ours(path, "is no regular file")
        if status.st_uid != os.geteuid():
            raise not_ours(path, f"belongs to user {status.st_uid}; this process is user {os.geteuid()}'s")
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def not_ours(path: Path, problem: str) -> InputError:
    """The error for a file that is not to be trusted."""
    return InputError(f"{path} {problem}; remove it, or choose another --state-dir")
