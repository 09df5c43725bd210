"""Debug commands: they create and kill units, and set their values."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from envs.sc2.descriptors import protocol_module
from envs.sc2api.battle import Battle
from envs.sc2api.game_setup import ApiError
from envs.sc2api.ids import COMPUTER, PLAYER, type_of_id
from envs.smac.smac_map import MAX_TEAM_UNITS

MAX_CREATED_UNITS: Final = 64
"""In one command."""


def check_debug(battle: Battle, command: Any) -> None:
    """ApiError when a command cannot be carried out here."""
    kind = command.WhichOneof("command")
    if kind not in ("create_unit", "kill_unit", "unit_value", "draw"):
        raise ApiError(f"debug: {kind} is not supported.")
    if kind == "unit_value":
        if not math.isfinite(command.unit_value.value):
            raise ApiError("debug: the value is not finite.")
    elif kind == "create_unit":
        unit = command.create_unit
        if type_of_id(unit.unit_type, battle.custom_ids) is None:
            raise ApiError(f"debug: there is no unit type {unit.unit_type} here.")
        if unit.owner not in (PLAYER, COMPUTER):
            raise ApiError(f"debug: there is no player {unit.owner}.")
        if not (math.isfinite(unit.pos.x) and math.isfinite(unit.pos.y)):
            raise ApiError("debug: the position is not finite.")
        if unit.quantity > MAX_CREATED_UNITS:
            raise ApiError(f"debug: {unit.quantity} units at once are too many.")


def check_room(battle: Battle, commands: Sequence[Any]) -> None:
    """ApiError when a side would have more units than it can."""
    count = Counter({owner: battle.count(owner) for owner in (PLAYER, COMPUTER)})
    for command in commands:
        if command.WhichOneof("command") == "create_unit":
            new = command.create_unit
            count[new.owner] += new.quantity if new.HasField("quantity") else 1
    for owner, units in count.items():
        if units > MAX_TEAM_UNITS:
            raise ApiError(
                f"debug: player {owner} would have {units} units; a side has at most {MAX_TEAM_UNITS}."
            )


def carry_out_debug(battle: Battle, command: Any) -> None:
    """Carry out a command that `check_debug` found good."""
    kind = command.WhichOneof("command")
    if kind == "kill_unit":
        battle.kill(list(command.kill_unit.tag))
    elif kind == "unit_value":
        names = protocol_module("debug").DebugSetUnitValue.UnitValue
        value = command.unit_value
        battle.set_value(value.unit_tag, names.Name(value.unit_value), value.value)
    elif kind == "create_unit":
        new = command.create_unit
        unit = type_of_id(new.unit_type, battle.custom_ids)
        assert unit is not None
        for _ in range(new.quantity if new.HasField("quantity") else 1):
            if not battle.create(unit, new.unit_type, new.owner, new.pos.x, new.pos.y):
                break
