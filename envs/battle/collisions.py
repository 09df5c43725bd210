"""Units that overlap part, and all come to stand on the game's grid. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.fields import (
    AIR,
    ALIVE,
    FIXED,
    PLANE,
    PUSH_X,
    PUSH_Y,
    SEPARATION,
    STEP,
    TEAM,
    VX,
    VY,
    X,
    Y,
)
from envs.battle.movement import displace
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper
from envs.smac.smac_map import GRID_PER_CELL

MAX_PUSH_CELLS: Final = 0.25
DEEP_CELLS: Final = 0.35  # overlap beyond which pairs are parted again within the loop
DEEP_PASSES: Final = 2


@helper
def _overlap(f: Reals, k: Ints, w: World, i: int, j: int, allowed: float) -> tuple[float, float, float]:
    """The overlap of living units i and j beyond `allowed`, cells, and the direction from i to j."""
    dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
    reach = w.s[SEPARATION, i] + w.s[SEPARATION, j] - allowed
    square = dx * dx + dy * dy
    if square >= reach * reach or k[ALIVE, j] == 0 or w.t[PLANE, j] != w.t[PLANE, i]:
        return 0.0, 0.0, 0.0
    distance = np.sqrt(square)
    if distance > 1e-9:
        return reach - distance, dx / distance, dy / distance
    way = float(i + 2 * j)  # at the same point: each pair parts in another direction
    return reach, np.cos(way), np.sin(way)


@helper
def _share(f: Reals, k: Ints, w: World, i: int, j: int) -> float:
    """The share of an overlap that unit i yields, unit j the rest; -1 for two structures, which never yield.

    A unit that stands to fight is not pushed aside by an opponent that does not; it yields by half to a team
    mate that walks.
    """
    rank_i = 2 if w.s[STEP, i] == 0.0 else k[FIXED, i]
    rank_j = 2 if w.s[STEP, j] == 0.0 else k[FIXED, j]
    if rank_i == rank_j:
        return -1.0 if rank_i == 2 else 0.5
    if rank_i + rank_j == 1 and w.t[TEAM, i] == w.t[TEAM, j]:
        walker = i if rank_i == 0 else j
        if f[VX, walker] != 0.0 or f[VY, walker] != 0.0:
            return 0.5
    return 1.0 if rank_i < rank_j else 0.0


@helper
def snap(f: Reals) -> None:
    """Put every unit on the game's grid of 1/4096 cell, within the cell it stands in.

    StarCraft II's positions are such fixed-point numbers, which its API's float32 holds exactly; so a battle
    behind the API is the battle in process, bit by bit.
    """
    for row in (X, Y):
        for i in range(f.shape[1]):
            at = f[row, i] * GRID_PER_CELL
            snapped = np.floor(at + 0.5) / GRID_PER_CELL
            if np.floor(snapped) != np.floor(f[row, i]):  # not over the edge: that may be a wall
                snapped = np.floor(at) / GRID_PER_CELL
            f[row, i] = snapped


@helper
def collide(f: Reals, k: Ints, w: World) -> None:
    """Push all overlapping pairs apart, in full, but no unit by more than MAX_PUSH_CELLS."""
    n = f.shape[1]
    deepest = 0.0
    for i in range(n):
        if k[ALIVE, i] == 0 or w.t[PLANE, i] == AIR:
            continue
        for j in range(i + 1, n):
            overlap, dx, dy = _overlap(f, k, w, i, j, 0.0)
            if overlap <= 0.0:
                continue
            share = _share(f, k, w, i, j)
            if share >= 0.0:
                deepest = max(deepest, overlap)
                f[PUSH_X, i] -= dx * overlap * share
                f[PUSH_Y, i] -= dy * overlap * share
                f[PUSH_X, j] += dx * overlap * (1.0 - share)
                f[PUSH_Y, j] += dy * overlap * (1.0 - share)
    if deepest == 0.0:
        return
    for i in range(n):
        dx, dy = f[PUSH_X, i], f[PUSH_Y, i]
        if dx != 0.0 or dy != 0.0:
            f[PUSH_X, i] = f[PUSH_Y, i] = 0.0
            length = np.sqrt(dx * dx + dy * dy)
            if length > MAX_PUSH_CELLS:
                dx, dy = dx * MAX_PUSH_CELLS / length, dy * MAX_PUSH_CELLS / length
            displace(f, w, i, dx, dy)
    if deepest > DEEP_CELLS:
        for _ in range(DEEP_PASSES):
            if not _part_deep(f, k, w):
                break


@helper
def _yield(f: Reals, w: World, i: int, ux: float, uy: float, length: float) -> float:
    """Move unit i along (ux, uy) as far as walls allow, a structure not at all; returns how far it moved."""
    if length <= 1e-9 or w.s[STEP, i] == 0.0:
        return 0.0
    x, y = f[X, i], f[Y, i]
    displace(f, w, i, ux * length, uy * length)
    return float(np.sqrt((f[X, i] - x) ** 2 + (f[Y, i] - y) ** 2))


@helper
def _part_deep(f: Reals, k: Ints, w: World) -> bool:
    """Reduce every overlap deeper than DEEP_CELLS to that, pair by pair; True if there was any.

    A crowd pressed against a wall would stack up otherwise: where a wall keeps one unit of a pair from
    yielding, the other yields, even if it fights.
    """
    n = f.shape[1]
    found = False
    for i in range(n):
        if k[ALIVE, i] == 0 or w.t[PLANE, i] == AIR:
            continue
        for j in range(i + 1, n):
            overlap, dx, dy = _overlap(f, k, w, i, j, DEEP_CELLS)
            if overlap <= 0.0:
                continue
            share = _share(f, k, w, i, j)
            if share >= 0.0:
                left = overlap - _yield(f, w, i, -dx, -dy, overlap * share)
                left -= _yield(f, w, j, dx, dy, left)
                _yield(f, w, i, -dx, -dy, left)
                found = True
    return found
