"""The rows of a CSV file that somebody may have written by hand, and the numbers in them."""

from __future__ import annotations

import csv
import io
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from envs.errors import InputError
from envs.files import read_regular
from envs.text import one_line

MAX_BYTES = 100_000_000


def csv_rows(path: Path, called: str) -> csv.DictReader[str]:
    """The rows of a CSV file; InputError, which names it as it is `called`, where it is none."""
    try:
        text = read_regular(path, MAX_BYTES).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise InputError(f"{called} cannot be read: {one_line(reason)}") from None
    try:
        check = csv.reader(io.StringIO(text))
        names = next(check, [])
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise InputError(f"{called} has two columns {one_line(twice[0], 80)!r}")
        for row in check:
            if len(row) > len(names):
                raise InputError(f"{called}, line {check.line_num}: it has more cells than the first line")
    except csv.Error as error:
        raise InputError(f"{called}, line {check.line_num}: it is no CSV file ({error})") from None
    return csv.DictReader(io.StringIO(text))


def check_columns(rows: csv.DictReader[str], called: str, needed: Iterable[str], kind: str) -> None:
    """InputError naming the first column of `needed` that a file lacks, and how its columns may be parted."""
    names = rows.fieldnames or []
    if lacking := [name for name in needed if name not in names]:
        parted = len(names) == 1 and any(sign in names[0] for sign in ";\t")
        hint = "; its columns must be parted by commas" if parted else ""
        has = one_line(", ".join(names) or "nothing", 200)
        raise InputError(f"{called} is no {kind}: it lacks the column {lacking[0]}, and has {has}{hint}")


def name_in(row: Mapping[str, str | None], column: str, where: str) -> str:
    """A name in a row; InputError where the cell is empty."""
    name = row[column] or ""
    if not name.strip():
        raise InputError(f"{where}: {column} is empty")
    return name


def whole_number(text: str, what: str) -> int:
    """A whole number from 0 on; InputError naming what is none."""
    value = number(text, what)
    if value < 0 or value != int(value):
        raise InputError(f"{what} is {one_line(repr(text), 80)}, which is no whole number from 0 on")
    return int(value)


def number(text: str, what: str) -> float:
    """A number below 1e15 in size; InputError naming what is none."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not abs(value) < 1e15:
        raise InputError(f"{what} is {one_line(repr(text), 80)}, which is no number that can be drawn")
    return value


def metric_value(text: str, metric: str, where: str) -> float:
    """A number of a metric; InputError naming what is none, or no share where the metric is one."""
    value = number(text, f"{where}: {metric}")
    if metric == "win_rate" and not 0 <= value <= 1:
        raise InputError(f"{where}: a win rate of {value:g}; write shares, 0 to 1, not per cent")
    return value
