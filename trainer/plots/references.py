"""What is drawn beside runs: a CSV file of others' numbers, such as scripted teams' or the real game's."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from envs.errors import InputError
from envs.text import one_line
from trainer.plots.csv_rows import check_columns, csv_rows, metric_value, name_in, number


@dataclass(frozen=True)
class Reference:
    """The numbers of one name on one map: points (environment steps, value), and a value without steps."""

    map: str
    name: str
    points: tuple[tuple[float, float], ...]
    level: float | None


def read_references(path: Path, metric: str, maps: Collection[str]) -> list[Reference]:
    """The references on these maps in a CSV file with the columns map, name, env_steps and the metric.

    Without env_steps a number is a horizontal line. Lines without a number of this metric are left out.
    InputError when it is no such file, or has no number for these maps.
    """
    rows = csv_rows(path, f"--beside {path}")
    check_columns(rows, f"--beside {path}", ("map", "name", "env_steps", metric), "file of others' numbers")
    points: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    levels: dict[tuple[str, str], float] = {}
    for row in rows:
        if row[metric]:
            where = f"--beside {path}, line {rows.line_num}"
            key = name_in(row, "map", where), name_in(row, "name", where)
            value = metric_value(row[metric], metric, where)
            if row["env_steps"]:
                points[key].append((number(row["env_steps"], f"{where}: env_steps"), value))
            elif key in levels:
                raise InputError(f"{where}: {one_line(' '.join(key))} has a second number without env_steps")
            else:
                levels[key] = value
    keys = [key for key in dict.fromkeys([*points, *levels]) if key[0] in maps]
    if not keys:
        shown = one_line(", ".join(sorted(maps)), 80)
        raise InputError(f"--beside {path}: it has no {metric} of the maps that are drawn ({shown})")
    return [Reference(*key, tuple(sorted(points[key])), levels.get(key)) for key in keys]
