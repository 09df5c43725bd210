"""The units of a battle as whoever records or watches it sees them, on the simulator and on the live game."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from envs.smac.smac_map import SmacMap
from envs.types import Arena, IntArray

Reals = npt.NDArray[np.float64]


class ShownUnits(NamedTuple):
    """The units of one battle as they stand, [U] each, agents first.

    types: values of `UnitType`; radius, x and y in cells; energy in points; cooldown in game loops until the
    weapon is ready; alive: 1 or 0; shot_at: the unit shot at or healed during the last step, -1 none, or
    where the game does not say.
    """

    types: IntArray
    radius: Reals
    health_max: Reals
    shield_max: Reals
    x: Reals
    y: Reals
    health: Reals
    shield: Reals
    energy: Reals
    cooldown: Reals
    alive: IntArray
    shot_at: IntArray


class ShowsUnits(Arena, Protocol):
    """An environment of SMAC's whose units can be recorded and watched."""

    smac_map: SmacMap
    seed: int

    @property
    def episodes(self) -> IntArray:
        """[B] number of the episode that each slot plays, -1 before the first."""
        ...

    def shown_units(self, slot: int) -> ShownUnits:
        """The units of the battle in a slot; ValueError where none has begun."""
        ...
