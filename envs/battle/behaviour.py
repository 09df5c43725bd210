"""One loop of a unit: it chooses a target, fights or walks. Rules: docs/battlefield.md."""

from __future__ import annotations

import numpy as np

from envs.battle.combat import begin_attack, continue_blows, gap, turn_to, wind_up
from envs.battle.fields import (
    ACQUIRES,
    ALIVE,
    ATTACK_GROUP,
    ATTACK_MOVE,
    ATTACK_UNIT,
    BACKSWING,
    BIOLOGICAL,
    CHANNELLING,
    CLEARANCE,
    COOLDOWN,
    ENERGY,
    ENERGY_MAX,
    ENERGY_REGENERATION,
    FIRST_FOE,
    FIXED,
    GOAL_X,
    GOAL_Y,
    HEAL,
    HEAL_BEAM,
    HEALTH,
    HEALTH_MAX,
    HIT_AGO,
    HOLD,
    LAST_FOE,
    MOVE,
    ORDER,
    ORDER_TARGET,
    OTHER_AGO,
    PHASE,
    PLANE,
    RANGE,
    READY,
    REGENERATION,
    ROUTE,
    ROUTE_AT,
    SHIELD,
    SHIELD_MAX,
    SHIELD_REGENERATION,
    SHIELD_WAIT,
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
from envs.battle.medivac import act_medivac
from envs.battle.movement import walk
from envs.battle.targets import acquire, can_attack, closest
from envs.battle.terrain import SIZE, next_point, reachable_point
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper
from envs.smac.rng import Seeds


@helper
def give_order(f: Reals, k: Ints, w: World, i: int, order: int, target: int, x: float, y: float) -> None:
    """Replace the order of unit i; an order that it cannot carry out changes nothing."""
    if order == ATTACK_UNIT:
        if target < 0 or k[ALIVE, target] == 0 or not can_attack(w, i, target):
            return
        if k[TARGET, i] == target:  # it attacks that target already: the attack goes on
            k[ORDER, i], k[ORDER_TARGET, i] = order, target
            return
    elif order == HEAL:
        mends = w.t[WEAPON, i] == HEAL_BEAM and target >= 0 and target != i
        if (
            not mends
            or w.t[TEAM, target] != w.t[TEAM, i]
            or k[ALIVE, target] == 0
            or w.t[BIOLOGICAL, target] == 0
        ):
            return
        if k[TARGET, i] == target:
            k[ORDER, i], k[ORDER_TARGET, i] = order, target
            return
    elif order in (MOVE, ATTACK_MOVE):
        x, y = reachable_point(w.terrain, w.t[PLANE, i], x, y, w.s[CLEARANCE, i])
    k[ORDER, i] = order
    k[ORDER_TARGET, i] = k[TARGET, i] = target if order in (ATTACK_UNIT, HEAL) else -1
    k[PHASE, i] = READY
    f[BACKSWING, i] = 0.0
    k[STEER_LOOPS, i] = 0
    f[GOAL_X, i], f[GOAL_Y, i] = x, y


@helper
def hunt(f: Reals, k: Ints, w: World) -> None:
    """Order the enemies that do nothing to attack the closest agent, centre to centre, if they can."""
    for i in range(w.n_agents, f.shape[1]):
        if k[ALIVE, i] == 0 or k[ORDER, i] != STOP or k[TARGET, i] >= 0:
            continue
        closest_agent, best = -1, np.inf
        for j in range(w.n_agents):
            if k[ALIVE, j] != 0:
                dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
                if dx * dx + dy * dy < best:
                    closest_agent, best = j, dx * dx + dy * dy
        give_order(f, k, w, i, ATTACK_UNIT, closest_agent, 0.0, 0.0)


@helper
def tick(f: Reals, k: Ints, w: World, i: int) -> None:
    """One loop of unit i's clocks: weapon, backswing, shields, regeneration, energy, the last hit."""
    k[HIT_AGO, i] += 1
    k[OTHER_AGO, i] += 1
    f[COOLDOWN, i] = f[COOLDOWN, i] - 1.0 if f[COOLDOWN, i] > 0.0 else 0.0
    if f[BACKSWING, i] > 0.0:
        f[BACKSWING, i] -= 1.0
    if f[SHIELD_WAIT, i] > 0.0:
        f[SHIELD_WAIT, i] -= 1.0
    elif f[SHIELD, i] < w.s[SHIELD_MAX, i]:
        f[SHIELD, i] = min(f[SHIELD, i] + w.s[SHIELD_REGENERATION, i], w.s[SHIELD_MAX, i])
    if w.s[REGENERATION, i] > 0.0 and f[HEALTH, i] > 0.0:  # a killed unit is buried at the loop's end
        f[HEALTH, i] = min(f[HEALTH, i] + w.s[REGENERATION, i], w.s[HEALTH_MAX, i])
    if w.t[WEAPON, i] == HEAL_BEAM:
        f[ENERGY, i] = min(f[ENERGY, i] + w.s[ENERGY_REGENERATION, i], w.s[ENERGY_MAX, i])


@helper
def _ordered_target(f: Reals, k: Ints, w: World, i: int) -> int:
    """The target of unit i's order; once it is dead, the group's next one, else the order ends.

    The units of a group share out the opponents; when one is dead, they take the closest.
    """
    j = k[ORDER_TARGET, i]
    if j >= 0 and k[ALIVE, j] != 0:
        return int(j)
    if k[ORDER, i] == ATTACK_GROUP:
        shared = w.t[FIRST_FOE, i] + i % (w.t[LAST_FOE, i] - w.t[FIRST_FOE, i])
        if j < 0 and k[ALIVE, shared] != 0 and can_attack(w, i, shared):
            j = shared
        else:
            j = closest(f, k, w, i, np.inf)
        k[ORDER_TARGET, i] = j
        if j >= 0:
            return int(j)
    k[ORDER, i], k[ORDER_TARGET, i] = STOP, -1
    return -1


@helper
def _on_route(f: Reals, k: Ints, w: World, i: int, goal_x: float, goal_y: float) -> bool:
    """Whether unit i still walks along the enemies' common way; skips cells that it need not reach."""
    plane = w.t[PLANE, i]
    while k[ROUTE_AT, i] < f.shape[1] and k[ROUTE, k[ROUTE_AT, i]] >= 0:
        at = k[ROUTE_AT, i]
        last = at + 1 >= f.shape[1] or k[ROUTE, at + 1] < 0
        gx, gy = goal_x, goal_y
        if not last:
            gx, gy = k[ROUTE, at + 1] // SIZE + 0.5, k[ROUTE, at + 1] % SIZE + 0.5
        px, py = next_point(w.terrain, plane, f[X, i], f[Y, i], gx, gy, w.s[CLEARANCE, i])
        if px != gx or py != gy:
            return True
        k[ROUTE_AT, i] += 1
    return False


@helper
def act(f: Reals, k: Ints, w: World, rng: Seeds, i: int, loop: int) -> None:
    """One loop of living unit i, positions as they were at its start; walks are planned, not made."""
    k[FIXED, i] = 0
    if w.t[WEAPON, i] == HEAL_BEAM:
        act_medivac(f, k, w, i, loop)
        return
    if k[PHASE, i] == CHANNELLING:
        k[FIXED, i] = 1
        continue_blows(f, k, w, i)
        return
    if k[PHASE, i] == WINDING_UP and wind_up(f, k, w, rng, i):
        k[FIXED, i] = 1
        return
    order = k[ORDER, i]
    target = -1
    if order in (ATTACK_UNIT, ATTACK_GROUP):
        target = _ordered_target(f, k, w, i)
        order = k[ORDER, i]
    elif order == ATTACK_MOVE or (order != MOVE and w.t[ACQUIRES, i] != 0):
        target = acquire(f, k, w, i, loop)
    k[TARGET, i] = target
    if target >= 0:
        if gap(f, w, i, target) <= w.s[RANGE, i]:
            k[FIXED, i] = 1
            if turn_to(f, w, i, target) and f[COOLDOWN, i] <= 0.0:
                begin_attack(f, k, w, rng, i, target)
        elif f[BACKSWING, i] > 0.0:
            k[FIXED, i] = 1
        elif order != HOLD and w.s[STEP, i] > 0.0:
            if order == ATTACK_GROUP and _on_route(f, k, w, i, f[X, target], f[Y, target]):
                cell = k[ROUTE, k[ROUTE_AT, i]]
                walk(f, k, w, i, cell // SIZE + 0.5, cell % SIZE + 0.5, -1)
            else:
                walk(f, k, w, i, f[X, target], f[Y, target], target)
    elif (order in (MOVE, ATTACK_MOVE)) and w.s[STEP, i] > 0.0:
        if f[BACKSWING, i] > 0.0:
            k[FIXED, i] = 1
        elif walk(f, k, w, i, f[GOAL_X, i], f[GOAL_Y, i], -1) and (order == MOVE or w.t[TEAM, i] == 0):
            k[ORDER, i] = STOP  # enemies stay at their place, and come back to it
