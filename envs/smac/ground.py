"""The cells of a map on which units can stand, by the real game's rule, from the map's cliff levels.

Source: recordings and replays of the real game, on 3m, MMM2, 2c_vs_64zg and corridor; docs/battlefield.md.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from envs.smac.smac_map import MAP_SIZE_CELLS, PLAYABLE_MAX, PLAYABLE_MIN
from envs.types import BoolArray

BASE_HEIGHT: Final = 7.5
CLIFF_HEIGHT: Final = 2.0
"""How high the void lies, and one cliff level."""

_CLIFF_STEP: Final = 0.2
"""A neighbour that is higher by this or more stands on a cliff; a ramp's lowest step is .125 high."""


def walkable_cells(cliff_level: npt.NDArray[np.float32]) -> tuple[BoolArray, BoolArray]:
    """Where ground units and where colossi can stand: [32, 32] each, as cliff_level, indexed [x, y].

    Colossi stand on every cell of the playable area that is not void. Ground units stand there too, but not
    at the foot of a cliff: on a whole level beside a cell that is higher. They can stand on a cliff's edge.
    """
    inside = np.zeros((MAP_SIZE_CELLS, MAP_SIZE_CELLS), np.bool_)
    inside[PLAYABLE_MIN:PLAYABLE_MAX, PLAYABLE_MIN:PLAYABLE_MAX] = True
    colossus = inside & (cliff_level > 0)
    around = np.pad(cliff_level, 1)
    neighbours = around[2:, 1:-1], around[:-2, 1:-1], around[1:-1, 2:], around[1:-1, :-2]
    is_below_cliff = np.maximum.reduce(neighbours) >= cliff_level + _CLIFF_STEP
    foot = is_below_cliff & (cliff_level == np.floor(cliff_level))
    return colossus & ~foot, colossus


def terrain_image(cliff_level: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """The heights [32, 32] by [y, x] as the game's API codes them: 0 is -16, 255 is 16 cells."""
    heights = BASE_HEIGHT + CLIFF_HEIGHT * cliff_level.T
    return np.round((heights + 16) * 255 / 32).astype(np.uint8)
