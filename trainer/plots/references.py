"""What is drawn beside runs: a CSV file of others' numbers, such as scripted teams' or the real game's."""

from __future__ import annotations

import csv
import io
import math
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from envs.errors import InputError
from envs.files import read_regular
from envs.text import one_line

MAX_BYTES = 1_000_000


@dataclass(frozen=True)
class Reference:
    """The numbers of one name on one map: points (environment steps, value), and a value without steps."""

    map: str
    name: str
    points: tuple[tuple[float, float], ...]
    level: float | None


def read_references(path: Path, metric: str) -> list[Reference]:
    """The references in a CSV file with the columns map, name, env_steps and the metric; InputError.

    Without env_steps a number is a horizontal line. Lines without a number of this metric are left out.
    """
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"--beside {path} cannot be read: {one_line(reason)}") from None
    rows = csv_rows(text, path)
    needed = ("map", "name", "env_steps", metric)
    if lacking := [name for name in needed if name not in (rows.fieldnames or ())]:
        raise InputError(
            f"--beside {path}: it lacks the column {lacking[0]}; it needs {', '.join(needed)}, and has "
            f"{one_line(', '.join(rows.fieldnames or ['nothing']), 200)}"
        )
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    levels: dict[tuple[str, str], float] = {}
    for row in rows:
        if row[metric]:
            where = f"--beside {path}, line {rows.line_num}"
            key, value = (row["map"] or "", row["name"] or ""), number(row[metric], f"{where}: {metric}")
            if row["env_steps"]:
                points[key].append((number(row["env_steps"], f"{where}: env_steps"), value))
            elif key in levels:
                raise InputError(f"{where}: {one_line(' '.join(key))} has a second number without env_steps")
            else:
                levels[key] = value
    keys = dict.fromkeys([*points, *levels])
    return [Reference(*key, tuple(sorted(points[key])), levels.get(key)) for key in keys]


def csv_rows(text: str, path: Path) -> csv.DictReader[str]:
    """The rows of a CSV file; InputError where it is none, when it is read to its end once."""
    try:
        for _ in (check := csv.reader(io.StringIO(text))):
            pass
    except csv.Error as error:
        raise InputError(f"{path}, line {check.line_num}: it is no CSV file ({error})") from None
    return csv.DictReader(io.StringIO(text))


def whole_number(text: str, what: str) -> int:
    """A whole number from 0 to 2^53; InputError naming what is none."""
    value = number(text, what)
    if not 0 <= value <= 2**53 or value != int(value):
        raise InputError(f"{what} is {one_line(repr(text), 80)}, which is no whole number from 0 on")
    return int(value)


def number(text: str, what: str) -> float:
    """A finite number; InputError naming what is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e15:
        raise InputError(f"{what} is {one_line(repr(text), 80)}, which is no number that can be drawn")
    return value
