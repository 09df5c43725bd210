"""Numbers of Blizzard's API: unit types and abilities, and their names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from envs.battle.fields import Order
from envs.sc2.numbers import AGENTS, ATTACK_ID, ENEMIES, HEAL_ID, HOLD_ID, MOVE_ID, SCAN_MOVE_ID, STOP_ID
from envs.smac.units import CUSTOM_TYPE_ORDER, SC2_UNIT_IDS, UnitType

PLAYER: Final = AGENTS
COMPUTER: Final = ENEMIES

BASE_BUILD: Final = 75689
"""The build of the game whose place the server takes: 4.10."""

FIRST_CUSTOM_ID: Final = 1970
"""Id of a map's first own unit type (`*_RL`); the game hands these out, and clients must not rely on them."""

NAMES: Final = {unit: "".join(part.title() for part in unit.name.split("_")) for unit in UnitType}


@dataclass(frozen=True)
class Ability:
    """An ability: the order it becomes without and with a target; None where it does not exist."""

    name: str
    at_nothing: Order | None = None
    at_point: Order | None = None
    at_unit: Order | None = None
    remaps_to: int = 0
    hotkey: str = ""


ABILITIES: Final[dict[int, Ability]] = {
    MOVE_ID: Ability("move", at_point=Order.MOVE, remaps_to=3794, hotkey="m"),
    3794: Ability("Move", at_point=Order.MOVE, hotkey="m"),
    ATTACK_ID: Ability(
        "attack", at_point=Order.ATTACK_MOVE, at_unit=Order.ATTACK_UNIT, remaps_to=3674, hotkey="a"
    ),
    3674: Ability("Attack", at_point=Order.ATTACK_MOVE, at_unit=Order.ATTACK_UNIT, hotkey="a"),
    SCAN_MOVE_ID: Ability("move", at_point=Order.ATTACK_MOVE, remaps_to=3674, hotkey="a"),
    STOP_ID: Ability("stop", at_nothing=Order.STOP, remaps_to=3665, hotkey="s"),
    3665: Ability("Stop", at_nothing=Order.STOP, hotkey="s"),
    HOLD_ID: Ability("move", at_nothing=Order.HOLD, remaps_to=3793, hotkey="h"),
    3793: Ability("HoldPosition", at_nothing=Order.HOLD, hotkey="h"),
    HEAL_ID: Ability("MedivacHeal", at_unit=Order.HEAL, hotkey="e"),
}
"""The abilities that units here have, by id; the generic ids that others remap to are accepted too."""

ORDER_ABILITY: Final[dict[int, int]] = {
    Order.MOVE: MOVE_ID,
    Order.ATTACK_UNIT: ATTACK_ID,
    Order.ATTACK_MOVE: ATTACK_ID,
    Order.ATTACK_GROUP: ATTACK_ID,
    Order.HOLD: HOLD_ID,
    Order.HEAL: HEAL_ID,
}
"""The ability as which an order is shown."""


def custom_ids(types: Sequence[UnitType]) -> dict[UnitType, int]:
    """Ids of a map's own types, consecutive in the order of the map's unit data, as SMAC expects."""
    ordered = sorted(set(types), key=CUSTOM_TYPE_ORDER.index)
    return {unit: FIRST_CUSTOM_ID + place for place, unit in enumerate(ordered)}


def type_of_id(unit_id: int, customs: dict[UnitType, int]) -> UnitType | None:
    """The type that an id names; None when there is no such type here."""
    known = {number: unit for unit, number in [*SC2_UNIT_IDS.items(), *customs.items()]}
    return known.get(unit_id)
