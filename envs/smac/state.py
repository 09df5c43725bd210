"""SMAC's state of one battle: a row for every unit, then last actions and time where the settings say so.

Source: SMAC's `get_state`.
"""

from __future__ import annotations

from envs.compiled import helper
from envs.smac.memory import Memory
from envs.smac.smac_map import ALLY_HEAD, ENEMY_HEAD, MAP_SIZE_CELLS
from envs.smac.tables import LayoutTables, Reals
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
            state[at] = health[u] / tables.health_max[kind]
            if is_ally:
                charge = energy[u] if kind == _MEDIVAC else max(cooldown[u], 0.0)
                state[at + 1] = charge / tables.cooldown_max[kind]
            state[at + head - 2] = (x[u] - _CENTRE) / tables.max_distance_x
            state[at + head - 1] = (y[u] - _CENTRE) / tables.max_distance_y
            if has_shield:
                state[at + head] = shield[u] / tables.shield_max[kind]
            slot = tables.ally_slot[kind] if is_ally else tables.enemy_slot[kind]
            if bits > 0 and slot >= 0:
                state[at + head + has_shield + slot] = 1.0
        at += head + has_shield + bits
    if tables.obs_instead_of_state:
        return
    if tables.state_last_action:
        for i in range(n):
            if memory.last_action[i] >= 0:
                state[at + i * tables.n_actions + memory.last_action[i]] = 1.0
    if tables.state_timestep_number:
        state[len(state) - 1] = steps / tables.episode_limit
