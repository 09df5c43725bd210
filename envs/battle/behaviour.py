"""What a unit does in one loop: whom it fights, where it walks. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.combat import Ints, Reals, begin_attack, continue_channel, gap, heal, wind_up
from envs.battle.compiled import helper
from envs.battle.fields import (
    ACQUIRES,
    ALIVE,
    ATTACK_GROUP,
    ATTACK_MOVE,
    ATTACK_UNIT,
    BACKSWING,
    BIOLOGICAL,
    CHANNELLING,
    COOLDOWN,
    ENERGY,
    FIXED,
    GOAL_X,
    GOAL_Y,
    HEAL,
    HEAL_BEAM,
    HEALTH,
    HEALTH_MAX,
    HOLD,
    LAST_ATTACKER,
    MOVE,
    NO_WEAPON,
    ORDER,
    ORDER_TARGET,
    PHASE,
    PLANE,
    RANGE,
    READY,
    REGENERATION,
    SCAN,
    SHIELD,
    SHIELD_MAX,
    SHIELD_WAIT,
    SPEED,
    STEER_LOOPS,
    STEP,
    STOP,
    TARGET,
    TEAM,
    WEAPON,
    WINDING_UP,
    X,
    Y,
)
from envs.battle.movement import walk
from envs.battle.rng import UintArray
from envs.battle.terrain import Terrain, reachable_point

SHIELD_PER_LOOP: Final = 2.0 / 16
ENERGY_PER_LOOP: Final = 0.5625 / 16
ENERGY_MAX: Final = 200.0
SCAN_EVERY_LOOPS: Final = 4
HELP_CELLS: Final = 5.0  # edge to edge, within which team mates are helped against their attackers
AUTOCAST_CELLS: Final = 6.0
FOLLOW_CELLS: Final = 0.5
JUST_INSIDE: Final = (
    1e-3  # walked further than the edge of the range, so that rounding cannot leave one outside
)


@helper
def can_attack(damage: Reals, i: int, j: int) -> bool:
    """Whether unit i has a weapon for unit j (another team, a plane that it reaches)."""
    return bool(damage[i, j] > 0.0)


@helper
def give_order(
    f: Reals,
    k: Ints,
    t: Ints,
    terrain: Terrain,
    damage: Reals,
    i: int,
    order: int,
    target: int,
    x: float,
    y: float,
) -> None:
    """Replace the order of unit i; one that it cannot carry out is refused: it keeps what it has."""
    if order == ATTACK_UNIT:
        if target < 0 or k[ALIVE, target] == 0 or not can_attack(damage, i, target):
            return
        if k[TARGET, i] == target:  # told again, or told what it does: the attack goes on
            k[ORDER, i], k[ORDER_TARGET, i] = order, target
            return
    elif order == HEAL:
        mends = t[WEAPON, i] == HEAL_BEAM and target >= 0 and target != i
        if not mends or t[TEAM, target] != t[TEAM, i] or k[ALIVE, target] == 0 or t[BIOLOGICAL, target] == 0:
            return
        if k[TARGET, i] == target:
            k[ORDER, i], k[ORDER_TARGET, i] = order, target
            return
    elif order in (MOVE, ATTACK_MOVE):
        x, y = reachable_point(terrain, t[PLANE, i], x, y)
    k[ORDER, i] = order
    k[ORDER_TARGET, i] = k[TARGET, i] = target if order in (ATTACK_UNIT, HEAL) else -1
    k[PHASE, i] = READY
    f[BACKSWING, i] = 0.0
    k[STEER_LOOPS, i] = 0
    f[GOAL_X, i], f[GOAL_Y, i] = x, y


@helper
def _tick(f: Reals, s: Reals, t: Ints, i: int) -> None:
    """One loop of the clocks: weapon, backswing, shields, regeneration, energy."""
    f[COOLDOWN, i] = f[COOLDOWN, i] - 1.0 if f[COOLDOWN, i] > 0.0 else 0.0
    if f[BACKSWING, i] > 0.0:
        f[BACKSWING, i] -= 1.0
    if f[SHIELD_WAIT, i] > 0.0:
        f[SHIELD_WAIT, i] -= 1.0
    elif f[SHIELD, i] < s[SHIELD_MAX, i]:
        f[SHIELD, i] = min(f[SHIELD, i] + SHIELD_PER_LOOP, s[SHIELD_MAX, i])
    if s[REGENERATION, i] > 0.0:
        f[HEALTH, i] = min(f[HEALTH, i] + s[REGENERATION, i], s[HEALTH_MAX, i])
    if t[WEAPON, i] == HEAL_BEAM:
        f[ENERGY, i] = min(f[ENERGY, i] + ENERGY_PER_LOOP, ENERGY_MAX)


@helper
def _closest(f: Reals, k: Ints, s: Reals, damage: Reals, i: int, within: float) -> int:
    """Whom unit i acquires within `within` cells: who targets it first, then the closest; -1 none."""
    best, best_gap, best_aims = -1, within, False
    for j in range(f.shape[1]):
        if k[ALIVE, j] != 0 and can_attack(damage, i, j):
            distance = gap(f, s, i, j)
            if distance > within:
                continue
            aims = k[TARGET, j] == i
            if (aims and not best_aims) or (aims == best_aims and distance <= best_gap):
                best, best_gap, best_aims = j, distance, aims
    return best


@helper
def _attacker_to_answer(f: Reals, k: Ints, s: Reals, t: Ints, damage: Reals, i: int) -> int:
    """Who attacked unit i last, else who attacked the closest team mate that calls for help; -1 nobody."""
    j = k[LAST_ATTACKER, i]
    if j >= 0 and k[ALIVE, j] != 0 and can_attack(damage, i, j):
        return int(j)
    best, best_gap = -1, HELP_CELLS
    for mate in range(f.shape[1]):
        if k[ALIVE, mate] == 0 or t[TEAM, mate] != t[TEAM, i] or mate == i:
            continue
        j = k[LAST_ATTACKER, mate]
        if j >= 0 and k[ALIVE, j] != 0 and can_attack(damage, i, j):
            distance = gap(f, s, i, mate)
            if distance <= best_gap:
                best, best_gap = j, distance
    return int(best)


@helper
def _acquire(f: Reals, k: Ints, s: Reals, t: Ints, damage: Reals, i: int, loop: int) -> int:
    """The target of a unit that chooses its own; -1 none."""
    j = k[TARGET, i]
    lost = j >= 0 and k[ALIVE, j] == 0
    if lost:
        j = -1
    if j >= 0 and gap(f, s, i, j) <= s[RANGE, i]:
        return int(j)
    if lost or (loop + i) % SCAN_EVERY_LOOPS == 0:
        found = _closest(f, k, s, damage, i, s[SCAN, i])
        return found if found >= 0 else _attacker_to_answer(f, k, s, t, damage, i)
    return int(j)


@helper
def _ordered_target(f: Reals, k: Ints, s: Reals, damage: Reals, i: int) -> int:
    """The target that unit i was given; when it is dead the order ends, or the group's next is taken."""
    j = k[ORDER_TARGET, i]
    if j >= 0 and k[ALIVE, j] != 0:
        return int(j)
    if k[ORDER, i] == ATTACK_GROUP:
        j = _closest(f, k, s, damage, i, np.inf)
        k[ORDER_TARGET, i] = j
        if j >= 0:
            return int(j)
    k[ORDER, i], k[ORDER_TARGET, i] = STOP, -1
    return -1


@helper
def _patient(f: Reals, k: Ints, s: Reals, t: Ints, i: int) -> int:
    """The injured biological team mate closest to medivac i within autocast range; -1 none."""
    best, best_gap = -1, AUTOCAST_CELLS
    for j in range(f.shape[1]):
        if k[ALIVE, j] == 0 or t[TEAM, j] != t[TEAM, i] or t[BIOLOGICAL, j] == 0:
            continue
        if f[HEALTH, j] < s[HEALTH_MAX, j]:
            distance = gap(f, s, i, j)
            if distance <= best_gap:
                best, best_gap = j, distance
    return best


@helper
def _leader(f: Reals, k: Ints, s: Reals, t: Ints, i: int) -> int:
    """The fighting team mate closest to medivac i; -1 none."""
    best, best_gap = -1, np.inf
    for j in range(f.shape[1]):
        armed = t[WEAPON, j] != HEAL_BEAM and t[WEAPON, j] != NO_WEAPON
        if k[ALIVE, j] != 0 and t[TEAM, j] == t[TEAM, i] and armed:
            distance = gap(f, s, i, j)
            if distance < best_gap:
                best, best_gap = j, distance
    return best


@helper
def _act_medivac(f: Reals, k: Ints, s: Reals, t: Ints, terrain: Terrain, i: int) -> None:
    """One loop of a medivac: heal whom it was told to, or the closest injured; follow the group."""
    order = k[ORDER, i]
    j = -1
    if order == HEAL:
        j = k[ORDER_TARGET, i]
        if k[ALIVE, j] == 0:
            k[ORDER, i], k[ORDER_TARGET, i], j = STOP, -1, -1
    elif order == ATTACK_MOVE or (t[ACQUIRES, i] != 0 and order != MOVE):
        j = _patient(f, k, s, t, i)
    k[TARGET, i] = j
    if j >= 0:
        away = gap(f, s, i, j) - s[RANGE, i]
        if away <= 0.0:
            f[SPEED, i] = 0.0
            heal(f, k, s, i, j)
        else:
            k[PHASE, i] = READY
            if order != HOLD:
                walk(f, k, s, t, terrain, i, f[X, j], f[Y, j], away + JUST_INSIDE, j)
        return
    k[PHASE, i] = READY
    if order == ATTACK_MOVE:
        mate = _leader(f, k, s, t, i)
        if mate >= 0:
            away = gap(f, s, i, mate) - FOLLOW_CELLS
            if away > 0.0:
                walk(f, k, s, t, terrain, i, f[X, mate], f[Y, mate], away, mate)
            else:
                f[SPEED, i] = 0.0
            return
    if order in (MOVE, ATTACK_MOVE):
        if walk(f, k, s, t, terrain, i, f[GOAL_X, i], f[GOAL_Y, i], np.inf, -1):
            k[ORDER, i] = STOP
    else:
        f[SPEED, i] = 0.0


@helper
def act(
    f: Reals,
    k: Ints,
    s: Reals,
    t: Ints,
    terrain: Terrain,
    damage: Reals,
    rng: UintArray,
    i: int,
    loop: int,
) -> None:
    """One loop of living unit i, positions as they were at its start; walks are planned, not made."""
    k[FIXED, i] = 0
    _tick(f, s, t, i)
    if t[WEAPON, i] == HEAL_BEAM:
        _act_medivac(f, k, s, t, terrain, i)
        return
    if k[PHASE, i] == CHANNELLING:
        k[FIXED, i] = 1
        continue_channel(f, k, s, t, damage, i)
        return
    if k[PHASE, i] == WINDING_UP and wind_up(f, k, s, t, damage, rng, i):
        k[FIXED, i] = 1
        return
    order = k[ORDER, i]
    target = -1
    if order in (ATTACK_UNIT, ATTACK_GROUP):
        target = _ordered_target(f, k, s, damage, i)
        order = k[ORDER, i]
    elif order == ATTACK_MOVE or (order != MOVE and t[ACQUIRES, i] != 0):
        target = _acquire(f, k, s, t, damage, i, loop)
    k[TARGET, i] = target
    if target >= 0:
        away = gap(f, s, i, target) - s[RANGE, i]
        if away <= 0.0:
            k[FIXED, i] = 1
            if f[COOLDOWN, i] <= 0.0:
                begin_attack(f, k, s, t, damage, rng, i, target)
        elif f[BACKSWING, i] > 0.0:
            k[FIXED, i] = 1
        elif order != HOLD and s[STEP, i] > 0.0:
            walk(f, k, s, t, terrain, i, f[X, target], f[Y, target], away + JUST_INSIDE, target)
    elif (order in (MOVE, ATTACK_MOVE)) and s[STEP, i] > 0.0:
        if f[BACKSWING, i] > 0.0:
            k[FIXED, i] = 1
        elif walk(f, k, s, t, terrain, i, f[GOAL_X, i], f[GOAL_Y, i], np.inf, -1):
            k[ORDER, i] = STOP
