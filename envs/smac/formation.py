"""Where units stand when a battle starts: a square spiral around their spawn point, as the game places them.

Found in replays of the real game, to 1/4096 cell; docs/battlefield.md (spawn formation) says what is exact.
A unit takes the first site that is free. Sites lie on a square lattice whose pitch is the unit's radius, by
their distance from the point. Beside the point a unit that overlaps others is pushed out of them, one after
the other; this is where the game's slots matter, in which it keeps its units (`formations`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np

from envs.errors import InputError
from envs.smac.smac_map import (
    GRID_PER_CELL,
    MAP_SIZE_CELLS,
    PLAYABLE_MAX,
    PLAYABLE_MIN,
    SmacMap,
    SpawnGroup,
)
from envs.smac.units import UNITS, UnitType

VARIANTS: Final = 32
"""How many formations of a map with several types on one point are drawn."""

_GRID: Final = int(GRID_PER_CELL)
CONTACT: Final = _GRID // 16
"""Units that overlap by no more than this touch (1/4096 cell, as all lengths below)."""

PUSH_CLEARANCE: Final = 4
"""How much further than contact a unit is pushed."""

PUSHED_FROM: Final = _GRID // 4
"""A unit is pushed out of those that it overlaps by more than this."""

MAX_TRIES: Final = 10
"""Sites tried and pushes made, together, among four sites at one distance."""

_MAX_RINGS: Final = 80  # 30 cells for the smallest unit


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


class _Body(NamedTuple):
    x: int
    y: int
    radius: int
    slot: int

    def overlaps(self, x: int, y: int, radius: int, by: int) -> bool:
        return math.hypot(x - self.x, y - self.y) < self.radius + radius - by

    def cells(self) -> set[tuple[int, int]]:
        return set(_cells(self.x, self.y, self.radius))


def formations(smac_map: SmacMap) -> list[tuple[list[Placed], list[Placed]]]:
    """The formations that battles begin with, all equally likely: agents and enemies, in creation order.

    One, where no point has two types of one plane; else `VARIANTS`, the first one with slots
    in creation order, as in a new game. Model: later battles give the first units, up to a number drawn at
    random, the slots of others in any order (in the game: of units that outlived an earlier battle).
    """
    sides = smac_map.ally_spawns, smac_map.enemy_spawns
    is_mixed = any(_is_mixed(side) for side in sides)
    n_agents, n_units = smac_map.n_agents, smac_map.n_agents + smac_map.n_enemies
    rng = np.random.default_rng(0)
    found = []
    for variant in range(VARIANTS if is_mixed else 1):
        slots = np.arange(n_units)
        if variant:
            shuffled = rng.integers(n_units + 1)
            slots[:shuffled] = rng.permutation(shuffled)
        shares = slots[:n_agents].tolist(), slots[n_agents:].tolist()
        agents, enemies = (place_groups(smac_map, *each) for each in zip(sides, shares, strict=True))
        found.append((agents, enemies))
    return found


def place_groups(
    smac_map: SmacMap, groups: Sequence[SpawnGroup], slots: Sequence[int] | None = None
) -> list[Placed]:
    """Where every unit of `groups` stands, in creation order; units of one plane keep off each other.

    slots: the units' places in the game's memory, in creation order by default. Positions are on the game's
    grid. DoesNotFitError when a group does not fit around its point.
    """
    placed: list[Placed] = []
    bodies: dict[tuple[bool, bool], list[_Body]] = {}
    for number, group in enumerate(groups):
        others = bodies.setdefault(_plane(group.unit), [])
        point = round(group.x * _GRID), round(group.y * _GRID)
        radius = round(UNITS[group.unit].radius * _GRID)
        search = _Search(_ground(smac_map, group.unit), others, point, radius)
        for unit in range(group.count):
            spot = search.next_spot()
            if spot is None:
                problem = f"{group.count - unit} of {group.count} {group.unit.name.lower()}s do not fit"
                raise DoesNotFitError(f"{smac_map.name}: {problem} around their point", number)
            x, y = spot
            slot = len(placed) if slots is None else slots[len(placed)]
            others.append(_Body(x, y, radius, slot))
            offset = (x - point[0]) / _GRID, (y - point[1]) / _GRID
            placed.append(Placed(group.unit, point[0] / _GRID, point[1] / _GRID, *offset))
    return placed


class _Search:
    """Finds places for the units of one group, one after the other, among the `others` of their plane."""

    def __init__(
        self, stands: Callable[[int, int], bool], others: list[_Body], point: tuple[int, int], radius: int
    ) -> None:
        self.stands, self.others, self.point, self.radius = stands, others, point, radius
        self._far_sites = self._sites(range(2, len(site_groups())))

    def next_spot(self) -> tuple[int, int] | None:
        """A free place for one more unit; None when there is none."""
        if self._is_free(*self.point):
            return self.point
        for number in (0, 1):  # the eight sites around the point
            if spot := self._beside(number):
                return spot
        # a site that was taken for the units before is taken for this one too
        return next((site for site in self._far_sites if self._is_free(*site)), None)

    def _sites(self, numbers: Sequence[int]) -> Iterator[tuple[int, int]]:
        for number in numbers:
            for i, j in site_groups()[number]:
                yield self.point[0] + i * self.radius, self.point[1] + j * self.radius

    def _is_free(self, x: int, y: int) -> bool:
        return self.stands(x, y) and not any(
            other.overlaps(x, y, self.radius, CONTACT) for other in self.others
        )

    def _beside(self, number: int) -> tuple[int, int] | None:
        """A place at one of four sites beside the point, or where pushes out of other units lead from it."""
        tries = 0
        for x, y in self._sites((number,)):
            tries += 1
            at = x, y
            while (other := self._overlapped(*at)) and at != (other.x, other.y) and tries < MAX_TRIES:
                tries += 1
                at = self._pushed(*at, other)
                if math.hypot(at[0] - x, at[1] - y) > self.radius:
                    break
            else:
                if self._is_free(*at):
                    return at
        return None

    def _overlapped(self, x: int, y: int) -> _Body | None:
        """The unit to be pushed out of next: cells from west to east, in a cell the highest slot first."""
        near = [other for other in self.others if other.overlaps(x, y, self.radius, PUSHED_FROM)]
        near.sort(key=lambda other: -other.slot)
        for cell in _cells(x, y, self.radius):
            for other in near:
                if cell in other.cells():
                    return other
        return None

    def _pushed(self, x: int, y: int, other: _Body) -> tuple[int, int]:
        """(x, y) moved straight away from the centre of a unit until they touch."""
        dx, dy = x - other.x, y - other.y
        distance = math.sqrt(dx * dx + dy * dy)
        reach = self.radius + other.radius - CONTACT + PUSH_CLEARANCE
        x, y = (math.floor(step * _GRID / distance + 0.5) * reach // _GRID for step in (dx, dy))
        return other.x + x, other.y + y


@cache
def site_groups() -> list[list[tuple[int, int]]]:
    """Sites of the lattice around (0, 0), by distance: four or eight of one distance in the game's order."""
    groups: list[tuple[int, list[tuple[int, int]]]] = []
    for k in range(1, _MAX_RINGS + 1):
        groups.append((k * k, [(0, -k), (k, 0), (0, k), (-k, 0)]))
        for j in range(1, k):
            turns = [(j, -k), (k, j), (-j, k), (-k, -j), (k, -j), (j, k), (-k, j), (-j, -k)]
            groups.append((k * k + j * j, turns))
        groups.append((2 * k * k, [(k, -k), (k, k), (-k, k), (-k, -k)]))
    groups.sort(key=lambda group: group[0])
    return [sites for _, sites in groups]


def _cells(x: int, y: int, radius: int) -> Iterator[tuple[int, int]]:
    """The cells that the square around a unit meets, column by column from the west."""
    for column in range((x - radius) // _GRID, (x + radius) // _GRID + 1):
        for row in range((y - radius) // _GRID, (y + radius) // _GRID + 1):
            yield column, row


def _ground(smac_map: SmacMap, unit: UnitType) -> Callable[[int, int], bool]:
    """Whether a unit of the type may stand at (x, y)."""
    if UNITS[unit].is_air:
        low, high = PLAYABLE_MIN * _GRID, PLAYABLE_MAX * _GRID
        return lambda x, y: low <= x < high and low <= y < high
    cells = (smac_map.colossus_walkable if UNITS[unit].crosses_cliffs else smac_map.walkable).tolist()
    size = range(MAP_SIZE_CELLS)

    def stands(x: int, y: int) -> bool:
        column, row = x // _GRID, y // _GRID
        return column in size and row in size and cells[column][row]

    return stands


def _is_mixed(side: Sequence[SpawnGroup]) -> bool:
    """Whether units of two types of one plane are created on one point."""
    kinds = {(group.x, group.y, _plane(group.unit), group.unit) for group in side}
    return len(kinds) > len({kind[:3] for kind in kinds})


def _plane(unit: UnitType) -> tuple[bool, bool]:
    return UNITS[unit].is_air, UNITS[unit].crosses_cliffs
