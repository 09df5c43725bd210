"""Actions of the API turned into commands, each with the result that the game would report."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from envs.battle import fields
from envs.battle.fields import Order
from envs.sc2.descriptors import protocol_module
from envs.sc2api.battle import Battle, Command
from envs.sc2api.ids import ABILITIES, PLAYER, Ability
from envs.smac.units import UNITS, UnitType


class Refusal(NamedTuple):
    """Why a unit did not take an order: the name of an ActionResult."""

    tag: int
    ability_id: int
    result: int


def result_number(name: str) -> int:
    """The number of an ActionResult."""
    return int(protocol_module("error").ActionResult.Value(name))


def carry_out(battle: Battle, actions: list[Any]) -> tuple[list[int], list[Refusal]]:
    """Give the orders of all actions; results by action, and refusals by unit.

    An action succeeds when any of its units takes it. Only raw unit commands are understood; camera moves
    and chat are accepted and change nothing.
    """
    results, refusals = [], []
    commands: list[Command] = []
    for action in actions:
        if action.HasField("action_raw") and action.action_raw.HasField("unit_command"):
            result, refused = _unit_command(battle, action.action_raw.unit_command, commands)
            results.append(result)
            refusals += refused
        elif (
            action.action_raw.HasField("toggle_autocast")
            or action.HasField("action_feature_layer")
            or action.HasField("action_render")
        ):
            results.append(result_number("NotSupported"))
        else:
            results.append(result_number("Success"))
    battle.give(commands)
    return results, refusals


def _unit_command(battle: Battle, command: Any, commands: list[Command]) -> tuple[int, list[Refusal]]:
    """Add the orders of one command to `commands`; those that are queued take effect here.

    Before one is queued, `commands` are given, so that orders keep their sequence.
    """
    ability = ABILITIES.get(command.ability_id)
    refusals = []
    success = False
    for tag in command.unit_tags:
        order = _order(battle, tag, ability, command)
        if isinstance(order, Command):
            if not command.queue_command:
                commands.append(order)
            else:
                battle.give(commands)
                commands.clear()
                if not battle.queue(order):
                    refusals.append(Refusal(tag, command.ability_id, result_number("OrderQueueIsFull")))
                    continue
            success = True
        else:
            refusals.append(Refusal(tag, command.ability_id, result_number(order)))
    if success or not refusals:
        return result_number("Success" if success else "Error"), refusals
    return refusals[0].result, refusals


def _order(battle: Battle, tag: int, ability: Ability | None, command: Any) -> Command | str:
    """The unit's command, or the name of the ActionResult that refuses it."""
    unit = battle.column.get(tag)
    if unit is None or not battle.arrays.k[0, fields.ALIVE, unit]:
        return "Error"
    if battle.owners[unit] != PLAYER:
        return "YouCantControlThatUnit"
    if ability is None:
        return "NotSupported"
    kind = battle.type_of(unit)
    if command.HasField("target_unit_tag"):
        return _at_unit(battle, unit, kind, ability, command.target_unit_tag)
    if command.HasField("target_world_space_pos"):
        x, y = command.target_world_space_pos.x, command.target_world_space_pos.y
        if ability.at_point is None:
            return "NotSupported"
        if not (math.isfinite(x) and math.isfinite(y)):
            return "MustTargetVisibleLocation"
        if not UNITS[kind].speed_cells_s:
            return "UnitCantMove"
        return Command(unit, ability.at_point, -1, x, y)
    if ability.at_nothing is None:
        return "NotSupported"
    return Command(unit, ability.at_nothing)


def _at_unit(battle: Battle, unit: int, kind: UnitType, ability: Ability, tag: int) -> Command | str:
    target = battle.column.get(tag)
    if ability.at_unit is None:
        return "NotSupported"
    if target is None or not battle.arrays.k[0, fields.ALIVE, target]:
        return "CantTargetThatUnit"
    is_mine = battle.owners[target] == PLAYER
    if ability.at_unit == Order.HEAL:
        if kind != UnitType.MEDIVAC:
            return "NotSupported"
        if not is_mine:
            return "MustTargetFriendlyUnits"
        if not battle.world.t[fields.BIOLOGICAL, target]:
            return "MustTargetBiologicalUnits"
    elif kind == UnitType.MEDIVAC:
        return "NotSupported"
    elif is_mine:
        return "CantTargetYourOwnUnits"
    elif not battle.world.damage[unit, target]:
        return "CantTargetAirUnits"
    return Command(unit, ability.at_unit, target)
