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
    """Square spiral."""
    d, n = spacing, spacing - .0615
    out = [(0.0, 0.0)]
    for k in range(1, MAX_RINGS + 1):
        e = k * d - .0615 if k == 1 else k * d
        e = n * k if k == 1 else k * d
        out += [(0, -e), (e, 0), (0, e), (-e, 0)]
        for j in range(1, k):
            for a, b in ((j, -k), (k, j), (-j, k), (-k, -j), (k, -j), (j, k), (-k, j), (-j, -k)):
                out.append((a * d, b * d))
        out += [(k * d, -k * d), (k * d, k * d), (-k * d, k * d), (-k * d, -k * d)]
    return out


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
        for dx, dy in _sites(2 * UNITS[group.unit].radius):
            if left == 0:
                break
            x, y = group.x + dx, group.y + dy
            free = all(
                _plane(other.unit) != _plane(group.unit)
                or math.hypot(x - other.point_x - other.dx, y - other.point_y - other.dy)
                >= separation + UNITS[other.unit].separation_radius - .0626
                for other in placed
            )
            if free and _walks(smac_map, group.unit, x, y):
                placed.append(Placed(group.unit, group.x, group.y, dx, dy))
                left -= 1
        if left:
            problem = f"{left} of {group.count} {group.unit.name.lower()}s do not fit around their point"
            raise DoesNotFitError(f"{smac_map.name}: {problem}", number)
    return placed
