"""The simulator's entries from Python: start battles, read actions, play steps, write observations.

Battles are independent: `play` works on battles `first` to `last` (exclusive) and may run in several threads
at once on disjoint ranges. Arrays: world.py, fields.py. Rules: docs/battlefield.md.
"""

from __future__ import annotations

import numpy as np

from envs.battle.behaviour import act, give_order, hunt, tick
from envs.battle.collisions import collide, snap
from envs.battle.combat import bury, fly_projectiles
from envs.battle.drawing import draw_battle
from envs.battle.fields import (
    ALIVE,
    ATTACK_UNIT,
    COOLDOWN,
    ENERGY,
    HEAL,
    HEAL_BEAM,
    HEALTH,
    HEALTH_BEFORE,
    KEEP,
    LANCES,
    MOVE,
    SHIELD,
    SHIELD_BEFORE,
    SHOT_AT,
    STOP,
    TYPE,
    WEAPON,
    X,
    Y,
)
from envs.battle.lances import sweep
from envs.battle.movement import move_all
from envs.battle.opening import open_battle
from envs.battle.world import Battles, Bools, Draw, Ints, Orders, Reals, Views, World, Worlds, world_of
from envs.compiled import helper, kernel
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, MOVE_CELLS, NORTH
from envs.smac.layout import write_views
from envs.smac.memory import Memory, memory_of
from envs.smac.reward import RUNNING, WON, battle_outcome, step_reward
from envs.smac.rng import Seeds, seed_stream
from envs.smac.sightings import begin_memory, look
from envs.smac.tables import KNOWS_ENEMIES, LayoutTables
from envs.smac.units import LOOPS_PER_STEP


@helper
def simulate(f: Reals, k: Ints, w: World, rng: Seeds, first_loop: int, loops: int) -> None:
    """Play `loops` game loops of one battle; parting them over several calls changes nothing."""
    for loop in range(first_loop, first_loop + loops):
        if loop % LOOPS_PER_STEP == 0:
            for i in range(f.shape[1]):
                k[SHOT_AT, i] = -1
            if w.enemy_order == ATTACK_UNIT:
                hunt(f, k, w)
        fly_projectiles(f, k, w)
        for i in range(f.shape[1]):
            if w.t[WEAPON, i] == LANCES:
                sweep(f, k, w, i, loop)
            if k[ALIVE, i] != 0:
                tick(f, k, w, i)
        for i in range(f.shape[1]):
            if k[ALIVE, i] != 0:
                act(f, k, w, rng, i, loop)
        move_all(f, k, w)
        collide(f, k, w)
        snap(f)
        bury(f, k, w)


@kernel
def draw_battles(battles: Battles, worlds: Worlds, draw: Draw, mask: Bools, seed: np.uint64) -> None:
    """Draw teams and starts of episode battles.episode[b] in every battle b of `mask`, before it begins."""
    for b in range(len(mask)):
        if mask[b]:
            episode = np.uint64(battles.episode[b])
            draw_battle(worlds, draw, b, battles.f[b], battles.rng[b : b + 1], seed, episode)


@kernel
def start_battles(battles: Battles, worlds: Worlds, mask: Bools, seed: np.uint64, turned: bool) -> None:
    """Begin episode battles.episode[b] in every battle b of `mask`; the enemies get their one order."""
    for b in range(len(mask)):
        if not mask[b]:
            continue
        f, k, rng, w = battles.f[b], battles.k[b], battles.rng[b : b + 1], world_of(worlds, b)
        seed_stream(rng, seed, np.uint64(battles.episode[b]))
        open_battle(f, k, w, rng, turned)
        simulate(f, k, w, rng, -1, 1)  # the first observation comes a loop later
        battles.loops[b] = 0
        battles.terminated[b] = battles.truncated[b] = battles.won[b] = False


@kernel
def read_actions(
    actions: Ints, avail: Bools, battles: Battles, worlds: Worlds, reach: Reals, orders: Orders
) -> int:
    """Turn actions [B, N] into orders.

    reach: by unit type, beyond which an agent keeps its order instead of attacking or healing; empty where
    such actions are not available. Returns -1, or b * N + i of the first action that is not available; then
    `orders` must not be used.
    """
    n_agents, n_actions = actions.shape[1], avail.shape[2]
    for b in range(len(actions)):
        if battles.terminated[b] or battles.truncated[b]:
            continue
        t = worlds.t[b if len(worlds.t) > 1 else 0]
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
            elif t[WEAPON, i] == HEAL_BEAM:
                orders.order[b, i], orders.target[b, i] = HEAL, action - FIRST_ATTACK
            else:
                orders.order[b, i], orders.target[b, i] = ATTACK_UNIT, n_agents + action - FIRST_ATTACK
            if len(reach) > 0 and not _reaches(battles.f[b], t, reach, i, orders.target[b, i]):
                orders.order[b, i] = KEEP
    return -1


@helper
def _reaches(f: Reals, t: Ints, reach: Reals, i: int, j: int) -> bool:
    """Whether agent i's order can be given: its target, unit j, is within its reach, or it has none."""
    if j < 0:
        return True
    dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
    return bool(np.sqrt(dx * dx + dy * dy) <= reach[t[TYPE, i]])


@kernel
def begin_memories(
    battles: Battles, worlds: Worlds, tables: LayoutTables, memory: Memory, mask: Bools, seed: np.uint64
) -> None:
    """Begin the memories of the battles of `mask`, which have just begun."""
    for b in range(len(mask)):
        if mask[b]:
            begin_memory(memory_of(memory, b), seed, np.uint64(battles.episode[b]))
            if tables.rules & KNOWS_ENEMIES:
                w = world_of(worlds, b)
                _look(b, battles, w, tables, memory)
                _look(b, battles, w, tables, memory)


@helper
def _look(b: int, battles: Battles, w: World, tables: LayoutTables, memory: Memory) -> None:
    f = battles.f[b]
    look(tables, memory_of(memory, b), w.t[TYPE], f[X], f[Y], f[HEALTH])


@helper
def _show(b: int, battles: Battles, w: World, tables: LayoutTables, memory: Memory, views: Views) -> None:
    f, steps = battles.f[b], battles.loops[b] // LOOPS_PER_STEP
    write_views(
        tables, memory_of(memory, b), steps,
        w.t[TYPE], f[X], f[Y], f[HEALTH], f[SHIELD], f[ENERGY], f[COOLDOWN],
        views.obs[b], views.state[b], views.avail[b],
    )  # fmt: skip


@kernel
def show(
    first: int,
    last: int,
    battles: Battles,
    worlds: Worlds,
    tables: LayoutTables,
    memory: Memory,
    views: Views,
) -> None:
    """Write the output of battles `first` to `last` now, with reward 0."""
    for b in range(first, last):
        views.reward[b] = 0.0
        _show(b, battles, world_of(worlds, b), tables, memory, views)


@helper
def _judge(b: int, battles: Battles, w: World, tables: LayoutTables, views: Views) -> None:
    """Reward of the step just played, and whether it ended the battle."""
    f = battles.f[b]
    outcome = battle_outcome(tables, w.t[TYPE], f[HEALTH])
    battles.terminated[b] = outcome != RUNNING
    battles.truncated[b] = outcome == RUNNING and battles.loops[b] >= w.episode_limit * LOOPS_PER_STEP
    battles.won[b] = outcome == WON
    views.reward[b] = step_reward(tables, f[HEALTH], f[SHIELD], f[HEALTH_BEFORE], f[SHIELD_BEFORE], outcome)


@kernel
def play(
    first: int,
    last: int,
    battles: Battles,
    worlds: Worlds,
    orders: Orders,
    loops: int,
    tables: LayoutTables,
    memory: Memory,
    views: Views,
) -> None:
    """Give the orders to battles `first` to `last`, play `loops` game loops, and show them.

    A battle that has ended stays as it is, with reward 0.
    """
    w = world_of(worlds, first)
    for b in range(first, last):
        if len(worlds.s) > 1:  # where all have one world, it is read once: a percent or two on small maps
            w = world_of(worlds, b)
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
            if tables.rules & KNOWS_ENEMIES:
                _look(b, battles, w, tables, memory)
        _show(b, battles, w, tables, memory, views)
