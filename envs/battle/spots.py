"""Where a unit stands that is created near others: `envs.smac.formation`'s search, as a kernel.

Units are created one by one, each at a point of its own; a test finds the same places for both. Lengths in
here are whole numbers of 1/4096 cell.
"""

from __future__ import annotations

import numpy as np

from envs.battle.terrain import Terrain, is_walkable
from envs.battle.world import Ints, Reals
from envs.compiled import helper
from envs.smac.formation import CONTACT, MAX_TRIES, PUSH_CLEARANCE, PUSHED_FROM
from envs.smac.smac_map import GRID_PER_CELL

GRID = int(GRID_PER_CELL)
BESIDE = 4  # sites at one distance, beside the point


@helper
def _overlaps(bodies: Reals, planes: Ints, j: int, plane: int, x: int, y: int, radius: int, by: int) -> bool:
    """Whether a body at (x, y) overlaps body j, of the same plane, by more than `by`."""
    if planes[j] != plane:
        return False
    dx, dy = x - int(bodies[0, j]), y - int(bodies[1, j])
    reach = int(bodies[2, j]) + radius - by
    return dx * dx + dy * dy < reach * reach


@helper
def _is_free(
    terrain: Terrain, bodies: Reals, planes: Ints, n: int, plane: int, x: int, y: int, radius: int
) -> bool:
    is_free = is_walkable(terrain, plane, x / GRID, y / GRID)
    for j in range(n):
        if not is_free:
            break
        is_free = not _overlaps(bodies, planes, j, plane, x, y, radius, CONTACT)
    return bool(is_free)


@helper
def _overlapped(bodies: Reals, planes: Ints, n: int, plane: int, x: int, y: int, radius: int) -> int:
    """The body to be pushed out of next: cells from west to east, in a cell the latest first; -1 none."""
    for column in range((x - radius) // GRID, (x + radius) // GRID + 1):
        for row in range((y - radius) // GRID, (y + radius) // GRID + 1):
            for j in range(n - 1, -1, -1):
                if not _overlaps(bodies, planes, j, plane, x, y, radius, PUSHED_FROM):
                    continue
                bx, by, r = int(bodies[0, j]), int(bodies[1, j]), int(bodies[2, j])
                across = (bx - r) // GRID <= column <= (bx + r) // GRID
                if across and (by - r) // GRID <= row <= (by + r) // GRID:
                    return j
    return -1


@helper
def find_spot(
    terrain: Terrain,
    lattice: Ints,
    bodies: Reals,
    planes: Ints,
    n: int,
    plane: int,
    px: int,
    py: int,
    radius: int,
) -> tuple[int, int]:
    """A place near (px, py) for a unit of `radius`, free of the first `n` bodies; the point if there is none.

    bodies [3, U]: x, y and radius; planes [U].
    """
    if _is_free(terrain, bodies, planes, n, plane, px, py, radius):
        return px, py
    for first in (0, BESIDE):
        tries = 0
        for site in range(first, first + BESIDE):
            x, y = px + lattice[site, 0] * radius, py + lattice[site, 1] * radius
            ax, ay = x, y
            tries += 1
            strayed = False
            while not strayed:
                j = _overlapped(bodies, planes, n, plane, ax, ay, radius)
                if j < 0 or tries >= MAX_TRIES:
                    break
                bx, by = int(bodies[0, j]), int(bodies[1, j])
                dx, dy = ax - bx, ay - by
                if dx == 0 and dy == 0:
                    break
                tries += 1
                distance = np.sqrt(float(dx * dx + dy * dy))
                reach = radius + int(bodies[2, j]) - CONTACT + PUSH_CLEARANCE
                ax = bx + int(np.floor(dx * GRID / distance + 0.5)) * reach // GRID
                ay = by + int(np.floor(dy * GRID / distance + 0.5)) * reach // GRID
                strayed = (ax - x) * (ax - x) + (ay - y) * (ay - y) > radius * radius
            if not strayed and _is_free(terrain, bodies, planes, n, plane, ax, ay, radius):
                return ax, ay
    for site in range(2 * BESIDE, len(lattice)):
        x, y = px + lattice[site, 0] * radius, py + lattice[site, 1] * radius
        if _is_free(terrain, bodies, planes, n, plane, x, y, radius):
            return x, y
    return px, py
