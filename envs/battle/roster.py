"""The units of one map as the arrays that kernels read: who stands in which column, and what it can do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from envs.battle import fields
from envs.battle.formation import place_groups
from envs.battle.terrain import Terrain, make_terrain
from envs.smac.maps import SmacMap
from envs.smac.units import CUSTOM_TYPE_ORDER, LOOPS_PER_SECOND, UNITS, Attribute, UnitType

MIN_SCAN_CELLS: Final = 5.0
"""Acquisition range of units whose weapon reaches less far, cells, edge to edge."""

SHOOTS_AIR: Final = frozenset({UnitType.MARINE, UnitType.STALKER, UnitType.HYDRALISK})

_WEAPONS: Final = {
    UnitType.MEDIVAC: fields.HEAL_BEAM,
    UnitType.ZEALOT: fields.TWO_BLOWS,
    UnitType.COLOSSUS: fields.LANCES,
    UnitType.BANELING: fields.EXPLOSION,
}

_ENEMY_ORDERS: Final = {
    "none": fields.STOP,
    "attack_move": fields.ATTACK_MOVE,
    "attack_move_between": fields.ATTACK_MOVE,
    "attack_units": fields.ATTACK_GROUP,
}


@dataclass(frozen=True)
class Roster:
    """A map's units: agents by type in the order of their ids (within a type, each episode settles who stands
    where), then enemies in creation order.

    s [S_ROWS, U], t [T_ROWS, U] (fields.py); damage [U, U] of one hit of row on column before armor, 0 where
    it cannot attack it; sites [U, 4] spawn point and offset; enemy_points [P, 2].
    """

    n_units: int
    s: npt.NDArray[np.float64]
    t: npt.NDArray[np.int64]
    damage: npt.NDArray[np.float64]
    sites: npt.NDArray[np.float64]
    terrain: Terrain
    enemy_order: int
    enemy_points: npt.NDArray[np.float64]


def plane_of(unit: UnitType) -> int:
    """What a unit walks on and collides with."""
    if UNITS[unit].is_air:
        return fields.AIR
    return fields.CLIFF_WALKER if UNITS[unit].crosses_cliffs else fields.GROUND


def hit_damage(attacker: UnitType, victim: UnitType) -> float:
    """Damage of one hit before armor, bonus included; 0 when `attacker` has no weapon for `victim`."""
    weapon, target = UNITS[attacker], UNITS[victim]
    if not weapon.can_attack or (target.is_air and attacker not in SHOOTS_AIR):
        return 0.0
    if target.attributes & Attribute.STRUCTURE and weapon.damage_to_structures:
        return weapon.damage_to_structures
    return weapon.damage + (weapon.bonus_damage if target.attributes & weapon.bonus_against else 0.0)


def _traits(unit: UnitType) -> dict[int, float]:
    """The column of `s` of one type."""
    stats, second = UNITS[unit], LOOPS_PER_SECOND
    return {
        fields.RADIUS: stats.radius,
        fields.SEPARATION: stats.separation_radius,
        fields.STEP: stats.speed_cells_s / second,
        fields.ACCELERATION: stats.acceleration_cells_s2 / second**2,
        fields.RANGE: stats.range_cells,
        fields.SLOP: stats.range_slop,
        fields.SCAN: max(stats.range_cells, MIN_SCAN_CELLS),
        fields.PERIOD: stats.period_s * second,
        fields.DAMAGE_POINT: stats.damage_point_s * second,
        fields.AFTER_SHOT: stats.backswing_s * second,
        fields.SHOT_SPEED: stats.projectile_speed_cells_s / second,
        fields.SHOT_ACCELERATION: stats.projectile_acceleration_cells_s2 / second**2,
        fields.ARMOR: stats.armor,
        fields.HEALTH_MAX: stats.health_max,
        fields.SHIELD_MAX: stats.shield_max,
        fields.REGENERATION: stats.health_regen_s / second,
    }


def make_roster(smac_map: SmacMap) -> Roster:
    """The arrays of `smac_map`; ValueError when its units do not fit where they spawn."""
    allies = place_groups(smac_map, smac_map.ally_spawns)
    allies.sort(key=lambda placed: CUSTOM_TYPE_ORDER.index(placed.unit))  # as SMAC numbers agents
    placed = allies + place_groups(smac_map, smac_map.enemy_spawns)
    types = [unit.unit for unit in placed]
    U = len(types)
    s = np.zeros((fields.S_ROWS, U))
    t = np.zeros((fields.T_ROWS, U), np.int64)
    for u, unit in enumerate(types):
        for row, value in _traits(unit).items():
            s[row, u] = value
        enemy = u >= smac_map.n_agents
        t[fields.TEAM, u] = enemy
        t[fields.ACQUIRES, u] = enemy  # the agents' units have acquire level Passive and response Nothing
        t[fields.WEAPON, u] = _WEAPONS.get(unit, fields.SHOT)
        t[fields.PLANE, u] = plane_of(unit)
        t[fields.BIOLOGICAL, u] = bool(UNITS[unit].attributes & Attribute.BIOLOGICAL)
        t[fields.TYPE, u] = unit
    damage = np.array([[hit_damage(a, v) for v in types] for a in types])
    damage[t[fields.TEAM][:, None] == t[fields.TEAM][None, :]] = 0.0
    has_colossus = UnitType.COLOSSUS in types
    return Roster(
        n_units=U,
        s=s,
        t=t,
        damage=damage,
        sites=np.array([(unit.point_x, unit.point_y, unit.dx, unit.dy) for unit in placed]),
        terrain=make_terrain(smac_map.walkable, smac_map.colossus_walkable if has_colossus else None),
        enemy_order=_ENEMY_ORDERS[smac_map.enemy_order.kind],
        enemy_points=np.array(smac_map.enemy_order.points or [(0.0, 0.0)], np.float64).reshape(-1, 2),
    )
