"""Where units stand when a battle starts: sites of a hexagonal lattice around their spawn point.

Model: the engine's placement is in no file; see docs/battlefield.md (spawn formation).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from envs.errors import InputError
from envs.smac.smac_map import MAP_SIZE_CELLS, SmacMap, SpawnGroup
from envs.smac.units import UNITS, UnitType

GAP_CELLS: Final = 0.02
FIRST_ANGLE_DEGREES: Final = 330.0
MAX_RINGS: Final = 16


class Placed(NamedTuple):
    """A unit's spawn point and its offset from it, cells."""

    unit: UnitType
    point_x: float
    point_y: float
    dx: float
    dy: float


class DoesNotFitError(InputError):
    """Units of groups[`group`] find no free site that they can stand on around their spawn point."""

    def __init__(self, text: str, group: int) -> None:
        super().__init__(text)
        self.group = group


def _sites(spacing: float) -> list[tuple[float, float]]:
    """Offsets of the lattice's sites, neighbours at 30°, 90° …, by distance, then angle from 330° on."""
    sites = []
    for a in range(-MAX_RINGS, MAX_RINGS + 1):
        for b in range(-MAX_RINGS, MAX_RINGS + 1):
            x = spacing * (a * math.cos(math.radians(30)) + b * math.cos(math.radians(90)))
            y = spacing * (a * math.sin(math.radians(30)) + b * math.sin(math.radians(90)))
            angle = (math.degrees(math.atan2(y, x)) - FIRST_ANGLE_DEGREES) % 360
            sites.append((round(math.hypot(x, y), 3), round(angle, 3) % 360, x, y))
    sites.sort(key=lambda site: site[:2])
    return [(x, y) for _, _, x, y in sites]


def _walks(smac_map: SmacMap, unit: UnitType, x: float, y: float) -> bool:
    if not (0 <= x < MAP_SIZE_CELLS and 0 <= y < MAP_SIZE_CELLS):
        return False
    if UNITS[unit].is_air:
        return True
    grid = smac_map.colossus_walkable if UNITS[unit].crosses_cliffs else smac_map.walkable
    return bool(grid[int(x), int(y)])


def _plane(unit: UnitType) -> tuple[bool, bool]:
    return UNITS[unit].is_air, UNITS[unit].crosses_cliffs


def place_groups(smac_map: SmacMap, groups: Sequence[SpawnGroup]) -> list[Placed]:
    """Where every unit of `groups` stands, in creation order; units of one plane keep off each other.

    DoesNotFitError when a group does not fit around its point.
    """
    placed: list[Placed] = []
    for number, group in enumerate(groups):
        separation = UNITS[group.unit].separation_radius
        left = group.count
        for dx, dy in _sites(2 * separation + GAP_CELLS):
            if left == 0:
                break
            x, y = group.x + dx, group.y + dy
            free = all(
                _plane(other.unit) != _plane(group.unit)
                or math.hypot(x - other.point_x - other.dx, y - other.point_y - other.dy)
                >= separation + UNITS[other.unit].separation_radius - 1e-6
                for other in placed
            )
            if free and _walks(smac_map, group.unit, x, y):
                placed.append(Placed(group.unit, group.x, group.y, dx, dy))
                left -= 1
        if left:
            problem = f"{left} of {group.count} {group.unit.name.lower()}s do not fit around their point"
            raise DoesNotFitError(f"{smac_map.name}: {problem}", number)
    return placed
