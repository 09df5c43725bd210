"""A SMAC map: its teams, spawn points and ground, and the dimensions that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from envs.smac.actions import FIRST_ATTACK, NORTH
from envs.smac.settings import NO_FOG, SmacSettings
from envs.smac.units import CUSTOM_TYPE_ORDER, UnitType
from envs.types import BoolArray, EnemyRows, EnvSpec

MAP_SIZE_CELLS: Final = 32
"""Width and height of every SMAC map."""

PLAYABLE_MIN: Final = 2
PLAYABLE_MAX: Final = 30
"""The game cuts two cells off each side of a map: units stay from 2 to 30 in both axes."""

PLAYABLE_CELLS: Final = PLAYABLE_MAX - PLAYABLE_MIN
"""Width and height of the playable area; SMAC divides positions in the state by it."""

GRID_PER_CELL: Final = 4096.0
"""Positions in the game are whole multiples of 1/4096 cell."""

MAX_TEAM_UNITS: Final = 64
"""Units of one side: a colossus's sweep marks those it hit in 64 bits."""

ALLY_HEAD: Final = 4
"""Features before shield and type in an agent's row of the state: health, cooldown, x, y."""

ENEMY_HEAD: Final = 3
"""In an enemy's row of the state: health, x, y."""

OBS_HEAD: Final = 4
"""In an observation's row of another unit: visible or available, distance, x, y."""

N_PATHING: Final = 8
N_HEIGHTS: Final = 9
"""Numbers that `obs_pathing_grid` and `obs_terrain_height` add to an observation."""

OrderKind = Literal["attack_move", "attack_move_between", "attack_units", "attack_closest", "none"]
MapType = Literal[
    "marines",
    "stalkers",
    "zealots",
    "hydralisks",
    "colossus",
    "stalkers_and_zealots",
    "colossi_stalkers_zealots",
    "MMM",
    "bane",
    "protoss_gen",
    "terran_gen",
    "zerg_gen",
    "TvT",
    "TvP",
    "TvZ",
    "PvT",
    "PvP",
    "PvZ",
    "ZvT",
    "ZvP",
    "ZvZ",
]
"""SMAC's, SMACv2's, and for one's own maps the races of both sides: all types of a race have a place."""

_M, _S, _C, _B = UnitType.MARAUDER, UnitType.STALKER, UnitType.COLOSSUS, UnitType.BANELING
RACE_TYPES: Final[dict[str, tuple[UnitType, ...]]] = {
    "T": (_M, UnitType.MARINE, UnitType.MEDIVAC),
    "P": (_C, _S, UnitType.ZEALOT),
    "Z": (_B, UnitType.HYDRALISK, UnitType.ZERGLING, UnitType.SPINE_CRAWLER),
}
"""All unit types of each race."""

ALLY_TYPE_SLOTS: Final[dict[str, tuple[UnitType, ...]]] = {
    "stalkers_and_zealots": (_S, UnitType.ZEALOT),
    "colossi_stalkers_zealots": (_C, _S, UnitType.ZEALOT),
    "MMM": (_M, UnitType.MARINE, UnitType.MEDIVAC),
    "bane": (_B, UnitType.ZERGLING),
    "protoss_gen": (_S, UnitType.ZEALOT, _C),
    "terran_gen": (UnitType.MARINE, _M, UnitType.MEDIVAC),
    "zerg_gen": (UnitType.ZERGLING, UnitType.HYDRALISK, _B),
    **{f"{ally}v{enemy}": RACE_TYPES[ally] for ally in RACE_TYPES for enemy in RACE_TYPES},
}
"""The agents' type one-hot by map type; map types that are not named have none."""

ENEMY_TYPE_SLOTS: Final[dict[str, tuple[UnitType, ...]]] = {
    **ALLY_TYPE_SLOTS,
    "stalkers_and_zealots": (UnitType.ZEALOT, _S),
    **{f"{ally}v{enemy}": RACE_TYPES[enemy] for ally in RACE_TYPES for enemy in RACE_TYPES},
}
"""The enemies' type one-hot: as the agents', but with stalkers and zealots reversed (SMAC's quirk)."""


@dataclass(frozen=True)
class SpawnGroup:
    """`count` units of one type, created at the point (x, y), in cells."""

    unit: UnitType
    count: int
    x: float
    y: float


@dataclass(frozen=True)
class EnemyOrder:
    """The one order that all enemies get right after the spawn.

    `attack_move`: to points[0]; `attack_move_between`: to a random point on the line between the two points;
    `attack_units`: attack the agents as a group; `none`. `attack_closest` is an order again and again: every
    eight loops those that do nothing are to attack the closest agent.
    """

    kind: OrderKind
    points: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class TeamDraw:
    """Teams and starts that are drawn in every episode: each unit is one of `kinds`, by its weight.

    A team is not of `support` alone. The enemies are the same units as the agents, and further ones.
    """

    n_agents: int
    n_enemies: int
    kinds: tuple[UnitType, ...]
    weights: tuple[float, ...]
    support: UnitType | None = None


@dataclass(frozen=True, eq=False)
class SmacMap:
    """One map. Grids are [32, 32], indexed [x, y] by a cell's lower left corner, and read-only.

    Spawns are in creation order. `walkable` is for ground units, `colossus_walkable` for colossi; aircraft
    fly over the whole playable area. Both follow from `cliff_level` (0 void, 1, 2, between them on ramps):
    see `ground`. `notes` say what is exact and what is a choice. A map whose teams are drawn has no spawns.
    """

    name: str
    episode_limit: int  # environment steps
    ally_race: str
    enemy_race: str
    map_type: MapType
    unit_type_bits: int
    ally_spawns: tuple[SpawnGroup, ...]
    enemy_spawns: tuple[SpawnGroup, ...]
    enemy_order: EnemyOrder
    walkable: BoolArray = field(repr=False)
    colossus_walkable: BoolArray = field(repr=False)
    cliff_level: npt.NDArray[np.float32] = field(repr=False)
    notes: tuple[str, ...] = field(repr=False, default=())
    settings: SmacSettings = field(default_factory=SmacSettings)
    draw: TeamDraw | None = None

    @property
    def n_agents(self) -> int:
        return self.draw.n_agents if self.draw else len(self.ally_types)

    @property
    def n_enemies(self) -> int:
        return self.draw.n_enemies if self.draw else len(self.enemy_types)

    @property
    def ally_shield(self) -> int:
        """Width of the shield feature in an ally's row: 1 for Protoss, else 0."""
        return int(self.ally_race == "P")

    @property
    def enemy_shield(self) -> int:
        """Width of the shield feature in an enemy's row: 1 for Protoss, else 0."""
        return int(self.enemy_race == "P")

    @property
    def ally_types(self) -> tuple[UnitType, ...]:
        """[N] types in the order of agent ids: by custom unit type, then x, then y; none if drawn."""
        return tuple(sorted(_types_of(self.ally_spawns), key=CUSTOM_TYPE_ORDER.index))

    @property
    def enemy_types(self) -> tuple[UnitType, ...]:
        """[n_enemies] types in creation order, the order of the raw observation; none if they are drawn."""
        return _types_of(self.enemy_spawns)

    @property
    def medivacs_heal(self) -> bool:
        """Whether agents' medivacs heal, and a side that has only them left has lost."""
        return UnitType.MEDIVAC in ALLY_TYPE_SLOTS.get(self.map_type, ())

    @property
    def n_actions(self) -> int:
        """Actions of an agent: one for every enemy, and beside medivacs at least one for every agent."""
        kinds = self.draw.kinds if self.draw else self.ally_types
        patients = self.n_agents if UnitType.MEDIVAC in kinds else 0
        return FIRST_ATTACK + max(self.n_enemies, patients)

    @property
    def spec(self) -> EnvSpec:
        """SMAC's dimensions (get_obs_size, get_state_size) with the map's `settings`.

        Its name tells whether there is fog, so that no agent is shown what it was not trained on.
        """
        (_, unit_dim), _ = self.state_rows
        state_dim = self.units_dim + self.settings.state_timestep_number
        state_dim += self.n_agents * self.n_actions * self.settings.state_last_action
        if self.settings.obs_instead_of_state:
            state_dim, unit_dim = self.n_agents * self.obs_dim, self.obs_dim
        return EnvSpec(
            name=self.name + NO_FOG * self.settings.fully_observable,
            n_agents=self.n_agents,
            n_actions=self.n_actions,
            obs_dim=self.obs_dim,
            state_dim=state_dim,
            unit_dim=unit_dim,
            episode_limit=self.episode_limit,
        )

    @property
    def state_rows(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """(rows, width) of the state's agents, then of its enemies."""
        ally, enemy = self.ally_shield + self.unit_type_bits, self.enemy_shield + self.unit_type_bits
        return (self.n_agents, ALLY_HEAD + ally), (self.n_enemies, ENEMY_HEAD + enemy)

    @property
    def units_dim(self) -> int:
        """Width of the units' rows in the state, all together."""
        return sum(rows * width for rows, width in self.state_rows)

    @property
    def obs_moves(self) -> int:
        """Features at the head of an observation: available moves, the ground around."""
        pathing, heights = self.settings.obs_pathing_grid, self.settings.obs_terrain_height
        return FIRST_ATTACK - NORTH + N_PATHING * pathing + N_HEIGHTS * heights

    @property
    def obs_widths(self) -> tuple[int, int]:
        """Width of an enemy's row and of a team mate's row in an observation."""
        enemy = ally = OBS_HEAD + self.unit_type_bits
        if self.settings.obs_all_health:
            enemy, ally = enemy + 1 + self.enemy_shield, ally + 1 + self.ally_shield
        return enemy, ally + self.n_actions * self.settings.obs_last_action

    @property
    def enemy_rows(self) -> EnemyRows:
        """Where an observation holds the enemies: after what stands at its head."""
        width, _ = self.obs_widths
        return EnemyRows(self.obs_moves, self.n_enemies, width, distance=1, first_attack=FIRST_ATTACK)

    @property
    def obs_dim(self) -> int:
        """Width of an observation: moves, enemies, team mates, own features, time."""
        enemy, ally = self.obs_widths
        rows = self.n_enemies * enemy + (self.n_agents - 1) * ally
        own = (1 + self.ally_shield) * self.settings.shows_own_health + 2 * self.settings.obs_own_pos
        return self.obs_moves + rows + own + self.unit_type_bits + self.settings.obs_timestep_number


def _types_of(groups: tuple[SpawnGroup, ...]) -> tuple[UnitType, ...]:
    return tuple(group.unit for group in groups for _ in range(group.count))
