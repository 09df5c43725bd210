"""SMAC's observations, state and available actions of one battle, to the last float, for all backends.

Source: SMAC's and SMACv2's `get_obs_agent`, `get_state`, `get_avail_agent_actions`, with the map's settings.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.compiled import helper, kernel
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, NO_OP, NORTH, STOP
from envs.smac.memory import FIRST_SHOWN, LAST_ACTION, Memory
from envs.smac.smac_map import ALLY_HEAD, ENEMY_HEAD, MAP_SIZE_CELLS, N_HEIGHTS, N_PATHING, OBS_HEAD
from envs.smac.state import write_state
from envs.smac.tables import (
    ACTION_MASK,
    ALLIES_AT,
    ALLY_WIDTH,
    ENEMIES_AT,
    ENEMY_WIDTH,
    EPISODE_LIMIT,
    MEDIVACS_HEAL,
    N_ACTIONS,
    OBS_ALL_HEALTH,
    OBS_INSTEAD_OF_STATE,
    OBS_LAST_ACTION,
    OBS_OWN_HEALTH,
    OBS_OWN_POS,
    OBS_PATHING_GRID,
    OBS_TERRAIN_HEIGHT,
    OBS_TIMESTEP_NUMBER,
    OWN_AT,
    REACH_SQUARED,
    SEES,
    SHOOT,
    SIGHT,
    LayoutTables,
    Reals,
)
from envs.smac.units import UnitType
from envs.types import BoolArray, FloatArray, IntArray

_MEDIVAC = int(UnitType.MEDIVAC)
_MOVE_OBS = FIRST_ATTACK - NORTH  # an observation begins with the available moves

_AROUND: Final = ((0, 4), (0, -4), (4, 0), (-4, 0), (2, 2), (-2, -2), (2, -2), (-2, 2), (0, 0))
"""The cells around an agent whose ground it may see, and its own."""


@kernel
def write_views(
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
    obs: FloatArray,
    state: FloatArray,
    avail: BoolArray,
) -> None:
    """Write obs [N, O], state [S] and avail [N, A] of ONE battle; nothing is allocated.

    `memory` is that of the battle, `steps` how many it has played. `utype` [U] and the others [U] hold the
    agents in the order of their ids, then the enemies in the order of the raw observation. Positions are in
    cells, cooldown in game loops, energy in points; a unit is alive when health > 0.
    """
    rows = memory.rows if tables.rules & OBS_INSTEAD_OF_STATE else state
    write_state(tables, memory, steps, utype, x, y, health, shield, energy, cooldown, rows)
    obs[:] = 0.0
    avail[:] = False
    for i in range(tables.n_agents):
        if tables.rules & OBS_TIMESTEP_NUMBER:
            obs[i, obs.shape[1] - 1] = steps / tables.counts[EPISODE_LIMIT]
        if health[i] > 0.0:
            _write_moves(tables, x[i], y[i], obs[i], avail[i])
            _write_own(tables, x[i], y[i], i, rows, obs[i])
        else:
            avail[i, NO_OP] = True
    _write_allies(
        tables, memory, utype, x, y, health, obs, rows, avail
    )  # before enemies, who show heal slots
    _write_enemies(tables, memory, utype, x, y, health, obs, rows, avail)
    if not tables.rules & ACTION_MASK:
        _unmask(tables, utype, health, avail)
    if tables.rules & OBS_INSTEAD_OF_STATE:
        for place in range(len(state)):
            state[place] = obs[place // obs.shape[1], place % obs.shape[1]]


@helper
def _unmask(tables: LayoutTables, utype: IntArray, health: Reals, avail: BoolArray) -> None:
    """Let every agent choose all targets that live, in its reach or not."""
    n = tables.n_agents
    for i in range(n):
        heals = tables.rules & MEDIVACS_HEAL != 0 and utype[i] == _MEDIVAC
        for j in range(n if heals else tables.n_enemies):
            target = j if heals else n + j
            may = health[i] > 0.0 and health[target] > 0.0 and not (heals and utype[j] == _MEDIVAC)
            avail[i, FIRST_ATTACK + j] = may


@helper
def _write_moves(tables: LayoutTables, x: float, y: float, obs: FloatArray, avail: BoolArray) -> None:
    """Stop is always available, a move where the cell one further is walkable; obs begins with moves.

    After them the ground around, where the settings say so: beyond the map it is walkable and 1 high.
    """
    avail[STOP] = True
    for move in range(NORTH, FIRST_ATTACK):
        dx, dy = DIRECTIONS[move]
        column, row = int(x + dx), int(y + dy)
        avail[move] = _is_inside(column, row) and tables.walkable[column, row]
        obs[move - NORTH] = avail[move]
    at = _MOVE_OBS
    if tables.rules & OBS_PATHING_GRID:
        for place in range(N_PATHING):
            column, row = int(x) + _AROUND[place][0], int(y) + _AROUND[place][1]
            obs[at + place] = tables.walkable[column, row] if _is_inside(column, row) else 1.0
        at += N_PATHING
    if tables.rules & OBS_TERRAIN_HEIGHT:
        for place in range(N_HEIGHTS):
            column, row = int(x) + _AROUND[place][0], int(y) + _AROUND[place][1]
            obs[at + place] = tables.height[column, row] if _is_inside(column, row) else 1.0


@helper
def _is_inside(column: int, row: int) -> bool:
    return 0 <= column < MAP_SIZE_CELLS and 0 <= row < MAP_SIZE_CELLS


@helper
def _write_own(tables: LayoutTables, x: float, y: float, i: int, state: FloatArray, obs: FloatArray) -> None:
    """Write what agent i sees of itself; health, shield and type are copied from the state's row."""
    shield, bits = tables.ally_shield, tables.type_bits
    row, at = i * (ALLY_HEAD + shield + bits), tables.counts[OWN_AT]
    if tables.rules & OBS_OWN_HEALTH:
        obs[at] = state[row]
        for extra in range(shield):
            obs[at + 1 + extra] = state[row + ALLY_HEAD + extra]
        at += 1 + shield
    if tables.rules & OBS_OWN_POS:
        obs[at] = x / MAP_SIZE_CELLS
        obs[at + 1] = y / MAP_SIZE_CELLS
        at += 2
    for bit in range(bits):
        obs[at + bit] = state[row + ALLY_HEAD + shield + bit]


@helper
def _write_allies(
    tables: LayoutTables,
    memory: Memory,
    utype: IntArray,
    x: Reals,
    y: Reals,
    health: Reals,
    obs: FloatArray,
    state: FloatArray,
    avail: BoolArray,
) -> None:
    """Write what agents see of each other, and the heals available to medivacs.

    Health, shield and type are copied from the state's rows.
    """
    n, shield, kinds = tables.n_agents, tables.ally_shield, tables.kinds
    first, width = tables.counts[ALLIES_AT], tables.counts[ALLY_WIDTH]
    state_width = ALLY_HEAD + shield + tables.type_bits
    for i in range(n):
        if health[i] <= 0.0:
            continue
        for k in range(i + 1, n):
            if health[k] <= 0.0:
                continue
            dx, dy = x[k] - x[i], y[k] - y[i]
            squared = dx * dx + dy * dy
            if squared > max(kinds[REACH_SQUARED, utype[i]], kinds[REACH_SQUARED, utype[k]]):
                continue
            distance = np.sqrt(squared)
            if tables.rules & MEDIVACS_HEAL:
                _write_heals(tables, utype, i, k, distance, avail)
            if distance < kinds[SEES, utype[i]]:
                at, sight = first + (k - 1) * width, kinds[SIGHT, utype[i]]  # i skips itself, and k > i
                row = k * state_width
                _write_seen(tables, obs[i], at, 1.0, distance, dx, dy, sight, state, row, ALLY_HEAD, shield)
                if tables.rules & OBS_LAST_ACTION:
                    _write_last_action(tables, memory, k, at, obs[i])
            if distance < kinds[SEES, utype[k]]:
                at, sight = first + i * width, kinds[SIGHT, utype[k]]
                row = i * state_width
                _write_seen(tables, obs[k], at, 1.0, distance, -dx, -dy, sight, state, row, ALLY_HEAD, shield)
                if tables.rules & OBS_LAST_ACTION:
                    _write_last_action(tables, memory, i, at, obs[k])


@helper
def _write_heals(
    tables: LayoutTables, utype: IntArray, i: int, k: int, distance: float, avail: BoolArray
) -> None:
    """Whether agents i and k, so far apart, can heal each other: a medivac heals all that are none."""
    if distance <= tables.kinds[SHOOT, _MEDIVAC]:
        if utype[i] == _MEDIVAC and utype[k] != _MEDIVAC:
            avail[i, FIRST_ATTACK + k] = True
        elif utype[k] == _MEDIVAC and utype[i] != _MEDIVAC:
            avail[k, FIRST_ATTACK + i] = True


@helper
def _write_last_action(tables: LayoutTables, memory: Memory, of: int, at: int, obs: FloatArray) -> None:
    """The last action of agent `of`, at the end of the row that begins at `at`."""
    action = memory.agents[LAST_ACTION, of]
    if action >= 0:
        obs[at + tables.counts[ALLY_WIDTH] - tables.counts[N_ACTIONS] + action] = 1.0


@helper
def _write_enemies(
    tables: LayoutTables,
    memory: Memory,
    utype: IntArray,
    x: Reals,
    y: Reals,
    health: Reals,
    obs: FloatArray,
    state: FloatArray,
    avail: BoolArray,
) -> None:
    """Write what agents see of the enemies, and the attacks available. A medivac's row shows heal slots."""
    n, shield = tables.n_agents, tables.enemy_shield
    first, width = tables.counts[ENEMIES_AT], tables.counts[ENEMY_WIDTH]
    state_width = ENEMY_HEAD + shield + tables.type_bits
    first_row = n * (ALLY_HEAD + tables.ally_shield + tables.type_bits)
    for i in range(n):
        if health[i] <= 0.0:
            continue
        kinds, kind, first_shown = tables.kinds, utype[i], memory.agents[FIRST_SHOWN, i]
        sight, sees, shoot = kinds[SIGHT, kind], kinds[SEES, kind], kinds[SHOOT, kind]
        heals = kind == _MEDIVAC and tables.rules & MEDIVACS_HEAL != 0
        for j in range(tables.n_enemies):
            if health[n + j] <= 0.0:
                continue
            dx, dy = x[n + j] - x[i], y[n + j] - y[i]
            squared = dx * dx + dy * dy
            if squared > kinds[REACH_SQUARED, kind]:
                continue
            distance = np.sqrt(squared)
            if not heals and distance <= shoot:
                avail[i, FIRST_ATTACK + j] = True
            if distance < sees and j >= first_shown:
                flag = 1.0 if avail[i, FIRST_ATTACK + j] else 0.0
                at, row = first + j * width, first_row + j * state_width
                _write_seen(tables, obs[i], at, flag, distance, dx, dy, sight, state, row, ENEMY_HEAD, shield)


@helper
def _write_seen(
    tables: LayoutTables,
    obs: FloatArray,
    at: int,
    flag: float,
    distance: float,
    dx: float,
    dy: float,
    sight: float,
    state: FloatArray,
    row: int,
    head: int,
    shield: int,
) -> None:
    """One seen unit's row: visible or available, distance, direction; health, shield, type from the state."""
    obs[at] = flag
    obs[at + 1] = distance / sight
    obs[at + 2] = dx / sight
    obs[at + 3] = dy / sight
    at += OBS_HEAD
    skipped = shield
    if tables.rules & OBS_ALL_HEALTH:
        obs[at] = state[row]
        at += 1
        skipped = 0
    for extra in range(skipped, shield + tables.type_bits):
        obs[at + extra - skipped] = state[row + head + extra]
