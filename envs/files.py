"""How files are written: whole or not at all, and so that a power cut leaves the old one or the new one."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import BinaryIO

from envs.errors import InputError

SYSTEM = ("/dev", "/proc", "/sys")
MAX_LINKS = 40
"""As many links in a row as Linux follows."""


@contextlib.contextmanager
def replacing(path: Path, mode: int = 0o666) -> Iterator[BinaryIO]:
    """A new file that takes the place of `path` at the end of the block; an exception in it changes nothing.

    `mode`: its permissions, less the process's umask. OSError when the disk says no, or `why_not_replaced`.
    """
    if (reason := why_not_replaced(path)) is not None:
        raise OSError(errno.EEXIST, reason, str(path))
    # No other thread has this id, in whatever process; names are cut because they may have 255 bytes.
    partial = path.with_name(f".{path.name[:50]}.{threading.get_native_id()}.partial")
    flags = os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    try:
        if not mode & 0o077:  # a secret never goes into a file or behind a link that lay there before
            partial.unlink(missing_ok=True)
            flags |= os.O_EXCL
        with os.fdopen(os.open(partial, flags, mode), "r+b") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        with contextlib.suppress(OSError):  # the first error says more, and a read-only disk allows nothing
            partial.unlink(missing_ok=True)


def why_not_replaced(path: Path) -> str | None:
    """Why no file may take the place of `path`; None where one may.

    A device such as /dev/null would be gone for the whole machine, and so would the link /dev/stdout, even
    while a shell has led it to a regular file.
    """
    if path.exists() and not path.is_file():
        return "it is no regular file, and is not replaced"
    for place in hops(path):
        folder = Path(os.path.realpath(place.parent))
        if any(folder.is_relative_to(system) for system in SYSTEM) and not folder.is_relative_to("/dev/shm"):
            return "it leads into the system's own files, which are not replaced"
    return None


def hops(path: Path) -> Iterator[Path]:
    """The path, and every place to which it leads as a link."""
    for _ in range(MAX_LINKS):
        yield path
        if not path.is_symlink():
            return
        path = path.parent / path.readlink()


def write_atomically(path: Path, content: bytes) -> None:
    """Write a result that the user asked for; InputError when the disk says no."""
    try:
        with replacing(path) as file:
            file.write(content)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def read_regular(path: Path, most_bytes: int | None = None) -> bytes:
    """The bytes of a regular file; InputError where something else lies there, or it has over `most_bytes`.

    OSError when it cannot be read.
    """
    with open_regular(path, os.O_RDONLY) as file:
        content = file.read(-1 if most_bytes is None else most_bytes + 1)
    if most_bytes is not None and len(content) > most_bytes:
        raise InputError(f"{path} is larger than {most_bytes} bytes")
    return content


def open_regular(path: Path, flags: int) -> FileIO:
    """A regular file, opened with flags of `os.open`; InputError where something else lies there, OSError."""
    # Not blocking, so that a named pipe in place of the file cannot hold us up.
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC, 0o666)
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a device may have no end
            raise InputError(f"{path} is no regular file")
    except BaseException:
        os.close(descriptor)
        raise
    return FileIO(descriptor, "rb" if flags & os.O_ACCMODE == os.O_RDONLY else "ab")


def expanded(path: Path | str) -> Path:
    """The path with a leading `~` replaced as a shell does; InputError where that home is not known."""
    try:
        return Path(path).expanduser()
    except RuntimeError:
        raise InputError(
            f"{path}: the home folder is not known here; set HOME, or write the whole path"
        ) from None


def not_a_folder(path: Path) -> Path | None:
    """What lies where `path` or a folder above it should be, and is none; None where a folder can be made."""
    nearest = next((each for each in (path, *path.parents) if os.path.lexists(each)), None)
    return None if nearest is None or nearest.is_dir() else nearest


def sync_folder(folder: Path) -> None:
    """Write a folder's names to the disk, where its file system can: a rename then survives a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # so fsync(2) says that this file system syncs no folders
            raise
    finally:
        os.close(descriptor)
