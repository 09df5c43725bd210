"""A colossus's lances sweep a line, touch units, and burn them later. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.combat import SPLASH_SHARE, SWEEP_PERIOD_LOOPS, SWEEP_POINTS, hit
from envs.battle.fields import (
    AIR,
    ALIVE,
    BURNS_A,
    BURNS_B,
    CHANNEL,
    FIRST_FOE,
    LAST_FOE,
    PLANE,
    RADIUS,
    SWEEP_DX,
    SWEEP_DY,
    SWEEP_POINT,
    SWEEP_X,
    SWEEP_Y,
    SWEPT_A,
    SWEPT_B,
    X,
    Y,
)
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper

BURN_DELAY_LOOPS: Final = 4
"""Loops (a quarter of a second) from a lance's touch to its damage; as many rows BURNS_A and BURNS_B have."""
SWEEP_HALF_CELLS: Final = 1.25
SWEEP_RADIUS_CELLS: Final = 0.15


@helper
def sweep(f: Reals, k: Ints, w: World, i: int, loop: int) -> None:
    """One loop of colossus i's lances, whatever its order is now: they touch units, and burn them later."""
    row = loop % BURN_DELAY_LOOPS
    a, b = k[BURNS_A + row, i], k[BURNS_B + row, i]
    k[BURNS_A + row, i] = k[BURNS_B + row, i] = 0
    if a | b != 0:
        bit = np.int64(1)
        for j in range(w.t[FIRST_FOE, i], w.t[LAST_FOE, i]):
            if k[ALIVE, j] != 0:
                if a & bit != 0:
                    hit(f, k, w, i, j, w.damage[i, j])
                if b & bit != 0:
                    hit(f, k, w, i, j, w.damage[i, j])
            bit <<= 1
    if k[ALIVE, i] == 0 or k[SWEEP_POINT, i] >= SWEEP_POINTS:
        return
    f[CHANNEL, i] -= 1.0
    while f[CHANNEL, i] <= 0.0 and k[SWEEP_POINT, i] < SWEEP_POINTS:
        _sweep_point(f, k, w, i, row)
        k[SWEEP_POINT, i] += 1
        f[CHANNEL, i] += SWEEP_PERIOD_LOOPS


@helper
def _sweep_point(f: Reals, k: Ints, w: World, i: int, row: int) -> None:
    """The lances of colossus i at the next point of their lines, which they run in opposite directions."""
    along = -SWEEP_HALF_CELLS + 2.0 * SWEEP_HALF_CELLS * k[SWEEP_POINT, i] / (SWEEP_POINTS - 1)
    bit = np.int64(1)
    for j in range(w.t[FIRST_FOE, i], w.t[LAST_FOE, i]):
        if k[ALIVE, j] != 0 and w.t[PLANE, j] != AIR:
            reach = SWEEP_RADIUS_CELLS + SPLASH_SHARE * w.s[RADIUS, j]
            rx, ry = f[X, j] - f[SWEEP_X, i], f[Y, j] - f[SWEEP_Y, i]
            across = rx * f[SWEEP_DY, i] - ry * f[SWEEP_DX, i]
            if across * across <= reach * reach:
                position = rx * f[SWEEP_DX, i] + ry * f[SWEEP_DY, i]
                a, b = position - along, position + along
                if k[SWEPT_A, i] & bit == 0 and across * across + a * a <= reach * reach:
                    k[SWEPT_A, i] |= bit
                    k[BURNS_A + row, i] |= bit
                if k[SWEPT_B, i] & bit == 0 and across * across + b * b <= reach * reach:
                    k[SWEPT_B, i] |= bit
                    k[BURNS_B + row, i] |= bit
        bit <<= 1
