"""Turns the live game's observations into arrays for SMAC's layout, and actions into the game's orders."""

from __future__ import annotations

import logging
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from envs.sc2.client import LostGameError
from envs.sc2.descriptors import sc2_protocol
from envs.sc2.numbers import AGENTS, ATTACK_ID, ENEMIES, HEAL_ID, MOVE_ID, STOP_ID
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, MOVE_CELLS, NO_OP, STOP
from envs.smac.maps import MAP_SIZE_CELLS, SmacMap
from envs.smac.shown import ShownUnits
from envs.smac.smac_map import PLAYABLE_CELLS
from envs.smac.tables import HEALTH_MAX, LayoutTables, heights_as_smac_reads, layout_tables, max_reward
from envs.smac.units import CUSTOM_TYPE_ORDER, SC2_UNIT_IDS, UNITS, UnitType
from envs.types import BoolArray, IntArray

log = logging.getLogger(__name__)

Reals = npt.NDArray[np.float64]

_TYPE_OF_ID: Final = {number: unit for unit, number in SC2_UNIT_IDS.items()}


class Roster:
    """The units of one episode: agents in the order of their ids, then enemies as they were first shown.

    `tags` and `utype` [U]; the arrays [U] are what the game showed last, all 0 once a unit is gone.
    """

    def __init__(self, smac_map: SmacMap, units: list[Any]) -> None:
        allies = sorted(
            (unit for unit in units if unit.owner == AGENTS),
            key=lambda unit: (unit.unit_type, unit.pos.x, unit.pos.y),
        )
        enemies = [unit for unit in units if unit.owner == ENEMIES]
        self.n_agents = len(allies)
        self.first = [*allies, *enemies]
        self.tags = [unit.tag for unit in self.first]
        self.column = {tag: u for u, tag in enumerate(self.tags)}
        types = [*_ally_types(smac_map, allies), *(_enemy_type(unit) for unit in enemies)]
        self.utype: IntArray = np.array(types, np.int64)
        self.x, self.y, self.health, self.shield, self.energy, self.cooldown = np.zeros((6, len(self.tags)))
        self.alive = [True] * len(self.tags)
        self.update(units)

    def update(self, units: list[Any]) -> None:
        """Read what the game shows; a unit that it does not show is dead for good."""
        shown = [False] * len(self.tags)
        column, alive = self.column, self.alive
        for unit in units:
            u = column.get(unit.tag)
            if u is None or not alive[u]:
                continue
            shown[u] = True
            pos = unit.pos
            self.x[u], self.y[u] = pos.x, pos.y
            self.health[u], self.shield[u] = unit.health, unit.shield
            self.energy[u], self.cooldown[u] = unit.energy, unit.weapon_cooldown
        if shown != alive:
            self.alive = shown
            dead = ~np.array(shown)
            for row in (self.health, self.shield, self.energy, self.cooldown):
                row[dead] = 0.0

    def shown_units(self) -> ShownUnits:
        """The units to record or watch; whom they shoot at, and enemies' cooldowns, the game does not say."""
        radius, health_max, shield_max = np.array(
            [(unit.radius, unit.health_max, unit.shield_max) for unit in self.first], np.float64
        ).T
        return ShownUnits(
            self.utype, radius, health_max, shield_max, self.x, self.y, self.health, self.shield, self.energy,
            self.cooldown, np.array(self.alive, np.int64), np.full(len(self.tags), -1),
        )  # fmt: skip


def is_complete(smac_map: SmacMap, units: list[Any]) -> bool:
    """Whether all units of both teams are there."""
    owners = [unit.owner for unit in units]
    return owners.count(AGENTS) == smac_map.n_agents and owners.count(ENEMIES) == smac_map.n_enemies


def _ally_types(smac_map: SmacMap, allies: list[Any]) -> list[UnitType]:
    """Types by the rank of their numbers, which the game gives to a map's own types in a known order."""
    numbers = sorted({unit.unit_type for unit in allies})
    types = sorted(set(smac_map.ally_types), key=CUSTOM_TYPE_ORDER.index)
    if len(numbers) != len(types):
        raise LostGameError(
            f"the agents' units are of {len(numbers)} types; {smac_map.name} has {len(types)}"
        )
    names = dict(zip(numbers, types, strict=True))
    return [names[unit.unit_type] for unit in allies]


def _enemy_type(unit: Any) -> UnitType:
    if unit.unit_type not in _TYPE_OF_ID:
        raise LostGameError(f"an enemy unit has the unknown type {unit.unit_type}")
    return _TYPE_OF_ID[unit.unit_type]


def game_tables(smac_map: SmacMap, info: Any, roster: Roster) -> LayoutTables:
    """The layout's tables, with the health and the ground that the game reports."""
    tables = layout_tables(smac_map)
    kinds = tables.kinds.copy()
    told: dict[int, float] = {}
    for kind, unit in zip(roster.utype.tolist(), roster.first, strict=True):
        if unit.health_max != told.setdefault(kind, unit.health_max):
            raise LostGameError(
                f"{UnitType(kind).name} has {told[kind]} health on one side, {unit.health_max} on the other"
            )
        if unit.health_max != UNITS[UnitType(kind)].health_max:
            log.warning("%s has %s health in this game", UnitType(kind).name, unit.health_max)
        kinds[HEALTH_MAX, kind] = unit.health_max
    enemies = roster.first[roster.n_agents :]
    points = sum(unit.health_max + unit.shield_max for unit in enemies)
    area = info.start_raw.playable_area
    width, height = area.p1.x - area.p0.x, area.p1.y - area.p0.y
    if min(width, height) <= 0:
        raise LostGameError(f"the playable area is {width} x {height} cells")
    if (width, height) != (PLAYABLE_CELLS, PLAYABLE_CELLS):
        text = "the playable area is %s x %s cells; models know positions that are divided by %s"
        log.warning(text, width, height, PLAYABLE_CELLS)
    return tables._replace(
        kinds=kinds,
        max_reward=max_reward(smac_map.settings, len(enemies), points),
        walkable=pathing_grid(info.start_raw),
        height=heights_as_smac_reads(height_image(info.start_raw)),
        max_distance_x=float(width),
        max_distance_y=float(height),
    )


def pathing_grid(raw: Any) -> BoolArray:
    """[32, 32] walkable cells by [x, y]: one bit a cell from y = 0 up, or a byte, inverted, from the top."""
    size = raw.map_size.x, raw.map_size.y
    image = raw.pathing_grid
    if size != (MAP_SIZE_CELLS, MAP_SIZE_CELLS):
        raise LostGameError(f"the map has {size[0]} x {size[1]} cells, and SMAC's have {MAP_SIZE_CELLS}")
    cells = np.frombuffer(image.data, np.uint8)
    if len(cells) * (8 // max(image.bits_per_pixel, 1)) != MAP_SIZE_CELLS**2:
        raise LostGameError("the pathing grid has another size than the map")
    if image.bits_per_pixel == 1:
        return np.ascontiguousarray(np.unpackbits(cells).reshape(size).T.astype(np.bool_))
    return np.ascontiguousarray(cells.reshape(size)[::-1].T == 0)


def height_image(raw: Any) -> npt.NDArray[np.uint8]:
    """[32, 32] the game's picture of the heights, a byte a cell."""
    cells = np.frombuffer(raw.terrain_height.data, np.uint8)
    if len(cells) != MAP_SIZE_CELLS**2:
        raise LostGameError("the picture of the heights has another size than the map")
    return cells.reshape(MAP_SIZE_CELLS, MAP_SIZE_CELLS)


class OrderWriter:
    """Turns the actions of SMAC into the game's orders."""

    def __init__(self) -> None:
        self._action = sc2_protocol().Action

    def orders(self, roster: Roster, actions: list[int]) -> list[Any]:
        """One order for every living agent; actions [N] must be available."""
        return [
            self._order(roster, agent, action)
            for agent, action in enumerate(actions)
            if roster.alive[agent] and action != NO_OP
        ]

    def _order(self, roster: Roster, agent: int, action: int) -> Any:
        message = self._action()
        command = message.action_raw.unit_command
        command.unit_tags.append(roster.tags[agent])
        command.queue_command = False
        if action == STOP:
            command.ability_id = STOP_ID
        elif action < FIRST_ATTACK:
            command.ability_id = MOVE_ID
            dx, dy = DIRECTIONS[action]
            point = command.target_world_space_pos
            point.x, point.y = roster.x[agent] + dx * MOVE_CELLS, roster.y[agent] + dy * MOVE_CELLS
        else:
            heals = roster.utype[agent] == UnitType.MEDIVAC
            command.ability_id = HEAL_ID if heals else ATTACK_ID
            target = action - FIRST_ATTACK + (0 if heals else roster.n_agents)
            command.target_unit_tag = roster.tags[target]
        return message
