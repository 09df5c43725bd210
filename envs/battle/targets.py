"""Which opponent a unit fights that chooses its targets itself. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.combat import gap
from envs.battle.fields import (
    ALIVE,
    FIRST_FOE,
    HIT_AGO,
    LAST_ATTACKER,
    LAST_FOE,
    OTHER_AGO,
    OTHER_ATTACKER,
    RADIUS,
    RANGE,
    SCAN,
    SCAN_LOOP,
    TARGET,
    TEAM,
    X,
    Y,
)
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper

SCAN_EVERY_LOOPS: Final = 8
ANSWER_LOOPS: Final = 3
"""How long after a hit a unit turns on its attacker, and its team mates come to help."""
HELP_CELLS: Final = 4.0  # centre to centre: a unit helps team mates this close
CHASE_CELLS: Final = 7.0  # edge to edge: a unit follows a target this far, or as far as it finds one
MEMORY_LOOPS: Final = 45
"""How long after a hit a unit whose target has died still goes for the attacker."""


@helper
def scans(k: Ints, i: int, loop: int) -> bool:
    """Whether unit i looks for a target, or a patient, in this loop."""
    return bool((loop - k[SCAN_LOOP, i]) % SCAN_EVERY_LOOPS == 0)


@helper
def can_attack(w: World, i: int, j: int) -> bool:
    """Whether unit i's weapon can attack unit j: of the other team, on a plane that it reaches."""
    return bool(w.damage[i, j] > 0.0)


@helper
def closest(f: Reals, k: Ints, w: World, i: int, within: float) -> int:
    """The closest opponent within `within` cells, edge to edge; -1 none."""
    best, reach = -1, within
    for j in range(w.t[FIRST_FOE, i], w.t[LAST_FOE, i]):
        if k[ALIVE, j] == 0 or not can_attack(w, i, j):
            continue
        dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
        limit = reach + w.s[RADIUS, i] + w.s[RADIUS, j]
        if dx * dx + dy * dy <= limit * limit:
            best, reach = j, gap(f, w, i, j)
    return int(best)


@helper
def _attacker(k: Ints, w: World, i: int, of: int) -> int:
    """The unit that has just hit unit `of`, if it lives and unit i can attack it; -1 none."""
    j = k[LAST_ATTACKER, of]
    if j < 0 or k[HIT_AGO, of] > ANSWER_LOOPS or k[ALIVE, j] == 0 or not can_attack(w, i, j):
        return -1
    return int(j)


@helper
def _to_help(f: Reals, k: Ints, w: World, i: int) -> int:
    """The attacker of the closest team mate that calls for help; -1 none."""
    best, best_distance = -1, HELP_CELLS
    for mate in range(f.shape[1]):
        if k[HIT_AGO, mate] > ANSWER_LOOPS or k[ALIVE, mate] == 0 or w.t[TEAM, mate] != w.t[TEAM, i]:
            continue
        j = _attacker(k, w, i, mate)
        if j >= 0:
            dx, dy = f[X, mate] - f[X, i], f[Y, mate] - f[Y, i]
            distance = np.sqrt(dx * dx + dy * dy)
            if distance <= best_distance:
                best, best_distance = j, distance
    return int(best)


@helper
def _remembered(f: Reals, k: Ints, w: World, i: int) -> int:
    """The last attacker of unit i that lives, if its hit is not long ago and it is not far; -1 none."""
    for who, ago in ((LAST_ATTACKER, HIT_AGO), (OTHER_ATTACKER, OTHER_AGO)):
        j = k[who, i]
        if j < 0 or k[ago, i] > MEMORY_LOOPS or k[ALIVE, j] == 0 or not can_attack(w, i, j):
            continue
        if gap(f, w, i, j) <= max(CHASE_CELLS, w.s[SCAN, i]):
            return int(j)
    return -1


@helper
def acquire(f: Reals, k: Ints, w: World, i: int, loop: int) -> int:
    """The target that unit i chooses itself; -1 none.

    It keeps a target in range, unless another unit in range hits it while its target does not fight it. One
    out of range it leaves for any unit that hits it, unless that target fights it. All units of a battle look
    for the closest in the same loop of every eight; attacks and calls for help are answered at once.
    """
    j = k[TARGET, i]
    killed = j >= 0 and k[ALIVE, j] == 0
    away = np.inf
    if killed:
        j = -1
    elif j >= 0:
        away = gap(f, w, i, j)
        if away > max(CHASE_CELLS, w.s[SCAN, i]):
            j = -1
    attacker = _attacker(k, w, i, i)
    if attacker >= 0 and attacker != j:
        if j < 0:
            return attacker
        reach = w.s[RANGE, i]
        if k[TARGET, j] != i and (away > reach or gap(f, w, i, attacker) <= reach):
            return attacker
    if j >= 0 and away <= w.s[RANGE, i]:
        return int(j)
    if killed or scans(k, i, loop):
        found = closest(f, k, w, i, w.s[SCAN, i])
        if found >= 0:
            return found
    if j >= 0:
        return int(j)
    if killed:
        remembered = _remembered(f, k, w, i)
        if remembered >= 0:
            return remembered
    return _to_help(f, k, w, i)
