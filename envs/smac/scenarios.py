"""SMACv2's fifteen scenarios: maps whose teams and starts are drawn anew in every episode.

Source: the configurations in SMACv2 (oxwhirl/smacv2 at 577ab5a) and the game map that they all play,
`32x32_flat`. What is drawn, and how, is in `envs.battle.drawing`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, NamedTuple

import numpy as np

from envs.smac.ground import walkable_cells
from envs.smac.settings import SMAC_V2, SMAC_V2_EPO
from envs.smac.smac_map import MAP_SIZE_CELLS, EnemyOrder, MapType, SmacMap, TeamDraw
from envs.smac.units import UnitType

EPISODE_LIMIT_STEPS: Final = 200
TYPE_BITS: Final = 3
WEIGHTS: Final = (0.45, 0.45, 0.1)

EPO: Final = "_epo"
"""Suffix of a scenario with SMACv2's "extended partial observability": an enemy is shown to the agent alone
that found it first, and every living enemy can be chosen, in range or not."""

SIZES: Final = ((5, 5), (10, 10), (20, 20), (10, 11), (20, 23))
"""Agents and enemies."""


class _Race(NamedTuple):
    letter: str
    map_type: MapType
    kinds: tuple[UnitType, UnitType, UnitType]
    support: UnitType | None


RACES: Final = {
    "protoss": _Race("P", "protoss_gen", (UnitType.STALKER, UnitType.ZEALOT, UnitType.COLOSSUS), None),
    "terran": _Race(
        "T", "terran_gen", (UnitType.MARINE, UnitType.MARAUDER, UnitType.MEDIVAC), UnitType.MEDIVAC
    ),
    "zerg": _Race(
        "Z", "zerg_gen", (UnitType.ZERGLING, UnitType.HYDRALISK, UnitType.BANELING), UnitType.BANELING
    ),
}
"""The races: the kinds of units, by `WEIGHTS`, and the one of which no team consists alone."""

SCENARIO_NAMES: Final = tuple(f"{race}_{n}_vs_{m}" for race in RACES for n, m in SIZES)
EPO_NAMES: Final = tuple(name + EPO for name in SCENARIO_NAMES)

NOTES: Final = (
    "Exact (read in SMACv2): weights, rules of the draws, limit; in its game map: the enemies' script, the "
    "ground, on which units can stand within 2 to 30.",
    "A choice: units that do not fit are placed as on SMAC's maps; the script looks at the enemies when an "
    "environment step begins.",
)


FIELD: Final = "32x32_flat"
"""The game map that all scenarios play: a field without units, which the client creates."""


def flat_field() -> SmacMap:
    """The field itself: whoever plays on it creates the units."""
    levels = np.ones((MAP_SIZE_CELLS, MAP_SIZE_CELLS), np.float32)
    walkable, colossus_walkable = walkable_cells(levels)
    for grid in (walkable, colossus_walkable, levels):
        grid.flags.writeable = False
    return SmacMap(
        name=FIELD,
        episode_limit=EPISODE_LIMIT_STEPS,
        ally_race="T",
        enemy_race="T",
        map_type="terran_gen",
        unit_type_bits=TYPE_BITS,
        ally_spawns=(),
        enemy_spawns=(),
        enemy_order=EnemyOrder("attack_closest"),
        walkable=walkable,
        colossus_walkable=colossus_walkable,
        cliff_level=levels,
        notes=NOTES,
    )


def make_scenario(name: str) -> SmacMap:
    """The scenario of that name, one of `SCENARIO_NAMES` or `EPO_NAMES`."""
    race_name, _, size = name.removesuffix(EPO).partition("_")
    race = RACES[race_name]
    n_agents, n_enemies = (int(number) for number in size.split("_vs_"))
    return replace(
        flat_field(),
        name=name,
        ally_race=race.letter,
        enemy_race=race.letter,
        map_type=race.map_type,
        settings=SMAC_V2_EPO if name.endswith(EPO) else SMAC_V2,
        draw=TeamDraw(n_agents, n_enemies, race.kinds, WEIGHTS, race.support),
    )
