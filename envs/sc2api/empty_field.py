"""SMACv2's game map: a field without units. A battle begins with the units that the client has created.

Its script sends enemies that do nothing to the closest agent. No battle follows by itself on an empty field.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from envs.battle import fields
from envs.battle.kernel import start_battles
from envs.battle.roster import make_world_of, shared
from envs.battle.world import World, make_battles
from envs.sc2api.battle import Battle
from envs.sc2api.ids import COMPUTER, PLAYER
from envs.smac.formation import DoesNotFitError, Placed, place_groups
from envs.smac.smac_map import MAX_TEAM_UNITS, SmacMap, SpawnGroup
from envs.smac.units import CUSTOM_TYPE_ORDER, UnitType

OWN_TYPES: Final = tuple(unit for unit in CUSTOM_TYPE_ORDER if unit != UnitType.SPINE_CRAWLER)
"""The nine types that the map brings, in the order of their ids."""


class _Created(NamedTuple):
    """A unit that the next step brings onto the field."""

    unit: UnitType
    unit_id: int
    owner: int
    x: float
    y: float


class EmptyField(Battle):
    """One game on SMACv2's map; with the teams and starts of `BattleEnv` it plays its battles."""

    def _load(self) -> World:
        return make_world_of(self.smac_map, [], [])

    def _own_types(self) -> tuple[UnitType, ...]:
        return OWN_TYPES

    def _start(self) -> None:
        """Clear the field."""
        self._created: list[_Created] = []
        self._hold(self._map_world, [])
        self.arrays = make_battles(1, fields.F_ROWS, fields.K_ROWS, 0)

    def create(self, unit: UnitType, unit_id: int, owner: int, x: float, y: float) -> bool:
        """Put a unit near (x, y), in cells: with the next step on an empty field; False without room."""
        if any(self.alive):
            return super().create(unit, unit_id, owner, x, y)
        if self.count(owner) >= MAX_TEAM_UNITS:
            return False
        self._created.append(_Created(unit, unit_id, owner, x, y))
        return True

    def count(self, owner: int) -> int:
        """Units of a player that live, or come with the next step."""
        return super().count(owner) + sum(created.owner == owner for created in self._created)

    def step(self, loops: int) -> None:
        """Play `loops` game loops; the first one brings the units that were created on an empty field."""
        if self._created:
            self._begin()
            self.game_loop += 1
            loops -= 1
        if any(self.alive):
            self._play(loops)
        self.game_loop += loops

    def _places(self) -> list[Placed]:
        """Where the created units stand; those that do not fit are not created."""
        while True:
            groups = [SpawnGroup(new.unit, 1, new.x, new.y) for new in self._created]
            try:
                return place_groups(self.smac_map, groups)
            except DoesNotFitError as error:
                del self._created[error.group]

    def _begin(self) -> None:
        """Begin the next battle with the created units: each stands at its point, or near it."""
        self.episode += 1
        units = list(zip(self._created, self._places(), strict=True))
        agents = [unit for unit in units if unit[0].owner == PLAYER]
        agents.sort(key=lambda unit: CUSTOM_TYPE_ORDER.index(unit[0].unit))
        columns = agents + [unit for unit in units if unit[0].owner == COMPUTER]
        self._created = []
        placed: list[Placed] = [place for _, place in columns]
        self._hold(
            make_world_of(self.smac_map, placed[: len(agents)], placed[len(agents) :]),
            [new.unit_id for new, _ in columns],
        )
        self._tell_who_acquires()
        self.arrays = make_battles(1, fields.F_ROWS, fields.K_ROWS, len(columns))
        self.arrays.episode[0] = self.episode
        start_battles(self.arrays, shared(self.world), np.ones(1, np.bool_), np.uint64(self.seed), False)


def battle_on(smac_map: SmacMap, seed: int) -> Battle:
    """A game on a map."""
    is_empty = not (smac_map.ally_spawns or smac_map.enemy_spawns)
    return (EmptyField if is_empty else Battle)(smac_map, seed)
