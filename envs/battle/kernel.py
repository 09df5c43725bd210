"""The simulator's entries from Python: start battles, read actions, play a step, show what is seen.

Battles are independent: each entry works on battles `first` to `last` (exclusive) and may run in several
threads at once on disjoint ranges. Arrays, units and rules: fields.py, docs/battlefield.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from envs.battle.behaviour import act, give_order
from envs.battle.combat import Ints, Reals, bury, fly_projectiles
from envs.battle.compiled import helper, kernel
from envs.battle.fields import (
    ALIVE,
    ATTACK_UNIT,
    COOLDOWN,
    ENERGY,
    HEAL,
    HEAL_BEAM,
    HEALTH,
    HEALTH_BEFORE,
    HEALTH_MAX,
    LAST_ATTACKER,
    MOVE,
    ORDER_TARGET,
    PLANE,
    SHIELD,
    SHIELD_BEFORE,
    SHIELD_MAX,
    SHOT_AT,
    SHOT_TARGET,
    STOP,
    TARGET,
    TYPE,
    WEAPON,
    X,
    Y,
)
from envs.battle.movement import collide, move_all
from envs.battle.rng import UintArray, seed_stream, uniform
from envs.battle.terrain import Terrain, reachable_point
from envs.smac.layout import LayoutTables, write_views
from envs.smac.reward import RUNNING, WON, battle_outcome, step_reward
from envs.smac.units import LOOPS_PER_STEP

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]

JITTER_CELLS: Final = 0.2
START_ENERGY: Final = 50.0
MOVE_CELLS: Final = 2.0


@helper
def simulate(
    f: Reals,
    k: Ints,
    s: Reals,
    t: Ints,
    terrain: Terrain,
    damage: Reals,
    rng: UintArray,
    first_loop: int,
    loops: int,
) -> None:
    """Play `loops` game loops of one battle."""
    for i in range(f.shape[1]):
        k[SHOT_AT, i] = -1
    for loop in range(first_loop, first_loop + loops):
        fly_projectiles(f, k, s, damage)
        for i in range(f.shape[1]):
            if k[ALIVE, i] != 0:
                act(f, k, s, t, terrain, damage, rng, i, loop)
        move_all(f, k, t, terrain)
        collide(f, k, s, t, terrain)
        bury(f, k, s, t, damage)


@helper
def _place(
    f: Reals,
    t: Ints,
    terrain: Terrain,
    rng: UintArray,
    sites: Reals,
    turned: bool,
) -> None:
    """Put every unit on its site, sites [U, 4] = (point x, y, offset x, y), shaken by up to JITTER_CELLS.

    `turned` turns the offsets by one random angle around their points.
    """
    angle = 2.0 * np.pi * uniform(rng) if turned else 0.0
    cos, sin = np.cos(angle), np.sin(angle)
    for i in range(f.shape[1]):
        px, py, ox, oy = sites[i]
        x = px + ox * cos - oy * sin + JITTER_CELLS * (2.0 * uniform(rng) - 1.0)
        y = py + ox * sin + oy * cos + JITTER_CELLS * (2.0 * uniform(rng) - 1.0)
        f[X, i], f[Y, i] = reachable_point(terrain, t[PLANE, i], x, y)


@helper
def _number_agents(f: Reals, t: Ints, n_agents: int) -> None:
    """Order agents of one type by x, then y, as SMAC gives out agent ids."""
    for i in range(1, n_agents):
        j = i
        while j > 0 and t[TYPE, j - 1] == t[TYPE, j]:
            later = f[X, j - 1] > f[X, j] or (f[X, j - 1] == f[X, j] and f[Y, j - 1] > f[Y, j])
            if not later:
                break
            f[X, j - 1], f[X, j] = f[X, j], f[X, j - 1]
            f[Y, j - 1], f[Y, j] = f[Y, j], f[Y, j - 1]
            j -= 1


@kernel
def start_battles(
    mask: Bools,
    seed: np.uint64,
    episodes: Ints,
    F: Reals,
    K: Ints,
    s: Reals,
    t: Ints,
    terrain: Terrain,
    damage: Reals,
    rng: UintArray,
    sites: Reals,
    turned: bool,
    n_agents: int,
    enemy_order: int,
    enemy_points: Reals,
) -> None:
    """Begin episode episodes[b] in every battle b of `mask`; the enemies get their one order."""
    for b in range(len(mask)):
        if not mask[b]:
            continue
        f, k, stream = F[b], K[b], rng[b : b + 1]
        seed_stream(stream, seed, np.uint64(episodes[b]))
        f[:] = 0.0
        k[:] = 0
        _place(f, t, terrain, stream, sites, turned)
        _number_agents(f, t, n_agents)
        for i in range(f.shape[1]):
            k[ALIVE, i] = 1
            k[ORDER_TARGET, i] = k[TARGET, i] = k[SHOT_TARGET, i] = k[LAST_ATTACKER, i] = k[SHOT_AT, i] = -1
            f[HEALTH, i], f[SHIELD, i] = s[HEALTH_MAX, i], s[SHIELD_MAX, i]
            f[ENERGY, i] = START_ENERGY if t[WEAPON, i] == HEAL_BEAM else 0.0
        share = uniform(stream)
        for i in range(n_agents, f.shape[1]):
            x, y = enemy_points[0]
            x += share * (enemy_points[-1, 0] - x)
            y += share * (enemy_points[-1, 1] - y)
            give_order(f, k, t, terrain, damage, i, enemy_order, -1, x, y)


@kernel
def read_actions(
    actions: Ints,
    avail: Bools,
    ended: Bools,
    F: Reals,
    t: Ints,
    order: Ints,
    target: Ints,
    point: Reals,
) -> int:
    """Turn actions [B, N] into orders [B, N], targets [B, N] and points [B, N, 2].

    Returns -1, or b * N + i of the first action that is not available (then the orders are of no use).
    """
    n_agents, n_actions = actions.shape[1], avail.shape[2]
    for b in range(len(actions)):
        if ended[b]:
            continue
        for i in range(n_agents):
            action = actions[b, i]
            if action < 0 or action >= n_actions or not avail[b, i, action]:
                return int(b * n_agents + i)
            target[b, i] = -1
            if action <= 1:
                order[b, i] = STOP
            elif action < 6:
                order[b, i] = MOVE
                dx = MOVE_CELLS if action == 4 else (-MOVE_CELLS if action == 5 else 0.0)
                dy = MOVE_CELLS if action == 2 else (-MOVE_CELLS if action == 3 else 0.0)
                point[b, i, 0], point[b, i, 1] = F[b, X, i] + dx, F[b, Y, i] + dy
            elif t[WEAPON, i] == HEAL_BEAM:
                order[b, i], target[b, i] = HEAL, action - 6
            else:
                order[b, i], target[b, i] = ATTACK_UNIT, n_agents + action - 6
    return -1


@kernel
def show(
    first: int,
    last: int,
    tables: LayoutTables,
    F: Reals,
    K: Ints,
    t: Ints,
    obs: Floats,
    state: Floats,
    avail: Bools,
) -> None:
    """Write what battles `first` to `last` show: obs [B, N, O], state [B, S], avail [B, N, A]."""
    for b in range(first, last):
        _show(tables, F[b], t, obs[b], state[b], avail[b])


@helper
def _show(tables: LayoutTables, f: Reals, t: Ints, obs: Floats, state: Floats, avail: Bools) -> None:
    write_views(tables, t[TYPE], f[X], f[Y], f[HEALTH], f[SHIELD], f[ENERGY], f[COOLDOWN], obs, state, avail)


@kernel
def play(
    first: int,
    last: int,
    tables: LayoutTables,
    F: Reals,
    K: Ints,
    t: Ints,
    obs: Floats,
    state: Floats,
    avail: Bools,
    s: Reals,
    terrain: Terrain,
    damage: Reals,
    rng: UintArray,
    order: Ints,
    target: Ints,
    point: Reals,
    steps: Ints,
    episode_limit: int,
    reward: Floats,
    terminated: Bools,
    truncated: Bools,
    won: Bools,
) -> None:
    """Play one step of battles `first` to `last` with orders [B, N] (see `read_actions`), and show them.

    A battle that has ended stays as it is, with reward 0.
    """
    n_agents = order.shape[1]
    for b in range(first, last):
        f, k = F[b], K[b]
        reward[b] = 0.0
        if not (terminated[b] or truncated[b]):
            for i in range(n_agents):
                if k[ALIVE, i] != 0 and order[b, i] >= 0:
                    give_order(
                        f, k, t, terrain, damage, i, order[b, i], target[b, i], point[b, i, 0], point[b, i, 1]
                    )
            for i in range(f.shape[1]):
                f[HEALTH_BEFORE, i], f[SHIELD_BEFORE, i] = f[HEALTH, i], f[SHIELD, i]
            simulate(f, k, s, t, terrain, damage, rng[b : b + 1], steps[b] * LOOPS_PER_STEP, LOOPS_PER_STEP)
            steps[b] += 1
            _judge(b, f, t, tables, steps[b] >= episode_limit, reward, terminated, truncated, won)
        _show(tables, f, t, obs[b], state[b], avail[b])


@helper
def _judge(
    b: int,
    f: Reals,
    t: Ints,
    tables: LayoutTables,
    out_of_time: bool,
    reward: Floats,
    terminated: Bools,
    truncated: Bools,
    won: Bools,
) -> None:
    """Reward of the step just played, and whether it ended the battle."""
    outcome = battle_outcome(tables, t[TYPE], f[HEALTH])
    terminated[b] = outcome != RUNNING
    truncated[b] = out_of_time and outcome == RUNNING
    won[b] = outcome == WON
    reward[b] = step_reward(tables, f[HEALTH], f[SHIELD], f[HEALTH_BEFORE], f[SHIELD_BEFORE], won[b])
