"""Kernels for the API beyond environment steps: any number of loops, any orders, lengths of ways."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.behaviour import give_order
from envs.battle.kernel import simulate
from envs.battle.terrain import Terrain, next_point, reachable_point
from envs.battle.world import Battles, Ints, Reals, World
from envs.compiled import kernel

_MAX_LEGS: Final = 1024  # of a way; there are no more cells


@kernel
def advance(battles: Battles, w: World, first_loop: int, loops: int) -> None:
    """Play `loops` game loops of battle 0."""
    simulate(battles.f[0], battles.k[0], w, battles.rng[0:1], first_loop, loops)


@kernel
def give_orders(battles: Battles, w: World, unit: Ints, order: Ints, target: Ints, point: Reals) -> None:
    """Replace the orders of units of battle 0: unit, order, target [K], point [K, 2] in cells."""
    for n in range(len(unit)):
        x, y = point[n]
        give_order(battles.f[0], battles.k[0], w, unit[n], order[n], target[n], x, y)


@kernel
def standing_point(terrain: Terrain, plane: int, x: float, y: float, clearance: float) -> tuple[float, float]:
    """The point near (x, y) where a unit of `plane` has room to stand."""
    return reachable_point(terrain, plane, x, y, clearance)


@kernel
def way_length(terrain: Terrain, plane: int, x: float, y: float, goal_x: float, goal_y: float) -> float:
    """Length in cells of the way that a unit of `plane` walks to the goal; 0 when there is none."""
    x, y = reachable_point(terrain, plane, x, y, 0.0)
    length = 0.0
    for _ in range(_MAX_LEGS):
        to_x, to_y = next_point(terrain, plane, x, y, goal_x, goal_y, 0.0)
        leg = np.sqrt((to_x - x) ** 2 + (to_y - y) ** 2)
        length += leg
        x, y = to_x, to_y
        if x == goal_x and y == goal_y:
            return float(length)
        if leg < 1e-9:
            return 0.0
    return 0.0
