"""Maps of one's own, from files and from what was trained on them.

An environment on such a map is called NAME@DIGEST: the digest is of all that its battles depend on, so a map
that was changed, or another one of the same name, is another environment for checkpoints, agents and plots.
This process can make the environments whose maps it has read: their names are kept here.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Final

from envs.command import nearest_names
from envs.errors import InputError
from envs.files import expanded, read_regular
from envs.kinds import MAP, WHENCE, unlike
from envs.smac.map_text import one_line_text
from envs.smac.maps import ALL_NAMES, MAP_NAMES, read_map
from envs.smac.settings import NO_FOG
from envs.smac.smac_map import SmacMap
from envs.text import one_line
from envs.types import MAX_MAP_BYTES

MARK: Final = "@"
"""Stands in the name of every environment on a map of one's own, and in no other name."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,47}")
_DIGEST_CHARS: Final = 12


@dataclass(frozen=True)
class OwnMap:
    """A checked map: its environment's `name`, NAME@DIGEST, its `text` on one line, and the map so called."""

    name: str
    text: str
    smac_map: SmacMap


_read: dict[str, OwnMap] = {}


def is_map_file(name: str) -> bool:
    """Whether the value of `--map` is a file's path and no name; those with a colon are of no map."""
    folder, slash, _ = name.partition("/")
    return ":" not in folder and (slash == "/" or name.endswith(".json"))


def is_own_map(name: str) -> bool:
    """Whether a name is of an environment on a map of one's own, such as `rescue@0123456789ab`."""
    return MARK in name and ":" not in name.removesuffix(NO_FOG)


def check_name(name: str, where: str) -> None:
    """InputError unless a map of one's own may have that name."""
    if not _NAME.fullmatch(name):
        raise InputError(
            f"{where}: {one_line(repr(name), 80)} is no name for a map: write up to 48 letters, digits and "
            "any of _ . + -, a letter or a digit first"
        )
    if name in ALL_NAMES:
        owner = "SMAC" if name in MAP_NAMES else "SMACv2"
        raise InputError(f"{where}: {name} is a map of {owner}; give yours another name")


def read_map_file(path: Path) -> OwnMap:
    """The map in a file; InputError that names file and field when it cannot be played."""
    try:
        if path.is_dir():
            raise InputError(unlike(path, MAP))
        text = read_regular(path, MAX_MAP_BYTES).decode("utf-8-sig")
    except FileNotFoundError:
        raise InputError(f"there is no map file {path}; {WHENCE[MAP]}") from None
    except OSError as error:
        raise InputError(f"cannot read the map {path}: {error.strerror or error}") from None
    except UnicodeDecodeError:
        raise InputError(unlike(path, MAP, "it is no text in UTF-8")) from None
    return map_of_text(text, str(path))


def map_of_text(text: str, where: str) -> OwnMap:
    """The map that a text holds, with every check of a file's: the text may be a stranger's."""
    if len(text.encode(errors="replace")) > MAX_MAP_BYTES:
        raise InputError(f"{where}: a map has at most {MAX_MAP_BYTES} bytes")
    own = _parsed(text, where)
    return _read.setdefault(own.name, own)


@lru_cache(maxsize=64)
def _parsed(text: str, where: str) -> OwnMap:
    smac_map = read_map(text, where)
    check_name(smac_map.name, f"{where}: name")
    line = one_line_text(smac_map)
    name = smac_map.name + MARK + hashlib.sha256(line.encode()).hexdigest()[:_DIGEST_CHARS]
    return OwnMap(name, line, replace(smac_map, name=name))


def find_own_map(name: str) -> OwnMap:
    """The map of the environment NAME@DIGEST; InputError when this process has not read it."""
    if name in _read:
        return _read[name]
    same = [known for known in _read if known.partition(MARK)[0] == name.partition(MARK)[0]]
    found = f"; {nearest_names(name, same)}" if same else ""
    raise InputError(f"{one_line(name, 80)} is a map of one's own: give its file by --map FILE.json{found}")


def environment_name(given: str | os.PathLike[str]) -> str:
    """The name of the environment that `--map` gives: a map file's is NAME@DIGEST, others are names already.

    The file is read; InputError when it cannot be played.
    """
    return take_map(given)[0]


def take_map(given: str | os.PathLike[str], text: str | None = None) -> tuple[str, str | None]:
    """The name as `environment_name`, and the text of a map of one's own, with which it can travel.

    text: the map's where `given` is the name of one. InputError when it is another map's.
    """
    given = os.fspath(given)
    base = given.removesuffix(NO_FOG)
    suffix = given[len(base) :]
    if is_map_file(base):
        own = read_map_file(expanded(base))
    elif is_own_map(base):
        own = find_own_map(base) if text is None else map_of_text(text, f"the map of {base}")
        if own.name != base:
            raise InputError(f"{one_line(base, 80)} comes with another map, {own.name}")
    else:
        return given, None
    return own.name + suffix, own.text


def map_file(path: Path, name: str) -> str:
    """The value of `--map` for the environment `name` whose map lies in a file."""
    return str(path) + name[len(name.removesuffix(NO_FOG)) :]


def learn_map(name: str, text: str | None, where: str) -> None:
    """Make the environment known that a stranger's file `where` was made for, if the file brings a map.

    InputError when the map cannot be played or is another one, or when the name is a path to be read.
    """
    base = name.removesuffix(NO_FOG)
    if is_map_file(base):
        raise InputError(f"{where} was made for {one_line(name, 80)}, which is no environment's name")
    if text is not None and (own := map_of_text(text, f"the map in {where}")).name != base:
        raise InputError(f"{where} was made for {one_line(name, 80)}, but the map in it is {own.name}")
