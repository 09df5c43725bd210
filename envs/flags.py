"""How the flags of every `lan-*` command are read where tyro's own way would surprise."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from envs.errors import InputError
from envs.files import expanded
from envs.text import one_line

if TYPE_CHECKING:
    from tyro.constructors import ConstructorRegistry

SHOWN_CHARS = 200
MAX_DIGITS = 30
"""More than any flag has a use for; a number of a billion digits would fill the memory."""


def flag_rules(words: Sequence[str] = ()) -> ConstructorRegistry:
    """The rules for a command line's `words`, of paths and of numbers.

    A path that begins with `~` begins at the home folder, also in `--out=~/x`, which shells leave. A whole
    number may be written as 2e6. InputError where a word is none, in one sentence that names its flag.
    """
    from tyro.constructors import ConstructorRegistry, PrimitiveConstructorSpec, PrimitiveTypeInfo

    registry = ConstructorRegistry()

    @registry.primitive_rule
    def whole_number_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[int] | None:
        if info.type is not int:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="INT",
            instance_from_str=lambda given: whole_number_of(given[0], words),
            is_instance=lambda value: isinstance(value, int) and not isinstance(value, bool),
            str_from_instance=lambda value: [str(value)],
        )

    @registry.primitive_rule
    def number_rule(info: PrimitiveTypeInfo) -> PrimitiveConstructorSpec[float] | None:
        if info.type is not float:
            return None
        return PrimitiveConstructorSpec(
            nargs=1,
            metavar="FLOAT",
            instance_from_str=lambda given: number_of(given[0], words),
            is_instance=lambda value: isinstance(value, int | float) and not isinstance(value, bool),
            str_from_instance=lambda value: [str(value)],
        )

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


def whole_number_of(text: str, words: Sequence[str]) -> int:
    """The whole number that a word of the command line gives, in digits or as 2e6; InputError."""
    try:
        value = Decimal(text)
    except InvalidOperation:
        value = Decimal("nan")
    if value.is_finite() and value and value.adjusted() >= MAX_DIGITS:
        raise InputError(f"{flag_of(text, words)} is too large: at most {MAX_DIGITS} digits")
    if not value.is_finite() or value != value.to_integral_value():
        raise InputError(f"{flag_of(text, words)} is no whole number, such as 64 or 2e6")
    return int(value)


def number_of(text: str, words: Sequence[str]) -> float:
    """The number that a word of the command line gives; InputError."""
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{flag_of(text, words)} is no number, such as 0.0005 or 5e-4") from None


def flag_of(text: str, words: Sequence[str]) -> str:
    """A value with the flag that has it, as an error shows them; the value alone where several have it."""
    flag, having = "", set()
    for word in words:
        if word.startswith("--"):
            flag, equals, word = word.partition("=")
            if not equals:
                continue
        if word == text:
            having.add(flag)
    shown = one_line(repr(text), SHOWN_CHARS)
    return f"{having.pop()} {shown}".lstrip() if len(having) == 1 else shown
