"""Where units can walk, and how they find the way: tables made once per map.

Two grids: ground units walk on `walkable`, colossi on `colossus_walkable`; air flies over the whole playable
area. Two cells
see each other when every straight line between them stays on the grid, whatever points of the two squares it
joins. A unit walks straight to what its cell sees; else to the next cell of the shortest path over cells
that see each other (any-angle path: a string pulled over cell centres). Such a walk never meets a wall.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.battle.fields import AIR, CLIFF_WALKER, GROUND
from envs.compiled import helper, kernel
from envs.smac.smac_map import MAP_SIZE_CELLS, PLAYABLE_MAX, PLAYABLE_MIN

Bytes = npt.NDArray[np.uint8]
Ints = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

SIZE = MAP_SIZE_CELLS
INSIDE = 0.01
"""Distance from a cell's edge at which a point is put that is moved into the cell, cells."""


class Terrain(NamedTuple):
    """Tables of one map, by plane (0 ground, 1 colossus).

    walkable [2, 32, 32] u8; open [2, 32, 32] u8: walkable with all eight cells around; nearest [2, 32, 32]
    i64: code x * 32 + y of the nearest walkable cell; convex [2] u8: every cell sees every other, the other
    tables are empty; number [2, 32, 32] i64: a cell's place in them; sees [2, n, n] u8; way [2, n, n] i64:
    code of the cell to walk to next.
    """

    walkable: Bytes
    open: Bytes
    nearest: Ints
    convex: Bytes
    number: Ints
    sees: Bytes
    way: Ints


@helper
def is_walkable(terrain: Terrain, plane: int, x: float, y: float) -> bool:
    """Whether a unit of `plane` may stand at (x, y)."""
    if not (PLAYABLE_MIN <= x < PLAYABLE_MAX and PLAYABLE_MIN <= y < PLAYABLE_MAX):
        return False
    return plane == AIR or terrain.walkable[plane, int(x), int(y)] != 0


@helper
def is_clear(terrain: Terrain, plane: int, x: float, y: float, clearance: float) -> bool:
    """Whether a unit of `plane` may stand at (x, y), `clearance` (half a cell at most) off walls."""
    if not (0.0 <= x < SIZE and 0.0 <= y < SIZE):
        return False
    if plane == AIR or terrain.open[plane, int(x), int(y)] != 0:
        return True
    if clearance == 0.0:
        return bool(terrain.walkable[plane, int(x), int(y)])
    left, low = int(x - clearance), int(y - clearance)  # a unit may touch a wall on either side
    right, high = int(np.ceil(x + clearance)) - 1, int(np.ceil(y + clearance)) - 1
    grid = terrain.walkable[plane]
    return bool(grid[left, low] & grid[left, high] & grid[right, low] & grid[right, high])


@helper
def reachable_point(
    terrain: Terrain, plane: int, x: float, y: float, clearance: float
) -> tuple[float, float]:
    """The point near (x, y) where a unit of `plane` may stand: that, or one in the nearest walkable cell."""
    x = min(max(x, float(PLAYABLE_MIN)), PLAYABLE_MAX - INSIDE)
    y = min(max(y, float(PLAYABLE_MIN)), PLAYABLE_MAX - INSIDE)
    if plane == AIR or is_clear(terrain, plane, x, y, clearance):
        return x, y
    cell = terrain.nearest[plane, int(x), int(y)]
    cx, cy = cell // SIZE, cell % SIZE
    grid = terrain.walkable[plane]
    left = clearance if grid[cx - 1, cy] == 0 else INSIDE
    right = 1.0 - (clearance if grid[cx + 1, cy] == 0 else INSIDE)
    low = clearance if grid[cx, cy - 1] == 0 else INSIDE
    high = 1.0 - (clearance if grid[cx, cy + 1] == 0 else INSIDE)
    px, py = min(max(x, cx + left), cx + right), min(max(y, cy + low), cy + high)
    if is_clear(terrain, plane, px, py, clearance):
        return px, py
    return cx + 0.5, cy + 0.5  # only a corner is in the way


@helper
def next_point(
    terrain: Terrain, plane: int, x: float, y: float, goal_x: float, goal_y: float, clearance: float
) -> tuple[float, float]:
    """Where a unit at (x, y) walks straight to on its way to the goal."""
    if plane == AIR or terrain.convex[plane] != 0:
        return goal_x, goal_y
    goal_x, goal_y = reachable_point(terrain, plane, goal_x, goal_y, clearance)
    here = terrain.number[plane, int(x), int(y)]
    there = terrain.number[plane, int(goal_x), int(goal_y)]
    if terrain.sees[plane, here, there] != 0:
        return goal_x, goal_y
    cell = terrain.way[plane, here, there]
    return cell // SIZE + 0.5, cell % SIZE + 0.5


@helper
def _sees(walkable: Bytes, ax: int, ay: int, bx: int, by: int) -> bool:
    """Whether the hull of two cells holds no unwalkable cell.

    The hull is the square swept along the line of centres: it meets the inside of cell c when that line meets
    the open square of side 2 around c's centre.
    """
    dx, dy = bx - ax, by - ay
    for cx in range(min(ax, bx), max(ax, bx) + 1):
        for cy in range(min(ay, by), max(ay, by) + 1):
            if walkable[cx, cy] != 0:
                continue
            enter, leave = 0.0, 1.0
            if dx != 0:
                t1, t2 = (cx - ax - 1.0) / dx, (cx - ax + 1.0) / dx
                enter, leave = max(enter, min(t1, t2)), min(leave, max(t1, t2))
            if dy != 0:
                t1, t2 = (cy - ay - 1.0) / dy, (cy - ay + 1.0) / dy
                enter, leave = max(enter, min(t1, t2)), min(leave, max(t1, t2))
            if leave - enter > 1e-9:
                return False
    return True


@kernel
def _find_sight(walkable: Bytes, cells: Ints, sees: Bytes) -> None:
    """Fill sees [n, n] for the n walkable `cells`."""
    n = len(cells)
    for a in range(n):
        for b in range(a, n):
            if _sees(walkable, cells[a] // SIZE, cells[a] % SIZE, cells[b] // SIZE, cells[b] % SIZE):
                sees[a, b] = sees[b, a] = 1


@kernel
def _find_ways(sees: Bytes, cells: Ints, length: Reals, way: Ints) -> None:
    """Fill way [n, n] with the cell to walk to next: Dijkstra from every goal over cells that see each other.

    length [2, n] is room to work in: the length of the way found so far, and of the final one (-1 not yet).
    """
    n = len(cells)
    for goal in range(n):
        for cell in range(n):
            way[cell, goal] = cells[cell]  # a unit stays in a cell without a way to the goal
            length[0, cell], length[1, cell] = np.inf, -1.0
        length[0, goal] = 0.0
        for _ in range(n):
            at, best = -1, np.inf
            for cell in range(n):
                if length[1, cell] < 0.0 and length[0, cell] < best:
                    at, best = cell, length[0, cell]
            if at < 0:
                break
            length[1, at] = best
            for cell in range(n):
                if sees[at, cell] != 0 and length[1, cell] < 0.0:
                    dx = cells[at] // SIZE - cells[cell] // SIZE
                    dy = cells[at] % SIZE - cells[cell] % SIZE
                    through = best + np.sqrt(float(dx * dx + dy * dy))
                    if through < length[0, cell] - 1e-9:
                        length[0, cell] = through
                        way[cell, goal] = cells[at]


def _nearest_cells(walkable: npt.NDArray[np.bool_]) -> Ints:
    """[32, 32] code of the walkable cell nearest to every cell, ties by code."""
    xs, ys = np.nonzero(walkable)
    grid_x, grid_y = np.indices((SIZE, SIZE))
    squares = (grid_x[..., None] - xs) ** 2 + (grid_y[..., None] - ys) ** 2
    return np.asarray((xs * SIZE + ys)[squares.argmin(axis=-1)], np.int64)


def _open_cells(walkable: npt.NDArray[np.bool_]) -> Bytes:
    """[2, 32, 32] walkable cells whose eight neighbours are walkable too."""
    padded = np.pad(walkable, ((0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.asarray(windows.all(axis=(-1, -2)), np.uint8)


def make_terrain(ground: npt.NDArray[np.bool_], colossus: npt.NDArray[np.bool_] | None) -> Terrain:
    """Tables from the walkable cells [32, 32], indexed [x, y], of the two planes (None: no colossus here)."""
    grids = {GROUND: ground, CLIFF_WALKER: ground if colossus is None else colossus}
    walkable = np.stack([grids[plane] for plane in (GROUND, CLIFF_WALKER)])
    nearest = np.stack([_nearest_cells(grid) for grid in walkable])
    convex = np.ones(2, np.uint8)
    number = np.zeros((2, SIZE, SIZE), np.int64)
    tables: dict[int, tuple[Bytes, Ints]] = {}
    for plane in (GROUND,) if colossus is None else (GROUND, CLIFF_WALKER):
        if _is_rectangle(walkable[plane]):
            continue
        cells = np.flatnonzero(walkable[plane]).astype(np.int64)
        number[plane].flat[cells] = np.arange(len(cells))
        n = len(cells)
        sees, way = np.zeros((n, n), np.uint8), np.zeros((n, n), np.int64)
        _find_sight(walkable[plane].astype(np.uint8), cells, sees)
        if not sees.all():
            convex[plane] = 0
            _find_ways(sees, cells, np.zeros((2, n)), way)
            tables[plane] = sees, way
    size = max((len(sees) for sees, _ in tables.values()), default=1)
    all_sees = np.zeros((2, size, size), np.uint8)
    all_way = np.zeros((2, size, size), np.int64)
    for plane, (sees, way) in tables.items():
        all_sees[plane, : len(sees), : len(sees)] = sees
        all_way[plane, : len(way), : len(way)] = way
    return Terrain(
        walkable.astype(np.uint8), _open_cells(walkable), nearest, convex, number, all_sees, all_way
    )


def _is_rectangle(grid: npt.NDArray[np.bool_]) -> bool:
    xs, ys = np.nonzero(grid)
    return bool(grid[xs.min() : xs.max() + 1, ys.min() : ys.max() + 1].all())
