"""Writes the raw observation, and the game's information about the map."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from envs.battle import fields
from envs.sc2.descriptors import protocol_module, sc2_protocol
from envs.sc2api.battle import Battle
from envs.sc2api.ids import COMPUTER, ORDER_ABILITY, PLAYER
from envs.smac.ground import BASE_HEIGHT, CLIFF_HEIGHT, terrain_image
from envs.smac.maps import MAP_SIZE_CELLS, SmacMap
from envs.smac.smac_map import PLAYABLE_MAX, PLAYABLE_MIN
from envs.smac.units import UNITS

_AIR_HEIGHT: Final = 3.75
_FACING: Final = {PLAYER: 0.0, COMPUTER: math.pi}  # towards the other side: the simulator has no facings


class UnitWriter:
    """Writes the units of a battle as messages, as fast as Python can."""

    def __init__(self) -> None:
        raw = protocol_module("raw")
        self._visible = raw.DisplayType.Value("Visible")
        self._alliance = {PLAYER: raw.Alliance.Value("Self"), COMPUTER: raw.Alliance.Value("Enemy")}
        self._not_cloaked = raw.CloakState.Value("NotCloaked")

    def write(self, battle: Battle, units: Any) -> None:
        """Add every living unit to the repeated field `units`, agents first, in creation order."""
        f, k = battle.arrays.f[0].tolist(), battle.arrays.k[0].tolist()
        types = battle.world.t[fields.TYPE].tolist()
        cells = battle.smac_map.cliff_level
        for u, is_alive in enumerate(k[fields.ALIVE]):
            if not is_alive:
                continue
            x, y = f[fields.X][u], f[fields.Y][u]
            stats = UNITS[types[u]]
            owner = battle.owners[u]
            order = ORDER_ABILITY.get(k[fields.ORDER][u])
            unit = units.add(
                display_type=self._visible,
                alliance=self._alliance[owner],
                tag=battle.tags[u],
                unit_type=battle.type_ids[u],
                owner=owner,
                facing=_FACING[owner],
                radius=stats.radius,
                build_progress=1.0,
                cloak=self._not_cloaked,
                is_flying=stats.is_air,
                is_active=order is not None,
                health=f[fields.HEALTH][u],
                health_max=stats.health_max,
                weapon_cooldown=max(f[fields.COOLDOWN][u], 0.0),
            )
            height = CLIFF_HEIGHT * float(cells[int(x), int(y)]) + (_AIR_HEIGHT if stats.is_air else 0.0)
            pos = unit.pos
            pos.x, pos.y, pos.z = x, y, BASE_HEIGHT + height
            if stats.shield_max:
                unit.shield, unit.shield_max = f[fields.SHIELD][u], stats.shield_max
            if stats.energy_max:
                unit.energy, unit.energy_max = f[fields.ENERGY][u], stats.energy_max
            if order is not None and owner == PLAYER:
                target = k[fields.ORDER_TARGET][u]
                if target >= 0:
                    unit.orders.add(ability_id=order, target_unit_tag=battle.tags[target])
                else:
                    goal = unit.orders.add(ability_id=order).target_world_space_pos
                    goal.x, goal.y = f[fields.GOAL_X][u], f[fields.GOAL_Y][u]
            if (engaged := k[fields.TARGET][u]) >= 0:
                unit.engaged_target_tag = battle.tags[engaged]


def write_game_info(info: Any, battle: Battle, options: Any, difficulty: int, races: tuple[int, int]) -> None:
    """Fill in the ResponseGameInfo `info` of a battle; `races` of the agents and of the computer."""
    sc_pb = sc2_protocol()
    smac_map = battle.smac_map
    info.map_name, info.local_map_path = smac_map.name, f"SMAC_Maps/{smac_map.name}.SC2Map"
    info.options.CopyFrom(options)
    for player, race in enumerate(races, start=1):
        info.player_info.add(player_id=player, race_requested=race, race_actual=race)
    info.player_info[0].type = sc_pb.PlayerType.Value("Participant")
    info.player_info[1].type = sc_pb.PlayerType.Value("Computer")
    info.player_info[1].difficulty = difficulty
    raw = info.start_raw
    raw.map_size.x = raw.map_size.y = MAP_SIZE_CELLS
    raw.playable_area.p0.x = raw.playable_area.p0.y = PLAYABLE_MIN
    raw.playable_area.p1.x = raw.playable_area.p1.y = PLAYABLE_MAX
    _write_bits(raw.pathing_grid, smac_map)
    _write_bits(raw.placement_grid, smac_map)
    raw.terrain_height.bits_per_pixel = 8
    raw.terrain_height.size.x = raw.terrain_height.size.y = MAP_SIZE_CELLS
    raw.terrain_height.data = terrain_image(smac_map.cliff_level).tobytes()
    for point in smac_map.enemy_spawns[:1]:
        raw.start_locations.add(x=point.x, y=point.y)


def _write_bits(image: Any, smac_map: SmacMap) -> None:
    """One bit a cell, rows from y = 0 up, the lowest x in the highest bit; 1: walkable."""
    image.bits_per_pixel = 1
    image.size.x = image.size.y = MAP_SIZE_CELLS
    image.data = np.packbits(smac_map.walkable.T, axis=1).tobytes()
