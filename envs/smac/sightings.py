"""SMACv2's rule by which agents come to know of an enemy, as kernels on the memory of one battle.

The first agent that has an enemy in its sight finds it; every other agent comes to know of it with the
probability `prob_obs_enemy`. Agents look one after the other in an order drawn anew in every step. An agent
is shown the enemies that it knows of and sees, but none with a lower number than one that it does not know
of when it looks: SMACv2 clears the rows before it. Enemies that have died are forgotten in every step, and
can be found again where they were last alive.
Source: SMACv2's `step` and `get_obs_agent`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.compiled import helper, kernel
from envs.smac.memory import FIRST_SHOWN, KNOWN_TO, LAST_ACTION, ORDER, SPOTTER, Memory
from envs.smac.rng import seed_stream, uniform
from envs.smac.tables import PROB_OBS_ENEMY, SIGHT, LayoutTables, Reals
from envs.types import IntArray

_LOOKING: Final = np.uint64(0x9E6C63D0876A9A47)
"""Sets the stream for looking apart from the battle's own stream of the same seed and episode."""


@kernel
def begin_memory(memory: Memory, seed: np.uint64, episode: np.uint64) -> None:
    """Forget the last battle; the stream follows from seed and episode alone."""
    memory.agents[:] = 0
    memory.agents[LAST_ACTION] = -1
    memory.enemies[SPOTTER] = -1
    memory.enemies[KNOWN_TO] = 0
    seed_stream(memory.rng, seed ^ _LOOKING, episode)


@kernel
def look(tables: LayoutTables, memory: Memory, utype: IntArray, x: Reals, y: Reals, health: Reals) -> None:
    """Let the agents look once: after a step, and twice when a battle begins, as SMACv2's users see it.

    utype, x, y, health [U]: agents first.
    """
    _forget(tables, memory, health)
    n, order, places = tables.n_agents, memory.agents[ORDER], memory.places
    for e in range(tables.n_enemies):
        if health[n + e] > 0.0:
            places[0, e], places[1, e] = x[n + e], y[n + e]
    for i in range(n):
        order[i] = i
    for i in range(n - 1, 0, -1):
        j = int(uniform(memory.rng) * (i + 1))
        order[i], order[j] = order[j], order[i]
    for i in order:
        if health[i] <= 0.0:
            continue
        memory.agents[FIRST_SHOWN, i] = 0
        sight = tables.kinds[SIGHT, utype[i]]
        for e in range(tables.n_enemies):
            dx, dy = places[0, e] - x[i], places[1, e] - y[i]
            if memory.enemies[SPOTTER, e] < 0 and np.sqrt(dx * dx + dy * dy) < sight:
                _find(tables, memory, e, i)
            if not memory.enemies[KNOWN_TO, e] >> i & 1:
                memory.agents[FIRST_SHOWN, i] = e + 1


@helper
def _forget(tables: LayoutTables, memory: Memory, health: Reals) -> None:
    """Enemies that have died, and those that agents found who have died, are known to nobody."""
    n = tables.n_agents
    for e in range(tables.n_enemies):
        spotter = memory.enemies[SPOTTER, e]
        if health[n + e] <= 0.0 or (spotter >= 0 and health[spotter] <= 0.0):
            memory.enemies[SPOTTER, e] = -1
            memory.enemies[KNOWN_TO, e] = 0


@helper
def _find(tables: LayoutTables, memory: Memory, e: int, i: int) -> None:
    """Agent i finds enemy e; the others may come to know of it."""
    memory.enemies[SPOTTER, e] = i
    memory.enemies[KNOWN_TO, e] |= 1 << i
    for other in range(tables.n_agents):
        if other != i and uniform(memory.rng) < tables.numbers[PROB_OBS_ENEMY]:
            memory.enemies[KNOWN_TO, e] |= 1 << other
