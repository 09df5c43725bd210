"""How the flags of every `lan-*` command are read where tyro's own way would surprise."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import TYPE_CHECKING

from envs.errors import InputError
from envs.files import expanded
from envs.text import one_line

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

SHOWN_CHARS = 200


def flag_rules() -> ConstructorRegistry:
    """A path that begins with `~` begins at the home folder, also in `--out=~/x`, which shells leave."""
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def path_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[Path] | None:
        if info.type is not Path:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="PATH",
            instance_from_str=lambda words: path_of(words[0]),
            is_instance=lambda value: isinstance(value, Path),
            str_from_instance=lambda value: [str(value)],
        )

    return registry


def path_of(text: str) -> Path:
    """The path that a word of the command line names.

    InputError when it is empty, as of an unset variable, when no file can have that name, or when this user
    may not look there.
    """
    if not text:
        raise InputError("a path is empty; write . for the current folder")
    path = expanded(text)
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EACCES):
            raise InputError(f"{one_line(path, SHOWN_CHARS)}: {error.strerror}") from None
    return path
