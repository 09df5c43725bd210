"""The constants of one map that the kernels of layout and reward read."""

from __future__ import annotations

import math
from typing import Final, NamedTuple

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


MEDIVACS_HEAL: Final = 1 << 0
OBS_ALL_HEALTH: Final = 1 << 1
OBS_OWN_HEALTH: Final = 1 << 2
OBS_OWN_POS: Final = 1 << 3
OBS_LAST_ACTION: Final = 1 << 4
OBS_PATHING_GRID: Final = 1 << 5
OBS_TERRAIN_HEIGHT: Final = 1 << 6
OBS_TIMESTEP_NUMBER: Final = 1 << 7
OBS_INSTEAD_OF_STATE: Final = 1 << 8
STATE_LAST_ACTION: Final = 1 << 9
STATE_TIMESTEP_NUMBER: Final = 1 << 10
KNOWS_ENEMIES: Final = 1 << 11
REWARD_SPARSE: Final = 1 << 12
REWARD_ONLY_POSITIVE: Final = 1 << 13
REWARD_REGENERATION: Final = 1 << 14
ACTION_MASK: Final = 1 << 15
"""The bits of `LayoutTables.rules`. `MEDIVACS_HEAL`: the rules about medivacs apply; `KNOWS_ENEMIES`: agents
see enemies by the rule of `sightings`; the others are settings."""

N_ACTIONS, EPISODE_LIMIT, DOOMED_MEDIVACS, ENEMIES_AT, ENEMY_WIDTH, ALLIES_AT, ALLY_WIDTH, OWN_AT = range(8)
"""The places of `LayoutTables.counts`. `DOOMED_MEDIVACS`: the most medivacs that an enemy side which has
nothing else left may have and has lost; the others from `ENEMIES_AT`: where an observation's parts begin, and
how wide their rows are."""

ALLY_SLOT, ENEMY_SLOT = range(2)
"""The rows of `LayoutTables.slots`."""

HEALTH_MAX, SHIELD_MAX, COOLDOWN_MAX, SIGHT, SEES, SHOOT, REACH_SQUARED = range(7)
"""The rows of `LayoutTables.kinds`. `SIGHT` is what distances are divided by, `SEES` how far an agent sees;
beyond `REACH_SQUARED` nothing is seen, attacked or healed."""

DEATH, WIN, DEFEAT, NEGATIVE_SCALE, SCALE_RATE, PROB_OBS_ENEMY = range(6)
"""The places of `LayoutTables.numbers`, which are settings; `SCALE_RATE` 0: rewards are not scaled."""


class LayoutTables(NamedTuple):
    """The constants of one map that kernels read, in few fields: each of them costs every call 60 ns.

    `*_shield` is the width of that feature; the bits of rules, the places of counts and numbers, and the rows
    of kinds [7, types] and slots [2, types] (a type's place in the one-hot, -1 none) are named above.
    walkable, height [32, 32] by [x, y]. `max_reward`: SMAC scales rewards by it. `max_distance_*`: size of
    the playable area, cells; SMAC divides positions in the state by it, but takes them relative to the centre
    of the whole map.
    """

    n_agents: int
    n_enemies: int
    ally_shield: int
    enemy_shield: int
    type_bits: int
    rules: int
    max_reward: float
    counts: IntArray
    numbers: Reals
    kinds: Reals
    slots: IntArray
    walkable: BoolArray
    height: Reals
    max_distance_x: float
    max_distance_y: float


def layout_tables(smac_map: SmacMap) -> LayoutTables:
    """The tables of one map with its settings."""
    settings = smac_map.settings
    enemy_points = sum(UNITS[t].health_max + UNITS[t].shield_max for t in smac_map.enemy_types)
    return LayoutTables(
        n_agents=smac_map.n_agents,
        n_enemies=smac_map.n_enemies,
        ally_shield=smac_map.ally_shield,
        enemy_shield=smac_map.enemy_shield,
        type_bits=smac_map.unit_type_bits,
        rules=_rules(smac_map),
        max_reward=max_reward(settings, smac_map.n_enemies, enemy_points),
        counts=_counts(smac_map),
        numbers=_numbers(settings),
        kinds=_kinds(settings),
        slots=_slots(smac_map),
        walkable=np.ascontiguousarray(smac_map.walkable),
        height=heights_as_smac_reads(terrain_image(smac_map.cliff_level)),
        max_distance_x=float(PLAYABLE_CELLS),
        max_distance_y=float(PLAYABLE_CELLS),
    )


def _rules(smac_map: SmacMap) -> int:
    settings = smac_map.settings
    chosen = {
        MEDIVACS_HEAL: smac_map.medivacs_heal,
        OBS_ALL_HEALTH: settings.obs_all_health,
        OBS_OWN_HEALTH: settings.shows_own_health,
        OBS_OWN_POS: settings.obs_own_pos,
        OBS_LAST_ACTION: settings.obs_last_action,
        OBS_PATHING_GRID: settings.obs_pathing_grid,
        OBS_TERRAIN_HEIGHT: settings.obs_terrain_height,
        OBS_TIMESTEP_NUMBER: settings.obs_timestep_number,
        OBS_INSTEAD_OF_STATE: settings.obs_instead_of_state,
        STATE_LAST_ACTION: settings.state_last_action,
        STATE_TIMESTEP_NUMBER: settings.state_timestep_number,
        KNOWS_ENEMIES: settings.prob_obs_enemy is not None and not settings.fully_observable,
        REWARD_SPARSE: settings.reward_sparse,
        REWARD_ONLY_POSITIVE: settings.reward_only_positive,
        REWARD_REGENERATION: settings.reward_regeneration,
        ACTION_MASK: settings.action_mask,
    }
    return sum(bit for bit, holds in chosen.items() if holds)


def _counts(smac_map: SmacMap) -> IntArray:
    doomed = MAX_TEAM_UNITS if smac_map.map_type == "terran_gen" else int(smac_map.medivacs_heal)
    enemy_width, ally_width = smac_map.obs_widths
    allies_at = smac_map.obs_moves + smac_map.n_enemies * enemy_width
    own_at = allies_at + (smac_map.n_agents - 1) * ally_width
    widths = smac_map.obs_moves, enemy_width, allies_at, ally_width, own_at
    return np.array([smac_map.n_actions, smac_map.episode_limit, doomed, *widths], np.int64)


def _numbers(settings: SmacSettings) -> Reals:
    worth = settings.reward_death_value, settings.reward_win, settings.reward_defeat
    scale_rate = settings.reward_scale_rate if settings.reward_scale else 0.0
    return np.array([*worth, settings.reward_negative_scale, scale_rate, settings.prob_obs_enemy or 0.0])


def _kinds(settings: SmacSettings) -> Reals:
    kinds = np.zeros((7, len(UnitType)))
    for kind in UnitType:
        stats = UNITS[kind]
        sight, shoot = SIGHT_CELLS, SHOOT_CELLS
        if settings.use_unit_ranges:
            sight, shoot = stats.sight, max(stats.range_cells, settings.min_attack_range)
        sees = math.inf if settings.fully_observable else sight
        charge = COOLDOWN_MAX_LOOPS[kind]
        reach = max(sees, shoot) ** 2 * _ROUNDING
        kinds[:, kind] = stats.health_max, stats.shield_max, charge, sight, sees, shoot, reach
    return kinds


def max_reward(settings: SmacSettings, n_enemies: int, enemy_points: float) -> float:
    """The reward for killing all enemies, which have `enemy_points` of health and shields, and winning."""
    return n_enemies * settings.reward_death_value + settings.reward_win + enemy_points


def heights_as_smac_reads(image: npt.NDArray[np.uint8]) -> Reals:
    """Heights [32, 32] by [x, y] as SMAC takes them out of the game's image [32, 32], by [y, x].

    The game's first row is the southern one, SMAC takes it for the northern one: what it shows is mirrored.
    """
    return np.ascontiguousarray(image.T[:, ::-1] / 255.0)


def _slots(smac_map: SmacMap) -> IntArray:
    sides = [types.get(smac_map.map_type, ()) for types in (ALLY_TYPE_SLOTS, ENEMY_TYPE_SLOTS)]
    return np.array([[types.index(t) if t in types else -1 for t in UnitType] for types in sides], np.int64)
