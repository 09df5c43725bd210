"""The format of map files: reads them, and refuses what cannot be played.

A map is a JSON object. `cliff_levels` are 32 rows of 32 characters, north first, as one looks at the map: `.`
is void, `1`, `2` are levels, `a`, `b`, `c` the steps of a ramp up from 1 to 2. Where units can stand follows
from them, as in the game: see `ground`. `notes` say what is exact and what is a choice.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Sequence
from typing import Any, Final, NoReturn, cast, get_args

import numpy as np
import numpy.typing as npt

from envs.command import nearest_names
from envs.errors import InputError
from envs.smac.formation import DoesNotFitError, place_groups
from envs.smac.ground import walkable_cells
from envs.smac.smac_map import (
    ALLY_TYPE_SLOTS,
    ENEMY_TYPE_SLOTS,
    MAP_SIZE_CELLS,
    MAX_TEAM_UNITS,
    PLAYABLE_CELLS,
    PLAYABLE_MIN,
    EnemyOrder,
    MapType,
    OrderKind,
    SmacMap,
    SpawnGroup,
)
from envs.smac.units import UNITS, UnitType
from envs.text import one_line
from envs.types import BoolArray

FIELDS: Final = (
    "name",
    "episode_limit_steps",
    "ally_race",
    "enemy_race",
    "map_type",
    "unit_type_bits",
    "allies",
    "enemies",
    "enemy_order",
    "notes",
    "cliff_levels",
)
MAX_EPISODE_STEPS: Final = 1_000_000
MAX_COUNT: Final = 10_000
CLIFF_LEVELS: Final = {".": 0.0, "1": 1.0, "a": 1.125, "b": 1.375, "c": 1.625, "2": 2.0}
_SKY: Final = np.pad(np.ones((PLAYABLE_CELLS, PLAYABLE_CELLS), np.bool_), PLAYABLE_MIN)
_N_ORDER_POINTS: Final = {
    "attack_move": 1,
    "attack_move_between": 2,
    "attack_units": 0,
    "attack_closest": 0,
    "none": 0,
}


class _Reader:
    """Takes values out of plain data; whatever is wrong becomes an InputError naming file and field."""

    def __init__(self, where: str) -> None:
        self.where = where

    def refuse(self, field: str, problem: str) -> NoReturn:
        raise InputError(f"{self.where}: {field}: {problem}")

    def record(self, value: Any, field: str, keys: Sequence[str]) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse(field, f"must be an object, not {type(value).__name__}")
        if missing := [key for key in keys if key not in value]:
            self.refuse(field, f"lacks {', '.join(missing)}")
        if unknown := [key for key in value if key not in keys]:
            self.refuse(field, f"has unknown {', '.join(map(repr, unknown))}; known are {', '.join(keys)}")
        return value

    def items(self, value: Any, field: str) -> list[Any]:
        if not isinstance(value, list):
            self.refuse(field, f"must be a list, not {type(value).__name__}")
        return value

    def text(self, value: Any, field: str) -> str:
        if not isinstance(value, str) or not value or one_line(value) != value:
            self.refuse(field, f"must be text on one line, not {value!r}")
        return value

    def choice(self, value: Any, field: str, known: Sequence[str]) -> str:
        if not isinstance(value, str) or value not in tuple(known):
            self.refuse(field, f"unknown {value!r}; {nearest_names(str(value), known)}")
        return value

    def whole(self, value: Any, field: str, least: int, most: int) -> int:
        if type(value) is not int or value < least:
            self.refuse(field, f"must be a whole number of at least {least}, not {value!r}")
        if value > most:
            self.refuse(field, f"must be at most {most}, not {value}")
        return value

    def coordinate(self, value: Any, field: str) -> float:
        if type(value) not in (int, float) or not 0 <= value < MAP_SIZE_CELLS:
            self.refuse(field, f"must be a number from 0 to below {MAP_SIZE_CELLS}, not {value!r}")
        return float(value)


def parse_map(data: Any, where: str) -> SmacMap:
    """The map held in plain data; InputError naming `where` and the field that cannot be used."""
    reader = _Reader(where)
    if isinstance(data, dict) and "terrain" in data:
        reader.refuse(
            "terrain", "delete it: where units can stand follows from cliff_levels (void is a wall)"
        )
    raw = reader.record(data, "map", FIELDS)
    levels = _levels(reader, raw["cliff_levels"])
    walkable, colossus_walkable = walkable_cells(levels)
    smac_map = SmacMap(
        name=reader.text(raw["name"], "name"),
        episode_limit=reader.whole(raw["episode_limit_steps"], "episode_limit_steps", 1, MAX_EPISODE_STEPS),
        ally_race=reader.choice(raw["ally_race"], "ally_race", "TPZ"),
        enemy_race=reader.choice(raw["enemy_race"], "enemy_race", "TPZ"),
        map_type=cast(MapType, reader.choice(raw["map_type"], "map_type", get_args(MapType))),
        unit_type_bits=reader.whole(raw["unit_type_bits"], "unit_type_bits", 0, len(UnitType)),
        ally_spawns=_spawns(reader, raw["allies"], "allies"),
        enemy_spawns=_spawns(reader, raw["enemies"], "enemies"),
        enemy_order=_order(reader, raw["enemy_order"]),
        walkable=walkable,
        colossus_walkable=colossus_walkable,
        cliff_level=levels,
        notes=tuple(reader.text(note, "notes") for note in reader.items(raw["notes"], "notes")),
    )
    for grid in (walkable, colossus_walkable, levels):
        grid.flags.writeable = False
    _check_types(reader, smac_map)
    _check_undecided(reader, smac_map)
    _check_ground(reader, smac_map)
    _check_formation(reader, "allies", smac_map, smac_map.ally_spawns)
    _check_formation(reader, "enemies", smac_map, smac_map.enemy_spawns)
    return smac_map


def _levels(reader: _Reader, rows: Any) -> npt.NDArray[np.float32]:
    """[32, 32] cliff levels, indexed [x, y], from rows that begin in the north."""
    field = "cliff_levels"
    rows = reader.items(rows, field)
    if len(rows) != MAP_SIZE_CELLS:
        reader.refuse(field, f"must be {MAP_SIZE_CELLS} rows, not {len(rows)}")
    for i, row in enumerate(rows):
        if len(reader.text(row, f"{field}[{i}]")) != MAP_SIZE_CELLS:
            reader.refuse(f"{field}[{i}]", f"must be {MAP_SIZE_CELLS} characters, not {len(row)}")
        if unknown := set(row) - set(CLIFF_LEVELS):
            reader.refuse(f"{field}[{i}]", f"unknown {sorted(unknown)}; known are {' '.join(CLIFF_LEVELS)}")
    return np.array([[CLIFF_LEVELS[c] for c in row] for row in reversed(rows)], np.float32).T.copy()


def _spawns(reader: _Reader, value: Any, side: str) -> tuple[SpawnGroup, ...]:
    groups = []
    for i, item in enumerate(reader.items(value, side)):
        field = f"{side}[{i}]"
        raw = reader.record(item, field, ("unit", "count", "x", "y"))
        unit = reader.choice(raw["unit"], f"{field}.unit", [unit.name.lower() for unit in UnitType])
        groups.append(
            SpawnGroup(
                unit=UnitType[unit.upper()],
                count=reader.whole(raw["count"], f"{field}.count", 1, MAX_COUNT),
                x=reader.coordinate(raw["x"], f"{field}.x"),
                y=reader.coordinate(raw["y"], f"{field}.y"),
            )
        )
    if not groups:
        reader.refuse(side, "is empty; a battle needs units on both sides")
    if (count := sum(group.count for group in groups)) > MAX_TEAM_UNITS:
        reader.refuse(side, f"has {count} units; a side has at most {MAX_TEAM_UNITS}")
    return tuple(groups)


def _order(reader: _Reader, value: Any) -> EnemyOrder:
    raw = reader.record(value, "enemy_order", ("kind", "points"))
    kind = reader.choice(raw["kind"], "enemy_order.kind", get_args(OrderKind))
    points = []
    for i, point in enumerate(reader.items(raw["points"], "enemy_order.points")):
        field = f"enemy_order.points[{i}]"
        if len(reader.items(point, field)) != 2:
            reader.refuse(field, f"must be [x, y], not {point!r}")
        points.append((reader.coordinate(point[0], f"{field}.x"), reader.coordinate(point[1], f"{field}.y")))
    if len(points) != _N_ORDER_POINTS[kind]:
        reader.refuse(
            "enemy_order.points", f"must be {_N_ORDER_POINTS[kind]} for {kind!r}, not {len(points)}"
        )
    return EnemyOrder(cast(OrderKind, kind), tuple(points))


def _check_types(reader: _Reader, smac_map: SmacMap) -> None:
    """Units are of their side's race, and the type one-hot has a place for each."""
    slots = [table.get(smac_map.map_type, ()) for table in (ALLY_TYPE_SLOTS, ENEMY_TYPE_SLOTS)]
    if smac_map.unit_type_bits != (bits := max(map(len, slots))):
        reader.refuse("unit_type_bits", f"must be {bits} for map type {smac_map.map_type!r}")
    sides = (
        ("allies", smac_map.ally_race, smac_map.ally_spawns, slots[0]),
        ("enemies", smac_map.enemy_race, smac_map.enemy_spawns, slots[1]),
    )
    for side, race, groups, known in sides:
        for i, group in enumerate(groups):
            name = group.unit.name.lower()
            if UNITS[group.unit].race != race:
                reader.refuse(f"{side}[{i}].unit", f"{name} is not of race {race!r}")
            heals = side == "allies" and group.unit is UnitType.MEDIVAC
            if (known or heals) and group.unit not in known:
                reader.refuse(
                    f"{side}[{i}].unit", f"map type {smac_map.map_type!r} has no type bit for {name}"
                )


def _check_undecided(reader: _Reader, smac_map: SmacMap) -> None:
    """The battle is not over before anybody acts: SMAC counts agents as beaten that are medivacs alone.

    Of the enemies it does so with a single medivac.
    """
    for side, groups, most in (
        ("allies", smac_map.ally_spawns, MAX_TEAM_UNITS),
        ("enemies", smac_map.enemy_spawns, 1),
    ):
        only_medivacs = all(group.unit is UnitType.MEDIVAC for group in groups)
        if only_medivacs and sum(group.count for group in groups) <= most:
            reader.refuse(side, "are medivacs alone, which SMAC counts as beaten; add a unit that fights")


def _check_ground(reader: _Reader, smac_map: SmacMap) -> None:
    """Every unit starts where it can stand, all that walk can reach each other, and they fit."""
    taken: dict[str, float] = {}
    ground: BoolArray | None = None
    for side, groups in (("allies", smac_map.ally_spawns), ("enemies", smac_map.enemy_spawns)):
        for i, group in enumerate(groups):
            field, stats, name = f"{side}[{i}]", UNITS[group.unit], group.unit.name.lower()
            grid, plane = smac_map.walkable, "ground"
            if stats.is_air:
                grid, plane = _SKY, "air"
            elif stats.crosses_cliffs:
                grid, plane = smac_map.colossus_walkable, "colossus"
            cell = int(group.x), int(group.y)
            if not grid[cell]:
                reader.refuse(f"{field}.x, {field}.y", f"{name} at ({group.x}, {group.y}) cannot stand there")
            if plane == "ground":
                ground = _reachable(smac_map.walkable, cell) if ground is None else ground
                if not ground[cell]:
                    reader.refuse(f"{field}.x, {field}.y", f"{name} is walled off from the units before it")
                grid = ground
            # A unit needs at least its share of the densest packing of circles.
            taken[plane] = taken.get(plane, 0.0) + group.count * 2 * math.sqrt(3) * stats.separation_radius**2
            if taken[plane] > grid.sum():
                reader.refuse(
                    f"{field}.count",
                    f"{group.count} {name}s and the units before them do not fit on {grid.sum()} cells",
                )


def _check_formation(reader: _Reader, side: str, smac_map: SmacMap, groups: Sequence[SpawnGroup]) -> None:
    """Every unit finds a free place around its spawn point, and none is placed behind a wall."""
    try:
        placed = place_groups(smac_map, groups)
    except DoesNotFitError as error:
        reader.refuse(f"{side}[{error.group}].count", str(error))
    walkers = [unit for unit in placed if not (UNITS[unit.unit].is_air or UNITS[unit.unit].crosses_cliffs)]
    for unit in walkers[:1]:
        ground = _reachable(smac_map.walkable, (int(unit.point_x), int(unit.point_y)))
    for unit in walkers:
        x, y = unit.point_x + unit.dx, unit.point_y + unit.dy
        if not ground[int(x), int(y)]:
            name = unit.unit.name.lower()
            reader.refuse(side, f"a {name} would be placed at ({x:.1f}, {y:.1f}), walled off from the others")


def _reachable(walkable: BoolArray, start: tuple[int, int]) -> BoolArray:
    """[32, 32] cells that can be walked to from `start`, through edges, not corners."""
    reached = np.zeros_like(walkable)
    reached[start] = True
    queue = deque([start])
    while queue:
        x, y = queue.popleft()
        for cell in ((x + 1, y), (x - 1, y), (x, y + 1), (x, y - 1)):
            if max(cell) < MAP_SIZE_CELLS and min(cell) >= 0 and walkable[cell] and not reached[cell]:
                reached[cell] = True
                queue.append(cell)
    return reached
