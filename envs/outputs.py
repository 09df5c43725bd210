"""Where a command may write: checked before any work is done, the same for every command."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from envs.errors import InputError
from envs.files import why_not_replaced
from envs.text import one_line

PAGES = (".html", ".svg")
"""How the names of recordings to watch end: a page, a picture."""
RESULTS = (*PAGES, ".png", ".csv", ".onnx")
"""What nobody reads out of a run directory, so that such a file in one is an earlier result."""


def check_output(flag: str, path: Path, *, force: bool | None = None) -> None:
    """InputError unless a file may be written at `path`, which `flag` names.

    `force`: whether the user said --force, without which no file is replaced; None where the command has no
    such flag and replaces what it wrote before.
    """
    folder = path.absolute().parent
    if not folder.is_dir():
        raise InputError(f"{flag} {path}: there is no directory {path.parent}; make it first")
    if path.is_dir():
        raise InputError(f"{flag} {path} is a directory; name a file in it")
    if (reason := why_not_replaced(path)) is not None:
        raise InputError(f"{flag} {path}: {reason}; name another file")
    if force is False and os.path.lexists(path):
        raise InputError(f"{flag} {path} exists; say --force to replace it, or name another file")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{flag} {path}: nothing can be written in {path.parent}")


def check_apart(read: Mapping[str, Path | None], written: Mapping[str, Path | None]) -> None:
    """InputError when a file would be written over one that is read, or over another that is written.

    Both by what names the file, such as its flag; None where nothing is named. Links are followed. A folder
    is read with all that lies in it, but for files that end as `RESULTS` do.
    """
    taken = {Path(os.path.realpath(path)): what for what, path in read.items() if path is not None}
    for flag, path in written.items():
        if path is None:
            continue
        place = Path(os.path.realpath(path))
        if place in taken:
            raise InputError(f"{flag} {path} is {one_line(taken[place])} too: name another file")
        if place.exists() and place.suffix.lower() not in RESULTS:
            for folder in place.parents:
                if folder in taken:
                    whose = one_line(taken[folder])
                    raise InputError(f"{flag} {path} is a file of {whose}: name another file")
        taken[place] = flag
