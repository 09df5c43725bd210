"""SMAC's 23 maps and SMACv2's scenarios by name, and maps from files."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Final

from envs.command import nearest_names
from envs.errors import InputError
from envs.files import read_regular
from envs.kinds import MAP, instead, is_other, kind_of_bytes
from envs.smac.map_file import parse_map
from envs.smac.scenarios import EPO_NAMES, SCENARIO_NAMES, make_scenario
from envs.smac.smac_map import MAP_SIZE_CELLS, EnemyOrder, SmacMap, SpawnGroup

__all__ = [
    "ALL_NAMES",
    "MAP_NAMES",
    "MAP_SIZE_CELLS",
    "SCENARIO_NAMES",
    "EnemyOrder",
    "SmacMap",
    "SpawnGroup",
    "load_map",
    "read_map",
]

MAP_NAMES: Final[tuple[str, ...]] = (
    "3m",
    "8m",
    "25m",
    "2s3z",
    "3s5z",
    "MMM",
    "5m_vs_6m",
    "8m_vs_9m",
    "10m_vs_11m",
    "27m_vs_30m",
    "3s5z_vs_3s6z",
    "MMM2",
    "2m_vs_1z",
    "2s_vs_1sc",
    "3s_vs_3z",
    "3s_vs_4z",
    "3s_vs_5z",
    "6h_vs_8z",
    "bane_vs_bane",
    "2c_vs_64zg",
    "corridor",
    "so_many_baneling",
    "1c3s5z",
)


ALL_NAMES: Final = (*MAP_NAMES, *SCENARIO_NAMES, *EPO_NAMES)
"""SMAC's maps, SMACv2's scenarios, and those with the least to see."""

MAP_SCRIPT: Final = "map"
"""The opponent that the map's own order is, as in SMAC."""


@cache
def load_map(name: str) -> SmacMap:
    """The map called `name`, one of `ALL_NAMES`; InputError with the nearest names when there is none."""
    if name not in ALL_NAMES:
        raise InputError(f"unknown map {name!r}: {nearest_names(name, ALL_NAMES)}")
    if name not in MAP_NAMES:
        return make_scenario(name)
    file = resources.files("envs.smac") / "data" / f"{name}.json"
    return read_map(file.read_text(encoding="utf-8"), where=file.name)


def read_map(source: str | Path, where: str = "map") -> SmacMap:
    """The map in a file (`Path`) or in JSON text (`str`, called `where` in errors).

    InputError naming file and field when something is missing, mistyped or impossible: see `map_file`.
    """
    if isinstance(source, Path):
        where = str(source)
        try:
            source = read_regular(source).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"cannot read the map {where}: {error}") from None
    if is_other(found := kind_of_bytes(source.encode(errors="replace")), MAP):
        raise InputError(f"{where} is {instead(found, MAP)}")
    try:
        data = json.loads(source)
    except (ValueError, RecursionError) as error:  # ValueError: also a number with too many digits
        raise InputError(f"{where} is {instead(found, MAP, f'not JSON: {error}')}") from None
    return parse_map(data, where)
