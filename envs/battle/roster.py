"""One map as the arrays that kernels read: the unit in each column, what it can do, and the ground."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, TypeVar

import numpy as np
import numpy.typing as npt

from envs.battle import fields
from envs.battle.terrain import make_terrain
from envs.battle.world import Draw, Ints, Reals, World, Worlds
from envs.errors import InputError
from envs.smac.formation import Placed, formations, site_groups
from envs.smac.maps import SmacMap
from envs.smac.smac_map import MAX_TEAM_UNITS, TeamDraw
from envs.smac.units import (
    CUSTOM_TYPE_ORDER,
    ENEMY_UNITS,
    LOOPS_PER_SECOND,
    UNITS,
    Attribute,
    UnitStats,
    UnitType,
)

Numbers = TypeVar("Numbers", bound=npt.NDArray[Any])

CONTACT_CELLS: Final = 1 / 16
"""By how much units, and units and walls, come closer than their radii say."""

_ENEMY_ORDERS: Final = {
    "none": fields.STOP,
    "attack_move": fields.ATTACK_MOVE,
    "attack_move_between": fields.ATTACK_MOVE,
    "attack_units": fields.ATTACK_GROUP,
    "attack_closest": fields.ATTACK_UNIT,
}


def plane_of(unit: UnitType) -> int:
    """The plane on which a unit walks and collides."""
    if UNITS[unit].is_air:
        return fields.AIR
    return fields.CLIFF_WALKER if UNITS[unit].crosses_cliffs else fields.GROUND


def weapon_of(stats: UnitStats) -> int:
    """How a unit attacks or heals."""
    if stats.heal_s:
        return fields.HEAL_BEAM
    if not stats.can_attack:
        return fields.NO_WEAPON
    if stats.splash_radius:
        return fields.EXPLOSION
    if stats.hits == 1:
        return fields.SHOT
    return fields.TWO_BLOWS if stats.hit_interval_s else fields.LANCES


def hit_damage(attacker: UnitType, victim: UnitType) -> float:
    """Damage of one hit before armor, bonus included; 0 when `attacker` has no weapon for `victim`."""
    weapon, target = UNITS[attacker], UNITS[victim]
    if not weapon.can_attack or (target.is_air and not weapon.shoots_air):
        return 0.0
    if target.attributes & Attribute.STRUCTURE and weapon.damage_to_structures:
        return weapon.damage_to_structures
    return weapon.damage + (weapon.bonus_damage if target.attributes & weapon.bonus_against else 0.0)


def _numbers(stats: UnitStats) -> dict[int, float]:
    """The column of `s` of one type."""
    second = LOOPS_PER_SECOND
    turn = math.radians(stats.turning_degrees_s / second)
    return {
        fields.RADIUS: stats.radius,
        fields.SEPARATION: stats.separation_radius - CONTACT_CELLS / 2,
        fields.STEP: stats.speed_cells_s / second,
        fields.ACCELERATION: stats.acceleration_cells_s2 / second**2,
        fields.RANGE: stats.range_cells,
        fields.SLOP: stats.range_slop,
        fields.SCAN: stats.heal_scan_cells or stats.scan_cells,
        fields.PERIOD: stats.period_s * second,
        fields.DAMAGE_POINT: stats.damage_point_s * second,
        fields.AFTER_SHOT: stats.backswing_s * second,
        fields.SHOT_SPEED: stats.projectile_speed_cells_s / second,
        fields.SHOT_ACCELERATION: stats.projectile_acceleration_cells_s2 / second**2,
        fields.ARMOR: stats.armor,
        fields.HEALTH_MAX: stats.health_max,
        fields.SHIELD_MAX: stats.shield_max,
        fields.REGENERATION: stats.health_regen_s / second,
        fields.SECOND_BLOW: stats.hit_interval_s * second,
        fields.SPLASH: stats.splash_radius,
        fields.SHIELD_REGENERATION: stats.shield_regen_s / second,
        fields.SHIELD_DELAY: stats.shield_delay_s * second,
        fields.ENERGY_START: stats.energy_start,
        fields.ENERGY_MAX: stats.energy_max,
        fields.ENERGY_REGENERATION: stats.energy_regen_s / second,
        fields.HEAL_RATE: stats.heal_s / second,
        fields.HEAL_ENERGY: stats.energy_per_health,
        fields.HEAL_START: stats.heal_energy_min,
        fields.CLEARANCE: stats.inner_radius - CONTACT_CELLS,
        fields.ARC_COSINE: math.cos(math.radians(stats.arc_degrees)),
        fields.TURN_COSINE: math.cos(turn),
        fields.TURN_SINE: math.sin(turn),
    }


def make_world(smac_map: SmacMap) -> World:
    """The arrays of `smac_map`; DoesNotFitError when its units do not fit where they spawn.

    Agents stand in the order of their ids: by type; an episode's start settles the order within a type.
    Enemies follow in creation order.
    """
    teams = [(_by_type(agents), enemies) for agents, enemies in formations(smac_map)]
    sites = np.array([[_site(unit) for unit in (*agents, *enemies)] for agents, enemies in teams])
    return make_world_of(smac_map, *teams[0])._replace(sites=sites)


def make_worlds(smac_map: SmacMap, n_battles: int) -> Worlds:
    """The arrays of B = `n_battles` battles of `smac_map`; DoesNotFitError as `make_world`."""
    if smac_map.draw is None:
        return shared(make_world(smac_map))
    return _blank(smac_map, smac_map.draw, n_battles)


def shared(world: World) -> Worlds:
    """The arrays of battles that all have the units of one `world`; they are the same memory."""
    per_battle = {name: getattr(world, name)[None] for name in ("s", "t", "damage", "sites")}
    return Worlds(**(world._asdict() | per_battle))


def _blank(smac_map: SmacMap, draw: TeamDraw, n_battles: int) -> Worlds:
    """Arrays for battles that draw their units when they begin."""
    B, U = n_battles, draw.n_agents + draw.n_enemies
    return Worlds(
        n_agents=draw.n_agents,
        episode_limit=smac_map.episode_limit,
        s=np.zeros((B, fields.S_ROWS, U)),
        t=np.zeros((B, fields.T_ROWS, U), np.int64),
        damage=np.zeros((B, U, U)),
        sites=np.zeros((B, 1, U, 4)),
        enemy_order=_ENEMY_ORDERS[smac_map.enemy_order.kind],
        enemy_points=np.zeros((2, 2)),
        terrain=make_terrain(smac_map.walkable, smac_map.colossus_walkable),
    )


def make_draw(draw: TeamDraw) -> Draw:
    """The arrays from which units are drawn."""
    order = sorted(range(len(draw.kinds)), key=lambda place: CUSTOM_TYPE_ORDER.index(draw.kinds[place]))
    kinds = [draw.kinds[place] for place in order]
    K, n, units = len(kinds), draw.n_agents, draw.n_agents + draw.n_enemies
    t = _kinds([*kinds, *kinds], K)
    t[fields.FIRST_FOE, :K], t[fields.LAST_FOE, :K] = n, units
    t[fields.FIRST_FOE, K:], t[fields.LAST_FOE, K:] = 0, n
    return Draw(
        kinds=np.array(kinds, np.int64),
        up_to=np.cumsum([draw.weights[place] for place in order]),
        support=-1 if draw.support is None else kinds.index(draw.support),
        s=_sides(_traits([*kinds, *kinds], K)),
        t=_sides(t),
        damage=np.array([[hit_damage(a, v) for v in kinds] for a in kinds]),
        lattice=np.array([site for group in site_groups() for site in group], np.int64),
    )


def _sides(columns: Numbers) -> Numbers:
    """[2, K, rows] from columns [rows, 2 K] of the agents' kinds and of the enemies'."""
    return np.ascontiguousarray(columns.T).reshape(2, -1, len(columns))  # type: ignore[return-value]


def _by_type(agents: Sequence[Placed]) -> list[Placed]:
    return sorted(agents, key=lambda placed: CUSTOM_TYPE_ORDER.index(placed.unit))


def _site(unit: Placed) -> tuple[float, float, float, float]:
    return unit.point_x, unit.point_y, unit.dx, unit.dy


def make_world_of(smac_map: SmacMap, allies: Sequence[Placed], enemies: Sequence[Placed]) -> World:
    """The arrays of any two teams on the ground of `smac_map`, columns in the order given, allies first.

    InputError when a team has more than `MAX_TEAM_UNITS`.
    """
    if (most := max(len(allies), len(enemies))) > MAX_TEAM_UNITS:
        raise InputError(f"{smac_map.name}: a side has {most} units; at most {MAX_TEAM_UNITS} can be played")
    placed = [*allies, *enemies]
    types = [unit.unit for unit in placed]
    damage = np.array([[hit_damage(a, v) for v in types] for a in types]).reshape(len(types), len(types))
    is_enemy = np.arange(len(types)) >= len(allies)
    damage[is_enemy[:, None] == is_enemy[None, :]] = 0.0
    points = smac_map.enemy_order.points or ((0.0, 0.0),)
    has_colossus = UnitType.COLOSSUS in types
    return World(
        n_agents=len(allies),
        episode_limit=smac_map.episode_limit,
        s=_traits(types, len(allies)),
        t=_kinds(types, len(allies)),
        damage=damage,
        sites=np.array([_site(unit) for unit in placed]).reshape(1, len(types), 4),
        enemy_order=_ENEMY_ORDERS[smac_map.enemy_order.kind],
        enemy_points=np.array([points[0], points[-1]], np.float64),
        terrain=make_terrain(smac_map.walkable, smac_map.colossus_walkable if has_colossus else None),
    )


def _traits(types: Sequence[UnitType], n_agents: int) -> Reals:
    """[S_ROWS, U]"""
    s = np.zeros((fields.S_ROWS, len(types)))
    for u, unit in enumerate(types):
        for row, value in _numbers((UNITS if u < n_agents else ENEMY_UNITS)[unit]).items():
            s[row, u] = value
    return s


def _kinds(types: Sequence[UnitType], n_agents: int) -> Ints:
    """[T_ROWS, U]"""
    t = np.zeros((fields.T_ROWS, len(types)), np.int64)
    t[fields.TYPE] = types
    t[fields.WEAPON] = [weapon_of(UNITS[unit]) for unit in types]
    t[fields.PLANE] = [plane_of(unit) for unit in types]
    t[fields.BIOLOGICAL] = [bool(UNITS[unit].attributes & Attribute.BIOLOGICAL) for unit in types]
    t[fields.CREATED] = range(len(types))
    t[fields.TEAM, n_agents:] = 1
    t[fields.ACQUIRES, n_agents:] = 1  # agents' units have acquire level Passive and response Nothing
    t[fields.FIRST_FOE, :n_agents], t[fields.LAST_FOE, :n_agents] = n_agents, len(types)
    t[fields.FIRST_FOE, n_agents:], t[fields.LAST_FOE, n_agents:] = 0, n_agents
    return t
