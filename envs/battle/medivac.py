"""One loop of a medivac: it heals, or follows its group. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.combat import gap, heal
from envs.battle.fields import (
    ACCELERATION,
    ACQUIRES,
    ALIVE,
    ATTACK_MOVE,
    BIOLOGICAL,
    GOAL_X,
    GOAL_Y,
    HEAL,
    HEAL_BEAM,
    HEALING,
    HEALTH,
    HEALTH_MAX,
    HOLD,
    MOVE,
    NO_WEAPON,
    ORDER,
    ORDER_TARGET,
    PHASE,
    RANGE,
    READY,
    SCAN,
    SLOP,
    SPEED,
    STOP,
    TARGET,
    TEAM,
    WEAPON,
    X,
    Y,
)
from envs.battle.movement import JUST_INSIDE_CELLS, walk
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper

FOLLOW_CELLS: Final = 0.5


@helper
def _patient(f: Reals, k: Ints, w: World, i: int) -> int:
    """The injured biological team mate closest to medivac i within reach of its scan; -1 none."""
    best, best_gap = -1, w.s[SCAN, i]
    for j in range(f.shape[1]):
        if k[ALIVE, j] == 0 or w.t[TEAM, j] != w.t[TEAM, i] or w.t[BIOLOGICAL, j] == 0:
            continue
        if f[HEALTH, j] < w.s[HEALTH_MAX, j]:
            distance = gap(f, w, i, j)
            if distance <= best_gap:
                best, best_gap = j, distance
    return best


@helper
def _leader(f: Reals, k: Ints, w: World, i: int) -> int:
    """The fighting team mate closest to medivac i; -1 none."""
    best, best_gap = -1, np.inf
    for j in range(f.shape[1]):
        armed = w.t[WEAPON, j] != HEAL_BEAM and w.t[WEAPON, j] != NO_WEAPON
        if k[ALIVE, j] != 0 and w.t[TEAM, j] == w.t[TEAM, i] and armed:
            distance = gap(f, w, i, j)
            if distance < best_gap:
                best, best_gap = j, distance
    return best


@helper
def act_medivac(f: Reals, k: Ints, w: World, i: int) -> None:
    """One loop of medivac i: it heals the unit of its order or the closest injured, else follows or walks."""
    order = k[ORDER, i]
    j = -1
    if order == HEAL:
        j = k[ORDER_TARGET, i]
        if k[ALIVE, j] == 0:
            k[ORDER, i], k[ORDER_TARGET, i], j = STOP, -1, -1
    elif order == ATTACK_MOVE or (w.t[ACQUIRES, i] != 0 and order != MOVE):
        j = _patient(f, k, w, i)
    k[TARGET, i] = j
    if j >= 0:
        away = gap(f, w, i, j) - w.s[RANGE, i]
        if away > 0.0 and order != HOLD:
            walk(f, k, w, i, f[X, j], f[Y, j], away + JUST_INSIDE_CELLS, j)
            away -= f[SPEED, i]  # it also heals while it walks, if it keeps up
        else:
            _brake(f, w, i)
        if away <= (w.s[SLOP, i] if k[PHASE, i] == HEALING else 0.0):
            heal(f, k, w, i, j)
        else:
            k[PHASE, i] = READY
        return
    k[PHASE, i] = READY
    mate = _leader(f, k, w, i) if order == ATTACK_MOVE else -1
    if mate >= 0:
        away = gap(f, w, i, mate) - FOLLOW_CELLS
        if away > 0.0:
            walk(f, k, w, i, f[X, mate], f[Y, mate], away, mate)
        else:
            _brake(f, w, i)
    elif order in (MOVE, ATTACK_MOVE):
        if walk(f, k, w, i, f[GOAL_X, i], f[GOAL_Y, i], np.inf, -1):
            k[ORDER, i] = STOP
    else:
        _brake(f, w, i)


@helper
def _brake(f: Reals, w: World, i: int) -> None:
    """Slow down as fast as a walk speeds up."""
    f[SPEED, i] = max(f[SPEED, i] - w.s[ACCELERATION, i], 0.0)
