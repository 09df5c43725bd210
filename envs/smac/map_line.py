"""Reads a map from a line such as `5 marines and a medivac against 3 zealots, 32 x 32, limit 120`.

    line     TEAM against TEAM [, WIDTH x HEIGHT] [, limit STEPS]
    TEAM     COUNT UNIT, parted by commas or `and`; the agents' first
    COUNT    a number, or a, an, one, two … twelve
    UNIT     marine, marines, …, spine crawlers

The ground is WIDTH x HEIGHT cells in the middle of the map; the rest is void.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from envs.command import nearest_names
from envs.errors import InputError
from envs.smac.map_file import parse_map
from envs.smac.map_text import map_data
from envs.smac.own_maps import check_name
from envs.smac.smac_map import ALLY_TYPE_SLOTS, ENEMY_TYPE_SLOTS, MAP_SIZE_CELLS, PLAYABLE_CELLS
from envs.smac.units import UNITS, UnitType
from envs.text import one_line

DEFAULT_LIMIT_STEPS: Final = 150
DEFAULT_GROUND: Final = (32, 18)
"""Width and height in cells, as in SMAC's 3m, 8m, MMM and others."""
MIN_GROUND_CELLS: Final = 4

_CENTRE: Final = MAP_SIZE_CELLS / 2
_NUMBERS: Final = {
    "a": 1, "an": 1, "one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8,
    "nine": 9, "ten": 10, "eleven": 11, "twelve": 12,
}  # fmt: skip
_ONE: Final = {unit.name.lower().replace("_", " "): unit for unit in UnitType}
_UNITS: Final = _ONE | {f"{one}s": unit for one, unit in _ONE.items()} | {"colossi": UnitType.COLOSSUS}
_HALF: Final = re.compile(r"\s+(?:against|versus|vs\.?)\s+")
_PART: Final = re.compile(r"\s*,\s*(?:and\s+)?|\s+and\s+")
_SIZE: Final = re.compile(r"(\d+)\s*[x×]\s*(\d+)")
_LIMIT: Final = re.compile(r"limit\s+(\d+)(?:\s+steps)?")
MAX_DIGITS: Final = 9
_GROUP: Final = re.compile(r"(\d+|[a-z]+)\s+([a-z_ ]+)")

Group = tuple[UnitType, int]


@dataclass(frozen=True)
class MapLine:
    """The content of a line: both teams, the ground's width and height in cells, the limit in steps."""

    allies: list[Group]
    enemies: list[Group]
    width: int
    height: int
    limit_steps: int


def map_of_line(line: str, name: str) -> dict[str, Any]:
    """The plain data of the map that a line describes, checked; InputError in the line's own words."""
    check_name(name, "--out")
    wish = read_line(line)
    races = [race_of(side, team) for side, team in (("agents", wish.allies), ("enemies", wish.enemies))]
    map_type = "v".join(races)
    half = min(wish.width, PLAYABLE_CELLS) / 4
    crawlers_only = all(unit is UnitType.SPINE_CRAWLER for unit, _ in wish.enemies)
    order = {"kind": "attack_move", "points": [[_CENTRE - half, _CENTRE]]}
    data = {
        "name": name,
        "episode_limit_steps": wish.limit_steps,
        "ally_race": races[0],
        "enemy_race": races[1],
        "map_type": map_type,
        "unit_type_bits": max(len(ALLY_TYPE_SLOTS[map_type]), len(ENEMY_TYPE_SLOTS[map_type])),
        "allies": _spawns(wish.allies, _CENTRE - half),
        "enemies": _spawns(wish.enemies, _CENTRE + half),
        "enemy_order": {"kind": "none", "points": []} if crawlers_only else order,
        "notes": [f"Written by lan-map new from: {one_line(line.strip())}"],
        "cliff_levels": _ground(wish.width, wish.height),
    }
    return map_data(parse_map(data, f"{line.strip()!r}"))


def read_line(line: str) -> MapLine:
    """The line taken apart; InputError naming the part that is not understood."""
    halves = _HALF.split(line.strip().lower())
    if len(halves) != 2:
        _refuse(line, "say who fights whom, with `against` once")
    size, limit = DEFAULT_GROUND, DEFAULT_LIMIT_STEPS
    teams: list[list[Group]] = [[], []]
    said: set[str] = set()
    for half, team in zip(halves, teams, strict=True):
        for part in _PART.split(half):
            setting = "size" if _SIZE.fullmatch(part) else "limit" if _LIMIT.fullmatch(part) else None
            if setting is None:
                team.append(_group(line, part))
                continue
            if team is teams[0] or not team or setting in said:
                _refuse(line, f"{part!r} must stand once, after both teams")
            said.add(setting)
            numbers = [int(digits) for digits in re.findall(r"\d+", part[:40])]
            if setting == "size":
                size = numbers[0], numbers[1]
            else:
                limit = numbers[0]
    if not all(MIN_GROUND_CELLS <= cells <= MAP_SIZE_CELLS for cells in size):
        _refuse(line, f"the ground is {MIN_GROUND_CELLS} to {MAP_SIZE_CELLS} cells wide and high")
    return MapLine(teams[0], teams[1], size[0], size[1], limit)


def race_of(side: str, team: list[Group]) -> str:
    """The race of all units of a team; InputError when they are of several."""
    races = {UNITS[unit].race: unit for unit, _ in team}
    if len(races) > 1:
        names = " and ".join(sorted(unit.name.lower() for unit in races.values()))
        raise InputError(f"the {side} are of several races ({names}); a side has one")
    return next(iter(races))


def _group(line: str, part: str) -> Group:
    match = _GROUP.fullmatch(part)
    if match is None:
        _refuse(line, f"{part!r} is no number of units, such as `3 zealots`, and no `32 x 32` or `limit 120`")
    word, name = match[1], match[2].replace("_", " ")
    if len(word) > MAX_DIGITS and word.isdecimal():
        _refuse(line, f"{one_line(word, 40)} is too large a number")
    count = int(word) if word.isdecimal() else _NUMBERS.get(word)
    if count is None:
        _refuse(line, f"{word!r} is no number; write digits, or a, an, one to twelve")
    if name not in _UNITS:
        _refuse(line, f"unknown unit {name!r}; {nearest_names(name, _UNITS)}")
    return _UNITS[name], count


def _refuse(line: str, problem: str) -> NoReturn:
    raise InputError(f"{one_line(line.strip(), 80)!r}: {problem}")


def _spawns(team: list[Group], x: float) -> list[dict[str, Any]]:
    return [{"unit": unit.name.lower(), "count": count, "x": x, "y": _CENTRE} for unit, count in team]


def _ground(width: int, height: int) -> list[str]:
    """32 rows of cliff levels: level 1 in the middle, void around it."""
    left, below = (MAP_SIZE_CELLS - width) // 2, (MAP_SIZE_CELLS - height) // 2
    row = ("." * left + "1" * width).ljust(MAP_SIZE_CELLS, ".")
    void = "." * MAP_SIZE_CELLS
    rows = [void] * below + [row] * height
    return [*rows, *[void] * (MAP_SIZE_CELLS - len(rows))][::-1]
