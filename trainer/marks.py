"""Marks on settings: what values they may have, and where they may differ from another run's."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

from envs.errors import InputError
from envs.text import one_line


class Free(Flag):
    """Where a setting may differ. A setting without a mark may not: it would make the run another run."""

    ON_RESUME = auto()
    """Between a run and its continuation."""
    WHEN_DRAWN = auto()
    """Between runs that are drawn together."""
    BETWEEN_ALGORITHMS = auto()
    """Between runs of different algorithms that are drawn together."""
    IN_SWEEP = auto()
    """Between a sweep and the same sweep started again."""
    EVERYWHERE = ON_RESUME | WHEN_DRAWN | BETWEEN_ALGORITHMS | IN_SWEEP
    """The setting says where and how a run is computed; it changes at most roundings and random draws."""


@dataclass(frozen=True)
class Within:
    """The range of a number; neither end is infinite, so that infinity and nan are in none."""

    low: float
    high: float
    without_low: bool = False

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high and not (self.without_low and value == self.low)

    def __str__(self) -> str:
        low = f"above {self.low:g}" if self.without_low else f"at least {self.low:g}"
        return f"{low} and at most {self.high:,}"


COUNT, STEPS = Within(1, 10**6), Within(1, 10**12)
SHARE = Within(0, 1)
POSITIVE = Within(0, 10**6, without_low=True)


def check_value(name: str, value: object, hint: Any) -> None:
    """InputError unless a setting has a value that its hint allows: one of a list, or a type in its range."""
    marks: list[object] = []
    if get_origin(hint) is Annotated:
        hint, *marks = get_args(hint)
    known = get_args(hint) or (hint,)
    if get_origin(hint) is Literal:
        fits = value in known
    elif isinstance(value, bool):  # to Python a kind of int
        fits = bool in known
    else:
        fits = isinstance(value, (*known, int) if float in known else known)
    if not fits:
        names = " or ".join(str(getattr(each, "__name__", each)) for each in known)
        raise InputError(f"{flag(name)} must be {names}, not {shown(value)}")
    if isinstance(value, str | Path) and "\0" in str(value):
        raise InputError(f"{flag(name)} holds a zero byte, which no name can: {shown(value)}")
    for mark in marks:
        if isinstance(mark, Within) and isinstance(value, int | float) and value not in mark:
            raise InputError(f"{flag(name)} must be {mark}, not {shown(value)}")


def shown(value: object) -> str:
    """A value for an error, cut, since a file may hold one of any length."""
    return one_line(repr(value), 80)


def flag(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + name.replace("_", "-")
