"""One loop of a medivac: it heals, or flies on. Rules: docs/battlefield.md."""

from __future__ import annotations

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
    HEALING,
    HEALTH,
    HEALTH_MAX,
    HOLD,
    MOVE,
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
    X,
    Y,
)
from envs.battle.movement import walk
from envs.battle.targets import scans
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper


@helper
def _patient(f: Reals, k: Ints, w: World, i: int) -> int:
    """The most injured biological team mate within reach of medivac i's scan, by share of life; -1 none."""
    best, best_share, best_gap = -1, 1.0, 0.0
    for j in range(f.shape[1]):
        if k[ALIVE, j] == 0 or w.t[TEAM, j] != w.t[TEAM, i] or w.t[BIOLOGICAL, j] == 0:
            continue
        share = f[HEALTH, j] / w.s[HEALTH_MAX, j]
        if share >= 1.0:
            continue
        distance = gap(f, w, i, j)
        if distance > w.s[SCAN, i]:
            continue
        if best < 0 or share < best_share or (share == best_share and distance < best_gap):
            best, best_share, best_gap = j, share, distance
    return best


@helper
def _heals_on(f: Reals, k: Ints, w: World, i: int) -> bool:
    """Whether the unit that medivac i heals still needs it, and is within reach."""
    j = k[TARGET, i]
    if j < 0 or k[ALIVE, j] == 0 or f[HEALTH, j] >= w.s[HEALTH_MAX, j]:
        return False
    return bool(gap(f, w, i, j) <= w.s[SCAN, i])


@helper
def act_medivac(f: Reals, k: Ints, w: World, i: int, loop: int) -> None:
    """One loop of medivac i: it heals the unit of its order or the most injured near, else it flies on."""
    order = k[ORDER, i]
    j = -1
    if order == HEAL:
        j = k[ORDER_TARGET, i]
        if j < 0 or k[ALIVE, j] == 0:
            k[ORDER, i], k[ORDER_TARGET, i], j = STOP, -1, -1
    elif order == ATTACK_MOVE or (w.t[ACQUIRES, i] != 0 and order != MOVE):
        if _heals_on(f, k, w, i):
            j = k[TARGET, i]
        elif scans(k, i, loop):
            j = _patient(f, k, w, i)
    k[TARGET, i] = j
    if j >= 0:
        away = gap(f, w, i, j) - w.s[RANGE, i]
        if away > 0.0 and order != HOLD:
            walk(f, k, w, i, f[X, j], f[Y, j], j)
            away -= f[SPEED, i]  # it also heals while it flies, if it keeps up
        else:
            _brake(f, w, i)
        if away <= (w.s[SLOP, i] if k[PHASE, i] == HEALING else 0.0):
            heal(f, k, w, i, j)
        else:
            k[PHASE, i] = READY
        return
    k[PHASE, i] = READY
    if order in (MOVE, ATTACK_MOVE):
        if walk(f, k, w, i, f[GOAL_X, i], f[GOAL_Y, i], -1) and (order == MOVE or w.t[TEAM, i] == 0):
            k[ORDER, i] = STOP
    else:
        _brake(f, w, i)


@helper
def _brake(f: Reals, w: World, i: int) -> None:
    """Slow down as fast as a walk speeds up."""
    f[SPEED, i] = max(f[SPEED, i] - w.s[ACCELERATION, i], 0.0)
