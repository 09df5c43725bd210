"""SMAC's observations, state and available actions of one battle, to the last float, for all backends.

Source: SMAC's `get_obs_agent`, `get_state`, `get_avail_agent_actions`, with the settings that PyMARL uses.
The state has no last-action block: a learner that wants last actions appends them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.compiled import helper, kernel
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, NO_OP, NORTH, STOP
from envs.smac.smac_map import (
    ALLY_HEAD,
    ALLY_TYPE_SLOTS,
    ENEMY_HEAD,
    ENEMY_TYPE_SLOTS,
    MAP_SIZE_CELLS,
    OBS_HEAD,
    PLAYABLE_CELLS,
    SmacMap,
)
from envs.smac.units import UNITS, UnitType
from envs.types import BoolArray, FloatArray, IntArray

Reals = npt.NDArray[np.float64]

SIGHT_CELLS: Final = 9.0
"""How far every unit sees: strictly less, centre to centre."""

SHOOT_CELLS: Final = 6.0
"""How far every unit may attack or heal: at most, centre to centre."""

WIN_REWARD: Final = 200.0
DEATH_REWARD: Final = 10.0

COOLDOWN_MAX_LOOPS: Final[dict[UnitType, float]] = {
    UnitType.MARINE: 15,
    UnitType.MARAUDER: 25,
    UnitType.MEDIVAC: 200,  # of its energy
    UnitType.STALKER: 35,
    UnitType.ZEALOT: 22,
    UnitType.COLOSSUS: 24,
    UnitType.HYDRALISK: 10,
    UnitType.ZERGLING: 11,
    UnitType.BANELING: 1,
    UnitType.SPINE_CRAWLER: 15,
}
"""SMAC divides the weapon cooldown by it; some units exceed it."""

_MEDIVAC = int(UnitType.MEDIVAC)
_CENTRE = MAP_SIZE_CELLS / 2
_MOVE_OBS = FIRST_ATTACK - NORTH  # an observation begins with the available moves
_SEEN_SQUARED = SIGHT_CELLS * SIGHT_CELLS * (1 + 1e-9)  # beyond it no square root is needed


class LayoutTables(NamedTuple):
    """The constants of one map that kernels read.

    `*_shield` is the width of that feature. Arrays are indexed by `UnitType` (`*_slot`: place in the type
    one-hot, -1 none), `walkable` [32, 32] by [x, y]. `is_mmm`: the rules about medivacs apply. `max_reward`:
    SMAC scales rewards by it. `max_distance_*`: size of the playable area, cells; SMAC divides positions in
    the state by it, but takes them relative to the centre of the whole map.
    """

    n_agents: int
    n_enemies: int
    ally_shield: int
    enemy_shield: int
    type_bits: int
    is_mmm: bool
    max_reward: float
    health_max: Reals
    shield_max: Reals
    cooldown_max: Reals
    ally_slot: IntArray
    enemy_slot: IntArray
    walkable: BoolArray
    max_distance_x: float
    max_distance_y: float


def layout_tables(smac_map: SmacMap) -> LayoutTables:
    """The tables of one map."""
    enemy_points = sum(UNITS[t].health_max + UNITS[t].shield_max for t in smac_map.enemy_types)
    return LayoutTables(
        n_agents=smac_map.n_agents,
        n_enemies=smac_map.n_enemies,
        ally_shield=smac_map.ally_shield,
        enemy_shield=smac_map.enemy_shield,
        type_bits=smac_map.unit_type_bits,
        is_mmm=smac_map.medivacs_heal,
        max_reward=smac_map.n_enemies * DEATH_REWARD + WIN_REWARD + enemy_points,
        health_max=np.array([UNITS[t].health_max for t in UnitType], np.float64),
        shield_max=np.array([UNITS[t].shield_max for t in UnitType], np.float64),
        cooldown_max=np.array([COOLDOWN_MAX_LOOPS[t] for t in UnitType], np.float64),
        ally_slot=_slots(ALLY_TYPE_SLOTS.get(smac_map.map_type, ())),
        enemy_slot=_slots(ENEMY_TYPE_SLOTS.get(smac_map.map_type, ())),
        walkable=np.ascontiguousarray(smac_map.walkable),
        max_distance_x=float(PLAYABLE_CELLS),
        max_distance_y=float(PLAYABLE_CELLS),
    )


def _slots(types: Sequence[UnitType]) -> IntArray:
    return np.array([types.index(t) if t in types else -1 for t in UnitType], np.int64)


@kernel
def write_views(
    tables: LayoutTables,
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

    `utype` [U] and the others [U] hold the agents in the order of their ids, then the enemies in the order of
    the raw observation. Positions are in cells, cooldown in game loops, energy in points; a unit is alive
    when health > 0.
    """
    _write_state(tables, utype, x, y, health, shield, energy, cooldown, state)
    obs[:] = 0.0
    avail[:] = False
    for i in range(tables.n_agents):
        if health[i] > 0.0:
            _write_moves(tables, x[i], y[i], obs[i], avail[i])
        else:
            avail[i, NO_OP] = True
    _write_allies(tables, utype, x, y, health, obs, state, avail)  # before the enemies: they show heal slots
    _write_enemies(tables, utype, x, y, health, obs, state, avail)


@helper
def _write_state(
    tables: LayoutTables,
    utype: IntArray,
    x: Reals,
    y: Reals,
    health: Reals,
    shield: Reals,
    energy: Reals,
    cooldown: Reals,
    state: FloatArray,
) -> None:
    """Rows of agents, then of enemies: health, (cooldown or energy), position, shield, type. Dead: zeros."""
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


@helper
def _write_moves(tables: LayoutTables, x: float, y: float, obs: FloatArray, avail: BoolArray) -> None:
    """Stop is always available, a move where the cell one further is walkable; obs begins with moves."""
    avail[STOP] = True
    for move in range(NORTH, FIRST_ATTACK):
        dx, dy = DIRECTIONS[move]
        avail[move] = _is_walkable(tables, int(x + dx), int(y + dy))
        obs[move - NORTH] = avail[move]


@helper
def _is_walkable(tables: LayoutTables, column: int, row: int) -> bool:
    return 0 <= column < MAP_SIZE_CELLS and 0 <= row < MAP_SIZE_CELLS and tables.walkable[column, row]


@helper
def _write_allies(
    tables: LayoutTables,
    utype: IntArray,
    x: Reals,
    y: Reals,
    health: Reals,
    obs: FloatArray,
    state: FloatArray,
    avail: BoolArray,
) -> None:
    """Write what agents see of each other and of themselves, and the heals available to medivacs.

    Health, shield and type are copied from the state's rows.
    """
    n, rest = tables.n_agents, tables.ally_shield + tables.type_bits
    width, state_width = OBS_HEAD + rest, ALLY_HEAD + rest
    first = _MOVE_OBS + tables.n_enemies * (OBS_HEAD + tables.enemy_shield + tables.type_bits)
    own = first + (n - 1) * width
    for i in range(n):
        if health[i] <= 0.0:
            continue
        obs[i, own] = state[i * state_width]
        for extra in range(rest):
            obs[i, own + 1 + extra] = state[i * state_width + ALLY_HEAD + extra]
        for k in range(i + 1, n):
            if health[k] <= 0.0:
                continue
            dx, dy = x[k] - x[i], y[k] - y[i]
            squared = dx * dx + dy * dy
            if squared > _SEEN_SQUARED:
                continue
            distance = np.sqrt(squared)
            if distance <= SHOOT_CELLS and tables.is_mmm:
                if utype[i] == _MEDIVAC and utype[k] != _MEDIVAC:
                    avail[i, FIRST_ATTACK + k] = True
                elif utype[k] == _MEDIVAC and utype[i] != _MEDIVAC:
                    avail[k, FIRST_ATTACK + i] = True
            if distance < SIGHT_CELLS:
                seen_k = first + (k - 1) * width  # i skips itself, and k > i
                seen_i = first + i * width
                _write_seen(obs[i], seen_k, 1.0, distance, dx, dy, state, k * state_width, ALLY_HEAD, rest)
                _write_seen(obs[k], seen_i, 1.0, distance, -dx, -dy, state, i * state_width, ALLY_HEAD, rest)


@helper
def _write_enemies(
    tables: LayoutTables,
    utype: IntArray,
    x: Reals,
    y: Reals,
    health: Reals,
    obs: FloatArray,
    state: FloatArray,
    avail: BoolArray,
) -> None:
    """Write what agents see of the enemies, and the attacks available. A medivac's row shows heal slots."""
    n, rest = tables.n_agents, tables.enemy_shield + tables.type_bits
    width, state_width = OBS_HEAD + rest, ENEMY_HEAD + rest
    first_state = n * (ALLY_HEAD + tables.ally_shield + tables.type_bits)
    for i in range(n):
        if health[i] <= 0.0:
            continue
        heals = tables.is_mmm and utype[i] == _MEDIVAC
        for j in range(tables.n_enemies):
            if health[n + j] <= 0.0:
                continue
            dx, dy = x[n + j] - x[i], y[n + j] - y[i]
            squared = dx * dx + dy * dy
            if squared > _SEEN_SQUARED:
                continue
            distance = np.sqrt(squared)
            if not heals and distance <= SHOOT_CELLS:
                avail[i, FIRST_ATTACK + j] = True
            if distance < SIGHT_CELLS:
                shown = 1.0 if avail[i, FIRST_ATTACK + j] else 0.0
                at, row = _MOVE_OBS + j * width, first_state + j * state_width
                _write_seen(obs[i], at, shown, distance, dx, dy, state, row, ENEMY_HEAD, rest)


@helper
def _write_seen(
    obs: FloatArray,
    at: int,
    flag: float,
    distance: float,
    dx: float,
    dy: float,
    state: FloatArray,
    row: int,
    head: int,
    rest: int,
) -> None:
    """One seen unit's row: visible or available, distance, direction; health, shield, type from the state."""
    obs[at] = flag
    obs[at + 1] = distance / SIGHT_CELLS
    obs[at + 2] = dx / SIGHT_CELLS
    obs[at + 3] = dy / SIGHT_CELLS
    obs[at + 4] = state[row]
    for extra in range(rest):
        obs[at + OBS_HEAD + extra] = state[row + head + extra]
