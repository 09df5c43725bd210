"""SMAC's state of one battle: a row for every unit, then last actions and time where the settings say so.

Source: SMAC's `get_state`.
"""

from __future__ import annotations

from envs.compiled import helper
from envs.smac.memory import LAST_ACTION, Memory
from envs.smac.smac_map import ALLY_HEAD, ENEMY_HEAD, MAP_SIZE_CELLS
from envs.smac.tables import (
    ALLY_SLOT,
    COOLDOWN_MAX,
    ENEMY_SLOT,
    EPISODE_LIMIT,
    HEALTH_MAX,
    N_ACTIONS,
    OBS_INSTEAD_OF_STATE,
    SHIELD_MAX,
    STATE_LAST_ACTION,
    STATE_TIMESTEP_NUMBER,
    LayoutTables,
    Reals,
)
from envs.smac.units import UnitType
from envs.types import FloatArray, IntArray

_MEDIVAC = int(UnitType.MEDIVAC)
_CENTRE = MAP_SIZE_CELLS / 2


@helper
def write_state(
    tables: LayoutTables,
    memory: Memory,
    steps: int,
    utype: IntArray,
    x: Reals,
    y: Reals,
    health: Reals,
    shield: Reals,
    energy: Reals,
    cooldown: Reals,
    state: FloatArray,
) -> None:
    """Rows of agents, then of enemies: health, (cooldown or energy), position, shield, type. Dead: zeros.

    After them the last actions and the time, where the settings say so.
    """
    n, bits = tables.n_agents, tables.type_bits
    state[:] = 0.0
    at = 0
    for u in range(n + tables.n_enemies):
        kind = utype[u]
        is_ally = u < n
        has_shield = tables.ally_shield if is_ally else tables.enemy_shield
        head = ALLY_HEAD if is_ally else ENEMY_HEAD
        if health[u] > 0.0:
            state[at] = health[u] / tables.kinds[HEALTH_MAX, kind]
            if is_ally:
                charge = energy[u] if kind == _MEDIVAC else max(cooldown[u], 0.0)
                state[at + 1] = charge / tables.kinds[COOLDOWN_MAX, kind]
            state[at + head - 2] = (x[u] - _CENTRE) / tables.max_distance_x
            state[at + head - 1] = (y[u] - _CENTRE) / tables.max_distance_y
            if has_shield:
                state[at + head] = shield[u] / tables.kinds[SHIELD_MAX, kind]
            slot = tables.slots[ALLY_SLOT, kind] if is_ally else tables.slots[ENEMY_SLOT, kind]
            if bits > 0 and slot >= 0:
                state[at + head + has_shield + slot] = 1.0
        at += head + has_shield + bits
    if tables.rules & OBS_INSTEAD_OF_STATE:
        return
    if tables.rules & STATE_LAST_ACTION:
        for i in range(n):
            action = memory.agents[LAST_ACTION, i]
            if action >= 0:
                state[at + i * tables.counts[N_ACTIONS] + action] = 1.0
    if tables.rules & STATE_TIMESTEP_NUMBER:
        state[len(state) - 1] = steps / tables.counts[EPISODE_LIMIT]
