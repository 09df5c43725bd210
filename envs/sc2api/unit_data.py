"""Answers requests about units and abilities (`data`), and queries."""

from __future__ import annotations

import math
from typing import Any

from envs.battle import fields
from envs.battle.roster import plane_of
from envs.sc2.descriptors import protocol_module
from envs.sc2.numbers import ATTACK_ID, HEAL_ID, HOLD_ID, MOVE_ID, SCAN_MOVE_ID, STOP_ID
from envs.sc2api.battle import Battle
from envs.sc2api.ids import ABILITIES, NAMES
from envs.sc2api.orders import result_number
from envs.smac.units import ENEMY_UNITS, SC2_UNIT_IDS, UNITS, Attribute, UnitType

_RACES = {"T": "Terran", "Z": "Zerg", "P": "Protoss"}


def write_data(data: Any, battle: Battle, request: Any) -> None:
    """Fill in the ResponseData `data` with the types and abilities that `request` asks for."""
    if request.ability_id:
        for number, ability in ABILITIES.items():
            _add_ability(data, number, ability)
    if request.unit_type_id:
        types = {number: (unit, NAMES[unit]) for unit, number in SC2_UNIT_IDS.items()}
        types |= {number: (unit, f"{NAMES[unit]}_RL") for unit, number in battle.custom_ids.items()}
        for number in range(max(types) + 1):  # as in the game, a type's place is its id
            if number in types:
                _add_type(data, types[number][0], number, types[number][1])
            else:
                data.units.add(unit_id=number)


def _add_ability(data: Any, number: int, ability: Any) -> None:
    targets = {
        (False, False): "None",
        (True, False): "Point",
        (False, True): "Unit",
        (True, True): "PointOrUnit",
    }
    target = targets[ability.at_point is not None, ability.at_unit is not None]
    entry = data.abilities.add(
        ability_id=number,
        link_name=ability.name,
        friendly_name=ability.name,
        button_name=ability.name,
        hotkey=ability.hotkey,
        available=True,
        target=protocol_module("data").AbilityData.Target.Value(target),
    )
    if ability.remaps_to:
        entry.remaps_to_ability_id = ability.remaps_to


def _add_type(data: Any, unit: UnitType, number: int, name: str) -> None:
    data_pb, common_pb = protocol_module("data"), protocol_module("common")
    stats = (ENEMY_UNITS if number == SC2_UNIT_IDS[unit] else UNITS)[unit]
    entry = data.units.add(
        unit_id=number,
        name=name,
        available=True,
        race=common_pb.Race.Value(_RACES[stats.race]),
        sight_range=stats.sight,
        movement_speed=stats.speed_cells_s,
        armor=stats.armor,
        attributes=[
            data_pb.Attribute.Value(attribute.name.title())
            for attribute in Attribute
            if attribute and attribute in stats.attributes and attribute.name
        ],
    )
    if stats.can_attack:
        kind = "Any" if stats.shoots_air else "Ground"
        entry.weapons.add(
            type=data_pb.Weapon.TargetType.Value(kind),
            damage=stats.damage,
            attacks=stats.hits,
            range=stats.range_cells,
            speed=stats.period_s,
        )


def answer_query(response: Any, battle: Battle, request: Any) -> None:
    """Fill in the ResponseQuery to pathing, availability and placement queries."""
    for pathing in request.pathing:
        response.pathing.add(distance=_pathing(battle, pathing))
    for asked in request.abilities:
        unit = battle.column.get(asked.unit_tag)
        entry = response.abilities.add(unit_tag=asked.unit_tag)
        if unit is not None and battle.arrays.k[0, fields.ALIVE, unit]:
            entry.unit_type_id = battle.type_ids[unit]
            for number in _abilities_of(battle.type_of(unit)):
                needs_point = ABILITIES[number].at_point is not None
                entry.abilities.add(ability_id=number, requires_point=needs_point)
    for _ in request.placements:  # units here build nothing
        response.placements.add(result=result_number("NotSupported"))


def _abilities_of(unit: UnitType) -> list[int]:
    if unit == UnitType.MEDIVAC:
        return [MOVE_ID, STOP_ID, HOLD_ID, SCAN_MOVE_ID, HEAL_ID]
    moves = [MOVE_ID, HOLD_ID] if UNITS[unit].speed_cells_s else []
    return [STOP_ID, ATTACK_ID, *moves]


def _pathing(battle: Battle, query: Any) -> float:
    """Length of the way in cells; 0 when there is none, when the unit is unknown or cannot walk."""
    plane = fields.GROUND
    start = query.start_pos.x, query.start_pos.y
    if query.HasField("unit_tag"):
        unit = battle.column.get(query.unit_tag)
        if unit is None or not UNITS[battle.type_of(unit)].speed_cells_s:
            return 0.0
        plane = plane_of(battle.type_of(unit))
        f = battle.arrays.f[0]
        start = float(f[fields.X, unit]), float(f[fields.Y, unit])
    goal = query.end_pos.x, query.end_pos.y
    if not all(math.isfinite(value) for value in (*start, *goal)):
        return 0.0
    if plane == fields.AIR:
        return math.dist(start, goal)
    column, row = math.floor(goal[0]), math.floor(goal[1])
    grid = battle.world.terrain.walkable[plane]
    if not (0 <= column < len(grid) and 0 <= row < len(grid) and grid[column, row]):
        return 0.0
    return battle.way_cells(plane, start, goal)
