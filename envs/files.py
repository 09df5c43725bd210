"""How results are written: whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from envs.command import InputError


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, sync, rename, so what stood there stays until then; InputError if it fails."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)
