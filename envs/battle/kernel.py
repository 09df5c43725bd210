"""The simulator's entries from Python: start battles, read actions, play steps, write observations.

Battles are independent: `play` works on battles `first` to `last` (exclusive) and may run in several threads
at once on disjoint ranges. Arrays: world.py, fields.py. Rules: docs/battlefield.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.behaviour import act, closest, give_order, tick
from envs.battle.combat import SWEEP_POINTS, bury, fly_projectiles, sweep
from envs.battle.fields import (
    ALIVE,
    ATTACK_GROUP,
    ATTACK_MOVE,
    ATTACK_UNIT,
    CLEARANCE,
    COOLDOWN,
    ENERGY,
    ENERGY_START,
    FACING_X,
    GOAL_X,
    GOAL_Y,
    HEAL,
    HEAL_BEAM,
    HEALTH,
    HEALTH_BEFORE,
    HEALTH_MAX,
    HIT_AGO,
    LANCES,
    LAST_ATTACKER,
    MOVE,
    ORDER,
    ORDER_TARGET,
    OTHER_AGO,
    OTHER_ATTACKER,
    PLANE,
    ROUTE,
    ROUTE_AT,
    SCAN_LOOP,
    SHIELD,
    SHIELD_BEFORE,
    SHIELD_MAX,
    SHOT_AT,
    SHOT_TARGET,
    STOP,
    SWEEP_POINT,
    TARGET,
    TYPE,
    WEAPON,
    X,
    Y,
)
from envs.battle.movement import collide, move_all
from envs.battle.rng import seed_stream, uniform
from envs.battle.terrain import SIZE, next_point, reachable_point
from envs.battle.world import Battles, Bools, Floats, Ints, Orders, Reals, Seeds, Views, World
from envs.compiled import helper, kernel
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, MOVE_CELLS, NORTH
from envs.smac.layout import LayoutTables, write_views
from envs.smac.reward import RUNNING, WON, battle_outcome, step_reward
from envs.smac.units import LOOPS_PER_STEP

GRID_PER_CELL: Final = 4096.0
LONG_AGO: Final = 1 << 30


@helper
def _snap(f: Reals) -> None:
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
def simulate(f: Reals, k: Ints, w: World, rng: Seeds, first_loop: int, loops: int) -> None:
    """Play `loops` game loops of one battle; parting them over several calls changes nothing."""
    for loop in range(first_loop, first_loop + loops):
        if loop % LOOPS_PER_STEP == 0:
            for i in range(f.shape[1]):
                k[SHOT_AT, i] = -1
        fly_projectiles(f, k, w)
        for i in range(f.shape[1]):
            if w.t[WEAPON, i] == LANCES:
                sweep(f, k, w, i, loop)
            if k[ALIVE, i] != 0:
                tick(f, k, w, i)
        if w.rules[19] == 0:
            for i in range(f.shape[1]):
                if k[ALIVE, i] != 0:
                    act(f, k, w, rng, i, loop)
            move_all(f, k, w, 0, f.shape[1])
        elif w.rules[19] == 1:
            for i in range(w.n_agents):
                if k[ALIVE, i] != 0:
                    act(f, k, w, rng, i, loop)
            move_all(f, k, w, 0, w.n_agents)
            for i in range(w.n_agents, f.shape[1]):
                if k[ALIVE, i] != 0:
                    act(f, k, w, rng, i, loop)
            move_all(f, k, w, w.n_agents, f.shape[1])
        elif w.rules[19] == 2:
            for i in range(f.shape[1]):
                if k[ALIVE, i] != 0:
                    act(f, k, w, rng, i, loop)
                move_all(f, k, w, i, i + 1)
        elif w.rules[19] == 3:
            for i in range(w.n_agents, f.shape[1]):
                if k[ALIVE, i] != 0:
                    act(f, k, w, rng, i, loop)
            move_all(f, k, w, w.n_agents, f.shape[1])
            for i in range(w.n_agents):
                if k[ALIVE, i] != 0:
                    act(f, k, w, rng, i, loop)
            move_all(f, k, w, 0, w.n_agents)
        collide(f, k, w)
        _snap(f)
        bury(f, k, w)


@helper
def _place(f: Reals, w: World, rng: Seeds, turned: bool) -> None:
    """Put every unit on its site; `turned`: by a random angle around the spawn points."""
    angle = 2.0 * np.pi * uniform(rng) if turned else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    for i in range(f.shape[1]):
        px, py, ox, oy = w.sites[i]
        x, y = px + ox * cos - oy * sin, py + ox * sin + oy * cos
        f[X, i], f[Y, i] = reachable_point(w.terrain, w.t[PLANE, i], x, y, w.s[CLEARANCE, i])


@helper
def _march(f: Reals, k: Ints, w: World, rng: Seeds) -> None:
    """Give the enemies their one order: they march to its point in formation, each to its own place there."""
    share = uniform(rng)
    x = w.enemy_points[0, 0] + share * (w.enemy_points[1, 0] - w.enemy_points[0, 0])
    y = w.enemy_points[0, 1] + share * (w.enemy_points[1, 1] - w.enemy_points[0, 1])
    n = f.shape[1] - w.n_agents
    if w.rules[12] != 0:
        x -= f[X, w.n_agents :].sum() / n
        y -= f[Y, w.n_agents :].sum() / n
    for i in range(w.n_agents, f.shape[1]):
        gx, gy = x, y
        if w.rules[12] != 0:
            gx, gy = x + f[X, i], y + f[Y, i]
        gx, gy = (
            np.floor(gx * GRID_PER_CELL + 0.5) / GRID_PER_CELL,
            np.floor(gy * GRID_PER_CELL + 0.5) / GRID_PER_CELL,
        )
        give_order(f, k, w, i, w.enemy_order, -1, gx, gy)


@helper
def _number_agents(f: Reals, w: World) -> None:
    """Order agents of one type by x, then y, as SMAC gives out agent ids."""
    for i in range(1, w.n_agents):
        j = i
        while j > 0 and w.t[TYPE, j - 1] == w.t[TYPE, j]:
            later = f[X, j - 1] > f[X, j] or (f[X, j - 1] == f[X, j] and f[Y, j - 1] > f[Y, j])
            if not later:
                break
            f[X, j - 1], f[X, j] = f[X, j], f[X, j - 1]
            f[Y, j - 1], f[Y, j] = f[Y, j], f[Y, j - 1]
            j -= 1


@helper
def _find_route(f: Reals, k: Ints, w: World) -> None:
    """The way of the first enemy to its goal, which all enemies take: they were ordered as a group."""
    lead, n = w.n_agents, f.shape[1]
    for i in range(n):
        k[ROUTE, i] = -1
        k[ROUTE_AT, i] = 0
    if w.rules[23] == 0 or k[ORDER, lead] not in (ATTACK_MOVE, ATTACK_GROUP):
        return
    x, y, plane = f[X, lead], f[Y, lead], w.t[PLANE, lead]
    goal_x, goal_y = f[GOAL_X, lead], f[GOAL_Y, lead]
    if k[ORDER, lead] == ATTACK_GROUP:
        j = closest(f, k, w, lead, np.inf)
        goal_x, goal_y = f[X, j], f[Y, j]
    for step in range(n):
        px, py = next_point(w.terrain, plane, x, y, goal_x, goal_y, w.s[CLEARANCE, lead])
        if px == goal_x and py == goal_y:
            break
        cell = int(px) * SIZE + int(py)
        if step > 0 and cell == k[ROUTE, step - 1]:
            break
        k[ROUTE, step] = cell
        x, y = px, py


@kernel
def start_battles(battles: Battles, w: World, mask: Bools, seed: np.uint64, turned: bool) -> None:
    """Begin episode battles.episode[b] in every battle b of `mask`; the enemies get their one order."""
    for b in range(len(mask)):
        if not mask[b]:
            continue
        f, k, rng = battles.f[b], battles.k[b], battles.rng[b : b + 1]
        seed_stream(rng, seed, np.uint64(battles.episode[b]))
        f[:] = 0.0
        k[:] = 0
        _place(f, w, rng, turned)
        _snap(f)
        _number_agents(f, w)
        for i in range(f.shape[1]):
            k[ALIVE, i] = 1
            k[ORDER_TARGET, i] = k[TARGET, i] = k[SHOT_TARGET, i] = k[LAST_ATTACKER, i] = k[SHOT_AT, i] = -1
            f[HEALTH, i], f[SHIELD, i] = w.s[HEALTH_MAX, i], w.s[SHIELD_MAX, i]
            f[ENERGY, i] = w.s[ENERGY_START, i]
        scan = int(LOOPS_PER_STEP * uniform(rng))
        if w.rules[13] != 0:
            scan = int(w.rules[13]) - 1
        for i in range(f.shape[1]):
            k[SCAN_LOOP, i], k[SWEEP_POINT, i] = scan, SWEEP_POINTS
            k[HIT_AGO, i] = k[OTHER_AGO, i] = LONG_AGO
            k[OTHER_ATTACKER, i] = -1
            f[FACING_X, i] = 1.0
        _march(f, k, w, rng)
        _find_route(f, k, w)
        simulate(f, k, w, rng, -1, 1)  # the first observation comes a loop later
        battles.loops[b] = 0
        battles.terminated[b] = battles.truncated[b] = battles.won[b] = False


@kernel
def read_actions(actions: Ints, avail: Bools, battles: Battles, w: World, orders: Orders) -> int:
    """Turn actions [B, N] into orders.

    Returns -1, or b * N + i of the first action that is not available; then `orders` must not be used.
    """
    n_agents, n_actions = actions.shape[1], avail.shape[2]
    for b in range(len(actions)):
        if battles.terminated[b] or battles.truncated[b]:
            continue
        for i in range(n_agents):
            action = actions[b, i]
            if action < 0 or action >= n_actions or not avail[b, i, action]:
                return int(b * n_agents + i)
            orders.target[b, i] = -1
            orders.point[b, i, 0] = orders.point[b, i, 1] = 0.0
            if action < NORTH:
                orders.order[b, i] = STOP
            elif action < FIRST_ATTACK:
                orders.order[b, i] = MOVE
                dx, dy = DIRECTIONS[action]
                orders.point[b, i, 0] = battles.f[b, X, i] + dx * MOVE_CELLS
                orders.point[b, i, 1] = battles.f[b, Y, i] + dy * MOVE_CELLS
            elif w.t[WEAPON, i] == HEAL_BEAM:
                orders.order[b, i], orders.target[b, i] = HEAL, action - FIRST_ATTACK
            else:
                orders.order[b, i], orders.target[b, i] = ATTACK_UNIT, n_agents + action - FIRST_ATTACK
    return -1


@helper
def _show(f: Reals, w: World, tables: LayoutTables, obs: Floats, state: Floats, avail: Bools) -> None:
    write_views(
        tables, w.t[TYPE], f[X], f[Y], f[HEALTH], f[SHIELD], f[ENERGY], f[COOLDOWN], obs, state, avail
    )


@kernel
def show(first: int, last: int, battles: Battles, w: World, tables: LayoutTables, views: Views) -> None:
    """Write the output of battles `first` to `last` now, with reward 0."""
    for b in range(first, last):
        views.reward[b] = 0.0
        _show(battles.f[b], w, tables, views.obs[b], views.state[b], views.avail[b])


@helper
def _judge(b: int, battles: Battles, w: World, tables: LayoutTables, views: Views) -> None:
    """Reward of the step just played, and whether it ended the battle."""
    f = battles.f[b]
    outcome = battle_outcome(tables, w.t[TYPE], f[HEALTH])
    battles.terminated[b] = outcome != RUNNING
    battles.truncated[b] = outcome == RUNNING and battles.loops[b] >= w.episode_limit * LOOPS_PER_STEP
    battles.won[b] = outcome == WON
    views.reward[b] = step_reward(
        tables, f[HEALTH], f[SHIELD], f[HEALTH_BEFORE], f[SHIELD_BEFORE], outcome == WON
    )


@kernel
def play(
    first: int,
    last: int,
    battles: Battles,
    w: World,
    orders: Orders,
    loops: int,
    tables: LayoutTables,
    views: Views,
) -> None:
    """Give the orders to battles `first` to `last`, play `loops` game loops, and show them.

    A battle that has ended stays as it is, with reward 0.
    """
    for b in range(first, last):
        f, k = battles.f[b], battles.k[b]
        views.reward[b] = 0.0
        if not (battles.terminated[b] or battles.truncated[b]):
            for i in range(w.n_agents):
                order = orders.order[b, i]
                if k[ALIVE, i] != 0 and order >= 0:
                    x, y = orders.point[b, i]
                    give_order(f, k, w, i, order, orders.target[b, i], x, y)
            for i in range(f.shape[1]):
                f[HEALTH_BEFORE, i], f[SHIELD_BEFORE, i] = f[HEALTH, i], f[SHIELD, i]
            simulate(f, k, w, battles.rng[b : b + 1], battles.loops[b], loops)
            battles.loops[b] += loops
            _judge(b, battles, w, tables, views)
        _show(f, w, tables, views.obs[b], views.state[b], views.avail[b])
