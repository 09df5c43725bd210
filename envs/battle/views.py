"""Read-only views of the units of all battles, for recorders and scripted teams."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from envs.battle import fields
from envs.battle.world import Battles, Reals, Worlds
from envs.smac.smac_map import SmacMap
from envs.types import Arena, IntArray

Numbers = TypeVar("Numbers", bound=npt.NDArray[Any])


class Units:
    """Views of the running battles, [B, U], agents first, then enemies; they change with every step.

    Where teams are drawn, what a unit is changes with every episode.

    Positions in cells, energy in points, cooldown in loops until the weapon is ready.
    """

    def __init__(self, battles: Battles, worlds: Worlds) -> None:
        f, k = battles.f, battles.k
        self.n_agents = worlds.n_agents
        self.types = self._of_all(f, worlds.t[:, fields.TYPE])  # values of UnitType
        self.radius = self._of_all(f, worlds.s[:, fields.RADIUS])  # cells
        self.health_max = self._of_all(f, worlds.s[:, fields.HEALTH_MAX])
        self.shield_max = self._of_all(f, worlds.s[:, fields.SHIELD_MAX])
        self.damage = self._of_all(
            f, worlds.damage
        )  # [B, U, U] of a hit before armor; 0: row cannot attack column
        self.x = _frozen(f[:, fields.X])
        self.y = _frozen(f[:, fields.Y])
        self.health = _frozen(f[:, fields.HEALTH])
        self.shield = _frozen(f[:, fields.SHIELD])
        self.energy = _frozen(f[:, fields.ENERGY])
        self.cooldown = _frozen(f[:, fields.COOLDOWN])
        self.alive = _frozen(k[:, fields.ALIVE])  # 1 or 0
        self.order = _frozen(k[:, fields.ORDER])  # values of fields.Order
        self.order_target = _frozen(k[:, fields.ORDER_TARGET])  # unit index, -1 none
        self.order_x = _frozen(f[:, fields.GOAL_X])  # the order's point
        self.order_y = _frozen(f[:, fields.GOAL_Y])
        self.target = _frozen(k[:, fields.TARGET])  # unit fought or healed now, -1 none
        self.shot_at = _frozen(k[:, fields.SHOT_AT])  # unit shot at or healed during the last step, -1 none

    @staticmethod
    def _of_all(f: Reals, traits: Numbers) -> Numbers:
        """A view [B, ...] of traits [W, ...]."""
        return np.broadcast_to(traits, (len(f), *traits.shape[1:]))  # type: ignore[return-value]


def _frozen(array: Numbers) -> Numbers:
    view = array.view()
    view.flags.writeable = False
    return view


class Side(Arena, Protocol):
    """What scripted teams are made from: battles as the side sees them that the team commands."""

    @property
    def units(self) -> Units: ...

    @property
    def episodes(self) -> IntArray:
        """[B] number of the episode that each slot plays, -1 before the first."""
        ...

    @property
    def smac_map(self) -> SmacMap: ...
