"""Files that settings name as PATH@DIGEST, so that what a run began with is known to the last byte."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from envs.errors import InputError
from envs.files import expanded, read_regular

MAX_BYTES = 1 << 28
_MARKED = re.compile(r"(.+)@([0-9a-f]{12})", re.S)


def parted(given: str) -> tuple[Path, str]:
    """The absolute path that `given` names, and the digest that it asks for, or an empty text."""
    match = _MARKED.fullmatch(given)
    path, digest = (match[1], match[2]) if match and not expanded(given).exists() else (given, "")
    return expanded(path).absolute(), digest


def marked(flag: str, given: str) -> str:
    """PATH@DIGEST of the file that `flag` names.

    InputError when it cannot be read, or is not the one whose digest stands in `given`.
    """
    path, digest = parted(given)
    now = hashlib.sha256(read_named(flag, path)).hexdigest()[:12]
    if digest not in ("", now):
        raise InputError(f"{flag} {path} has changed: it was {digest}, and is {now} now")
    return f"{path}@{now}"


def read_named(flag: str, path: Path) -> bytes:
    """The bytes of the file that `flag` names; InputError when it cannot be read."""
    try:
        return read_regular(path, MAX_BYTES)
    except OSError as error:
        raise InputError(f"{flag} {path} cannot be read: {error.strerror or error}") from None
