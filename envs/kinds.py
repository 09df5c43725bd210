"""What a file or a folder is, by its content: for errors where it stands in the place of another kind."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Final

from envs.errors import InputError
from envs.files import read_regular

MODEL: Final = "model file"
CHECKPOINT: Final = "checkpoint"
RUN: Final = "run directory"
MAP: Final = "map file"
CARD: Final = "card of a trained team"

WHENCE: Final = {
    MODEL: "lan-export makes one of a run",
    CHECKPOINT: "lan-train writes one as RUN_DIR/run.pt",
    RUN: "name a directory that lan-train has written",
    MAP: "lan-map new writes one",
    CARD: "python -m benchmarks.zoo writes one with a team",
}
"""Where each kind comes from, as an error says it."""

RUN_FILE: Final = "config.json"
MAX_BYTES: Final = 1 << 28
MAX_JSON_BYTES: Final = 1 << 20
BEGINNINGS: Final = {
    b"-----BEGIN ": "a PEM file (certificate or key)",
    b"<!doctype html": "an HTML page",
    b"<html": "an HTML page",
    b"env_steps,updates,": "the learning curve of a trained team",
    b"<svg": "a picture",
    b"<?xml": "a picture",
    b"\x89PNG": "a picture",
    b"map,backend,contract_version,": "a CSV file of lan-plot",
    b'{"kind": ': "the metrics of a run",
}
OBJECTS: Final = {
    "run_core_minutes": f"a {CARD}",
    "ally_race": f"a {MAP}",
    "config": "the settings of a run",
}
"""Kinds of JSON objects, by a key that only they have."""


def unlike(path: Path, wanted: str, reason: object = "") -> str:
    """Why a file is not used as the kind that is `wanted`, and where to get one, for an error.

    `reason`: what is wrong with it if it is of that kind after all.
    """
    return f"{path} is {instead(kind_of(path), wanted, reason)}"


def instead(found: str | None, wanted: str, reason: object = "") -> str:
    """What was `found`, as `kind_of` names it: `no checkpoint but a model file; lan-train writes …`."""
    if found == f"a {wanted}":
        return f"a damaged {wanted} ({reason or 'cut off or changed'}); take another copy of it"
    why = f" ({reason})" if reason else ""
    if found is None:
        return f"damaged, or no {wanted}{why}; {WHENCE[wanted]}"
    return f"no {wanted} but {found}; {WHENCE[wanted]}"


def is_other(found: str | None, wanted: str) -> bool:
    """Whether what was `found` is surely of another kind."""
    return found not in (None, f"a {wanted}")


def kind_of(path: Path) -> str | None:
    """What a path holds, with its article; None where nothing is there, or nothing that is known here."""
    try:
        return kind_of_folder(path) if path.is_dir() else kind_of_bytes(read_regular(path, MAX_BYTES))
    except (OSError, InputError):
        return None


def kind_of_folder(path: Path) -> str:
    """A run directory, a folder of such, or another folder."""
    if (path / RUN_FILE).is_file():
        return f"a {RUN}"
    runs = sorted(file.parent for file in path.glob(f"*/{RUN_FILE}"))
    if not runs:
        return "a folder"
    return f"a folder of run directories ({len(runs)}, such as {runs[0]})"


def kind_of_bytes(data: bytes) -> str | None:
    """What a file's content is; None where it is nothing that is known here."""
    if not data:
        return "an empty file"
    if data.startswith(b"PK\x03\x04"):  # a zip archive
        return kind_of_archive(data)
    start = data.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    for beginning, kind in BEGINNINGS.items():
        if start.startswith(beginning.lower()):
            return kind
    if data.startswith(b"\x08") and b"lan.contract_version" in data:
        return f"a {MODEL}"
    if start.startswith(b"{") and len(data) <= MAX_JSON_BYTES:
        return kind_of_json(data)
    return None


def kind_of_archive(data: bytes) -> str:
    """A checkpoint, as torch writes it, arrays of numpy, or another archive; also of one that is cut off."""
    import zipfile  # here, since agents start without it

    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = " ".join(archive.namelist()).encode(errors="replace")
    except (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError):
        names = data[30:400]  # the first name and what follows it
    if b"data.pkl" in names:
        return f"a {CHECKPOINT}"
    return "a file of arrays (NAME.npz)" if b".npy" in names else "a zip archive"


def kind_of_json(data: bytes) -> str | None:
    """A map, a card or settings; None for other objects, and for text that is cut off."""
    try:
        found = json.loads(data)
    except (ValueError, RecursionError):
        return None
    keys = found if isinstance(found, dict) else {}
    return next((kind for key, kind in OBJECTS.items() if key in keys), None)
