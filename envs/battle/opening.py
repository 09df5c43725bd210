"""How a battle begins: units on their sites, agents numbered, the enemies' order and their common way."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.behaviour import give_order
from envs.battle.collisions import snap
from envs.battle.combat import SWEEP_POINTS
from envs.battle.fields import (
    ALIVE,
    ATTACK_GROUP,
    CLEARANCE,
    ENERGY,
    ENERGY_START,
    FACING_X,
    HEALTH,
    HEALTH_MAX,
    HIT_AGO,
    LAST_ATTACKER,
    ORDER,
    ORDER_TARGET,
    OTHER_AGO,
    OTHER_ATTACKER,
    PLANE,
    ROUTE,
    SCAN_LOOP,
    SHIELD,
    SHIELD_MAX,
    SHOT_AT,
    SHOT_TARGET,
    SWEEP_POINT,
    TARGET,
    TYPE,
    X,
    Y,
)
from envs.battle.targets import SCAN_EVERY_LOOPS, closest
from envs.battle.terrain import SIZE, next_point, reachable_point
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper
from envs.smac.rng import Seeds, uniform

LONG_AGO: Final = 1 << 30


@helper
def open_battle(f: Reals, k: Ints, w: World, rng: Seeds, turned: bool) -> None:
    """Fill the arrays of a battle that begins: every unit on its site and whole, the enemies on their way.

    `turned`: the formation is turned by a random angle around the spawn points.
    """
    f[:] = 0.0
    k[:] = 0
    _place(f, w, rng, turned)
    _number_agents(f, w)
    scan_loop = int(SCAN_EVERY_LOOPS * uniform(rng))
    for i in range(f.shape[1]):
        k[ALIVE, i] = 1
        k[ORDER_TARGET, i] = k[TARGET, i] = k[SHOT_TARGET, i] = k[SHOT_AT, i] = -1
        k[LAST_ATTACKER, i] = k[OTHER_ATTACKER, i] = -1
        k[HIT_AGO, i] = k[OTHER_AGO, i] = LONG_AGO
        k[SCAN_LOOP, i], k[SWEEP_POINT, i], k[ROUTE, i] = scan_loop, SWEEP_POINTS, -1
        f[FACING_X, i] = 1.0
        f[HEALTH, i], f[SHIELD, i] = w.s[HEALTH_MAX, i], w.s[SHIELD_MAX, i]
        f[ENERGY, i] = w.s[ENERGY_START, i]
    _march(f, k, w, rng)
    _find_route(f, k, w)


@helper
def _place(f: Reals, w: World, rng: Seeds, turned: bool) -> None:
    """Put every unit on its site in one of the formations, drawn at random."""
    formation = int(len(w.sites) * uniform(rng))
    angle = 2.0 * np.pi * uniform(rng) if turned else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    for i in range(f.shape[1]):
        px, py, ox, oy = w.sites[formation, i]
        f[X, i], f[Y, i] = px + ox * cos - oy * sin, py + ox * sin + oy * cos
        if turned:
            f[X, i], f[Y, i] = reachable_point(w.terrain, w.t[PLANE, i], f[X, i], f[Y, i], w.s[CLEARANCE, i])
    snap(f)


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
def _march(f: Reals, k: Ints, w: World, rng: Seeds) -> None:
    """Give the enemies their one order: they march to its point in formation, each to its own place there."""
    share = uniform(rng)
    x = w.enemy_points[0, 0] + share * (w.enemy_points[1, 0] - w.enemy_points[0, 0])
    y = w.enemy_points[0, 1] + share * (w.enemy_points[1, 1] - w.enemy_points[0, 1])
    x -= f[X, w.n_agents :].mean()
    y -= f[Y, w.n_agents :].mean()
    for i in range(w.n_agents, f.shape[1]):
        give_order(f, k, w, i, w.enemy_order, -1, x + f[X, i], y + f[Y, i])


@helper
def _find_route(f: Reals, k: Ints, w: World) -> None:
    """Find the way of the first enemy to the agents: all that were ordered to attack the group take it."""
    lead = w.n_agents
    if k[ORDER, lead] != ATTACK_GROUP:
        return
    j = closest(f, k, w, lead, np.inf)
    if j < 0:
        return
    goal_x, goal_y = f[X, j], f[Y, j]
    x, y = f[X, lead], f[Y, lead]
    for step in range(f.shape[1]):
        px, py = next_point(w.terrain, w.t[PLANE, lead], x, y, goal_x, goal_y, w.s[CLEARANCE, lead])
        cell = int(px) * SIZE + int(py)
        if (px == goal_x and py == goal_y) or (step > 0 and cell == k[ROUTE, step - 1]):
            return
        k[ROUTE, step] = cell
        x, y = px, py
