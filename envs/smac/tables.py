"""The constants of one map that the kernels of layout and reward read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.smac.ground import terrain_image
from envs.smac.settings import SmacSettings
from envs.smac.smac_map import (
    ALLY_TYPE_SLOTS,
    ENEMY_TYPE_SLOTS,
    MAX_TEAM_UNITS,
    PLAYABLE_CELLS,
    SmacMap,
)
from envs.smac.units import UNITS, UnitType
from envs.types import BoolArray, IntArray

Reals = npt.NDArray[np.float64]

SIGHT_CELLS: Final = 9.0
"""How far every unit sees in SMAC: strictly less, centre to centre."""

SHOOT_CELLS: Final = 6.0
"""How far every unit may attack or heal in SMAC: at most, centre to centre."""

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

_ROUNDING = 1 + 1e-9
"""Squares of distances beyond a limit by this factor need no square root to be known as beyond it."""


class LayoutTables(NamedTuple):
    """The constants of one map that kernels read.

    `*_shield` is the width of that feature, `*_at` the first column of an observation's part, `*_width` the
    width of its rows. Arrays are indexed by `UnitType` (`*_slot`: place in the type one-hot, -1 none), those
    of cells [32, 32] by [x, y]. `medivacs_heal`: the rules about medivacs apply; `doomed_medivacs`: the most
    medivacs that an enemy side which has nothing else left may have and has lost. `sight`: what distances are
    divided by; `sees`: how far an agent sees; `reach_squared`: beyond it nothing is seen, attacked or healed.
    `max_reward`: SMAC scales rewards by it. `max_distance_*`: size of the playable area, cells; SMAC divides
    positions in the state by it, but takes them relative to the centre of the whole map.
    """

    n_agents: int
    n_enemies: int
    n_actions: int
    episode_limit: int
    ally_shield: int
    enemy_shield: int
    type_bits: int
    medivacs_heal: bool
    doomed_medivacs: int

    enemies_at: int
    enemy_width: int
    allies_at: int
    ally_width: int
    own_at: int
    obs_all_health: bool
    obs_own_health: bool
    obs_own_pos: bool
    obs_last_action: bool
    obs_pathing_grid: bool
    obs_terrain_height: bool
    obs_timestep_number: bool
    obs_instead_of_state: bool
    state_last_action: bool
    state_timestep_number: bool
    knows_enemies: bool
    prob_obs_enemy: float
    action_mask: bool

    reward_sparse: bool
    reward_only_positive: bool
    reward_regeneration: bool
    reward_death_value: float
    reward_win: float
    reward_defeat: float
    reward_negative_scale: float
    reward_scale: bool
    reward_scale_rate: float
    max_reward: float

    health_max: Reals
    shield_max: Reals
    cooldown_max: Reals
    ally_slot: IntArray
    enemy_slot: IntArray
    sight: Reals
    sees: Reals
    shoot: Reals
    reach_squared: Reals
    walkable: BoolArray
    height: Reals
    max_distance_x: float
    max_distance_y: float


_SAME_NAMES: Final = [
    name for name in LayoutTables._fields if name in {each.name for each in fields(SmacSettings)}
]


def layout_tables(smac_map: SmacMap) -> LayoutTables:
    """The tables of one map with its settings."""
    settings = smac_map.settings
    sight = np.full(len(UnitType), SIGHT_CELLS)
    shoot = np.full(len(UnitType), SHOOT_CELLS)
    if settings.use_unit_ranges:
        sight = np.array([UNITS[t].sight for t in UnitType], np.float64)
        shoot = np.array([max(UNITS[t].range_cells, settings.min_attack_range) for t in UnitType], np.float64)
    sees = np.full_like(sight, np.inf) if settings.fully_observable else sight
    enemy_points = sum(UNITS[t].health_max + UNITS[t].shield_max for t in smac_map.enemy_types)
    enemy_width, ally_width = smac_map.obs_widths
    enemies_at = smac_map.obs_moves
    allies_at = enemies_at + smac_map.n_enemies * enemy_width
    same: dict[str, Any] = {name: getattr(settings, name) for name in _SAME_NAMES}
    same["obs_own_health"] = settings.shows_own_health
    for name, value in same.items():  # kernels are compiled for one kind of number
        same[name] = value if isinstance(value, bool) else float(value or 0)
    return LayoutTables(
        n_agents=smac_map.n_agents,
        n_enemies=smac_map.n_enemies,
        n_actions=smac_map.n_actions,
        episode_limit=smac_map.episode_limit,
        ally_shield=smac_map.ally_shield,
        enemy_shield=smac_map.enemy_shield,
        type_bits=smac_map.unit_type_bits,
        medivacs_heal=smac_map.medivacs_heal,
        doomed_medivacs=1 if smac_map.map_type == "MMM" else MAX_TEAM_UNITS * smac_map.medivacs_heal,
        enemies_at=enemies_at,
        enemy_width=enemy_width,
        allies_at=allies_at,
        ally_width=ally_width,
        own_at=allies_at + (smac_map.n_agents - 1) * ally_width,
        knows_enemies=settings.prob_obs_enemy is not None and not settings.fully_observable,
        max_reward=max_reward(settings, smac_map.n_enemies, enemy_points),
        health_max=np.array([UNITS[t].health_max for t in UnitType], np.float64),
        shield_max=np.array([UNITS[t].shield_max for t in UnitType], np.float64),
        cooldown_max=np.array([COOLDOWN_MAX_LOOPS[t] for t in UnitType], np.float64),
        ally_slot=_slots(ALLY_TYPE_SLOTS.get(smac_map.map_type, ())),
        enemy_slot=_slots(ENEMY_TYPE_SLOTS.get(smac_map.map_type, ())),
        sight=sight,
        sees=sees,
        shoot=shoot,
        reach_squared=np.maximum(sees, shoot) ** 2 * _ROUNDING,
        walkable=np.ascontiguousarray(smac_map.walkable),
        height=heights_as_smac_reads(terrain_image(smac_map.cliff_level)),
        max_distance_x=float(PLAYABLE_CELLS),
        max_distance_y=float(PLAYABLE_CELLS),
        **same,
    )


def max_reward(settings: SmacSettings, n_enemies: int, enemy_points: float) -> float:
    """The reward for killing all enemies, which have `enemy_points` of health and shields, and winning."""
    return n_enemies * settings.reward_death_value + settings.reward_win + enemy_points


def heights_as_smac_reads(image: npt.NDArray[np.uint8]) -> Reals:
    """Heights [32, 32] by [x, y] as SMAC takes them out of the game's image [32, 32], by [y, x].

    The game's first row is the southern one, SMAC takes it for the northern one: what it shows is mirrored.
    """
    return np.ascontiguousarray(image.T[:, ::-1] / 255.0)


def _slots(types: Sequence[UnitType]) -> IntArray:
    return np.array([types.index(t) if t in types else -1 for t in UnitType], np.int64)
