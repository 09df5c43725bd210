"""A SMAC map: its teams, spawn points and ground, and the dimensions that follow from them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from envs.smac.actions import FIRST_ATTACK, NORTH
from envs.smac.units import CUSTOM_TYPE_ORDER, UnitType
from envs.types import BoolArray, EnvSpec

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

OBS_HEAD: Final = 5
"""In an observation's row of another unit: visible or available, distance, x, y, health."""

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
]

_M, _S, _C, _B = UnitType.MARAUDER, UnitType.STALKER, UnitType.COLOSSUS, UnitType.BANELING
ALLY_TYPE_SLOTS: Final[dict[str, tuple[UnitType, ...]]] = {
    "stalkers_and_zealots": (_S, UnitType.ZEALOT),
    "colossi_stalkers_zealots": (_C, _S, UnitType.ZEALOT),
    "MMM": (_M, UnitType.MARINE, UnitType.MEDIVAC),
    "bane": (_B, UnitType.ZERGLING),
    "protoss_gen": (_S, UnitType.ZEALOT, _C),
    "terran_gen": (UnitType.MARINE, _M, UnitType.MEDIVAC),
    "zerg_gen": (UnitType.ZERGLING, UnitType.HYDRALISK, _B),
}
"""The agents' type one-hot by map type; map types that are not named have none."""

ENEMY_TYPE_SLOTS: Final[dict[str, tuple[UnitType, ...]]] = {
    **ALLY_TYPE_SLOTS,
    "stalkers_and_zealots": (UnitType.ZEALOT, _S),
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
    `prob_obs_enemy`: how likely an enemy that one agent finds is shown to each other. `action_mask`: whether
    only enemies in range can be chosen; without it an attack out of range is no new order.
    """

    n_agents: int
    n_enemies: int
    kinds: tuple[UnitType, ...]
    weights: tuple[float, ...]
    support: UnitType | None = None
    prob_obs_enemy: float = 1.0
    action_mask: bool = True


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
        """[N] types in the order of agent ids: SMAC sorts by custom unit type, then x, then y; none if drawn."""
        return tuple(sorted(_types_of(self.ally_spawns), key=CUSTOM_TYPE_ORDER.index))

    @property
    def enemy_types(self) -> tuple[UnitType, ...]:
        """[n_enemies] types in creation order, the order of the raw observation; none if they are drawn."""
        return _types_of(self.enemy_spawns)

    @property
    def spec(self) -> EnvSpec:
        """SMAC's dimensions (get_obs_size, get_state_size), the state without its last-action block."""
        ally, enemy = self.ally_shield + self.unit_type_bits, self.enemy_shield + self.unit_type_bits
        seen = self.n_enemies * (OBS_HEAD + enemy) + (self.n_agents - 1) * (OBS_HEAD + ally)
        return EnvSpec(
            name=self.name,
            n_agents=self.n_agents,
            n_actions=FIRST_ATTACK + self.n_enemies,
            obs_dim=FIRST_ATTACK - NORTH + seen + 1 + ally,
            state_dim=self.n_agents * (ALLY_HEAD + ally) + self.n_enemies * (ENEMY_HEAD + enemy),
            unit_dim=ALLY_HEAD + ally,
            episode_limit=self.episode_limit,
        )


def _types_of(groups: tuple[SpawnGroup, ...]) -> tuple[UnitType, ...]:
    return tuple(group.unit for group in groups for _ in range(group.count))
