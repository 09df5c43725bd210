"""The ten unit types of SMAC's maps, in StarCraft II's own numbers.

Source: bodies from the `*_RL` units inside the SMAC maps, weapons from the multiplayer data of 4.10.0.75689
that the game loads over them (recorded volleys of colossi and stalkers agree with those, not with Liberty's).
All times are "normal" seconds of 16 game loops; unit tables for players are usually in "Faster" seconds,
1.4 times shorter.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum, IntFlag
from typing import Final, Literal

LOOPS_PER_SECOND: Final = 16
LOOPS_PER_STEP: Final = 8


class UnitType(IntEnum):
    """Unit types, in an order of our own; the numbers that the live game uses are in `SC2_UNIT_IDS`."""

    MARINE = 0
    MARAUDER = 1
    MEDIVAC = 2
    STALKER = 3
    ZEALOT = 4
    COLOSSUS = 5
    HYDRALISK = 6
    ZERGLING = 7
    BANELING = 8
    SPINE_CRAWLER = 9


class Attribute(IntFlag):
    """Decides bonus damage, and whether a medivac can heal a unit."""

    NONE = 0
    LIGHT = 1
    ARMORED = 2
    BIOLOGICAL = 4
    MECHANICAL = 8
    MASSIVE = 16
    STRUCTURE = 32


@dataclass(frozen=True, kw_only=True)
class UnitStats:
    """The numbers of a unit type: lengths in cells, times in normal seconds; `_s` in a rate means per second.

    `range_cells` is measured edge to edge at `radius`; units keep apart at `separation_radius`, and off walls
    at `inner_radius`. A unit that chooses its own targets finds them within `scan_cells`, edge to edge. An
    attack is `hits` times `damage`, plus `bonus_damage` against units with an attribute of `bonus_against`; a
    second hit comes `hit_interval_s` after the first (zealot), or both are lances that sweep (colossus:
    interval 0). The weapon fires within `arc_degrees` to either side of where it points; it, or the unit,
    turns by `turning_degrees_s`. A unit with a `splash_radius` attacks by exploding (`damage_to_structures`
    to those). An attack that has begun completes up to `range_slop` cells beyond the range.
    `projectile_speed_cells_s` 0 means that a hit is immediate; `acceleration_cells_s2` 0 means that the unit
    reaches its speed at once. A unit with `heal_s` heals instead of fighting: it spends energy on injured
    team mates within `heal_scan_cells`. `race` and `sight` change no battle: map files are checked against a
    unit's race, and StarCraft II's API shows both.
    """

    race: str  # 'T', 'P' or 'Z'
    health_max: float
    shield_max: float = 0.0
    armor: float = 0.0
    attributes: Attribute
    is_air: bool = False
    crosses_cliffs: bool = False
    radius: float
    separation_radius: float
    inner_radius: float
    sight: float
    speed_cells_s: float
    acceleration_cells_s2: float = 0.0

    damage: float = 0.0
    bonus_damage: float = 0.0
    bonus_against: Attribute = Attribute.NONE
    damage_to_structures: float = 0.0
    shoots_air: bool = False
    hits: Literal[1, 2] = 1
    hit_interval_s: float = 0.0
    period_s: float = 0.0
    range_cells: float = 0.0
    scan_cells: float = 5.0
    arc_degrees: float = 11.25
    turning_degrees_s: float = 999.8437
    range_slop: float = 1.0
    damage_point_s: float = 0.0
    backswing_s: float = 0.5
    projectile_speed_cells_s: float = 0.0
    projectile_acceleration_cells_s2: float = 0.0
    splash_radius: float = 0.0

    health_regen_s: float = 0.0
    shield_regen_s: float = 0.0
    shield_delay_s: float = 0.0

    energy_start: float = 0.0
    energy_max: float = 0.0
    energy_regen_s: float = 0.0
    heal_s: float = 0.0
    energy_per_health: float = 0.0
    heal_energy_min: float = 0.0  # without it no healing begins
    heal_scan_cells: float = 0.0

    @property
    def can_attack(self) -> bool:
        """Whether the unit has a weapon; a medivac has none."""
        return self.damage > 0


_SHIELD_REGEN_S = 2.0
_SHIELD_DELAY_S = 10.0
_ZERG_REGEN_S = 0.2734

# fmt: off
UNITS: Final[dict[UnitType, UnitStats]] = {
    UnitType.MARINE: UnitStats(
        race="T", health_max=45.0,
        attributes=Attribute.LIGHT | Attribute.BIOLOGICAL,
        radius=0.375, separation_radius=0.375, inner_radius=0.375, sight=9.0, speed_cells_s=2.25,
        damage=6.0,
        shoots_air=True,
        period_s=0.8608,
        range_cells=5.0,
        scan_cells=5.5,
        damage_point_s=0.05,
        backswing_s=0.75,
    ),
    UnitType.MARAUDER: UnitStats(
        race="T", health_max=125.0, armor=1.0,
        attributes=Attribute.ARMORED | Attribute.BIOLOGICAL,
        radius=0.5625, separation_radius=0.5, inner_radius=0.375, sight=10.0, speed_cells_s=2.25,
        damage=10.0,
        bonus_damage=10.0,
        bonus_against=Attribute.ARMORED,
        period_s=1.5,
        range_cells=6.0,
        scan_cells=6.5,
        projectile_speed_cells_s=20.0,
    ),
    UnitType.MEDIVAC: UnitStats(
        race="T", health_max=150.0, armor=1.0,
        attributes=Attribute.ARMORED | Attribute.MECHANICAL,
        is_air=True,
        radius=0.75, separation_radius=0.75, inner_radius=0.75, sight=11.0, speed_cells_s=2.75,
        acceleration_cells_s2=2.3125,
        range_cells=4.0,
        energy_start=50.0,
        energy_max=200.0,
        energy_regen_s=0.5625,
        heal_s=9.0,
        energy_per_health=0.33,
        heal_energy_min=5.0,
        heal_scan_cells=6.0,
    ),
    UnitType.STALKER: UnitStats(
        race="P", health_max=80.0, shield_max=80.0, armor=1.0,
        attributes=Attribute.ARMORED | Attribute.MECHANICAL,
        radius=0.625, separation_radius=0.625, inner_radius=0.5, sight=10.0, speed_cells_s=2.9531,
        damage=13.0,
        bonus_damage=5.0,
        bonus_against=Attribute.ARMORED,
        shoots_air=True,
        period_s=1.87,
        range_cells=6.0,
        scan_cells=6.5,
        damage_point_s=0.167,
        projectile_speed_cells_s=18.75,
        shield_regen_s=_SHIELD_REGEN_S,
        shield_delay_s=_SHIELD_DELAY_S,
    ),
    UnitType.ZEALOT: UnitStats(
        race="P", health_max=100.0, shield_max=50.0, armor=1.0,
        attributes=Attribute.LIGHT | Attribute.BIOLOGICAL,
        radius=0.5, separation_radius=0.375, inner_radius=0.375, sight=9.0, speed_cells_s=2.25,
        damage=8.0,
        hits=2,
        hit_interval_s=0.28,
        period_s=1.2,
        range_cells=0.1,
        shield_regen_s=_SHIELD_REGEN_S,
        shield_delay_s=_SHIELD_DELAY_S,
    ),
    UnitType.COLOSSUS: UnitStats(
        race="P", health_max=200.0, shield_max=150.0, armor=1.0,
        attributes=Attribute.ARMORED | Attribute.MECHANICAL | Attribute.MASSIVE,
        crosses_cliffs=True,
        radius=1.0, separation_radius=0.75, inner_radius=0.5625, sight=10.0, speed_cells_s=2.25,
        damage=10.0,
        bonus_damage=5.0,
        bonus_against=Attribute.LIGHT,
        hits=2,
        period_s=1.5,
        range_cells=7.0,
        scan_cells=7.5,
        arc_degrees=56.25,
        range_slop=0.0,
        damage_point_s=0.0832,
        shield_regen_s=_SHIELD_REGEN_S,
        shield_delay_s=_SHIELD_DELAY_S,
    ),
    UnitType.HYDRALISK: UnitStats(
        race="Z", health_max=80.0,
        attributes=Attribute.LIGHT | Attribute.BIOLOGICAL,
        radius=0.625, separation_radius=0.5, inner_radius=0.375, sight=9.0, speed_cells_s=2.25,
        damage=12.0,
        shoots_air=True,
        period_s=0.825,
        range_cells=5.0,
        scan_cells=5.5,
        damage_point_s=0.208,
        projectile_speed_cells_s=40.0,
        health_regen_s=_ZERG_REGEN_S,
    ),
    UnitType.ZERGLING: UnitStats(
        race="Z", health_max=35.0,
        attributes=Attribute.LIGHT | Attribute.BIOLOGICAL,
        radius=0.375, separation_radius=0.375, inner_radius=0.375, sight=8.0, speed_cells_s=2.9531,
        damage=5.0,
        period_s=0.696,
        range_cells=0.1,
        damage_point_s=0.167,
        health_regen_s=_ZERG_REGEN_S,
    ),
    UnitType.BANELING: UnitStats(
        race="Z", health_max=30.0,
        attributes=Attribute.BIOLOGICAL,
        radius=0.375, separation_radius=0.375, inner_radius=0.375, sight=8.0, speed_cells_s=2.5,
        damage=20.0,
        bonus_damage=15.0,
        bonus_against=Attribute.LIGHT,
        damage_to_structures=80.0,
        period_s=0.833,
        range_cells=0.25,
        splash_radius=2.2,
        health_regen_s=_ZERG_REGEN_S,
    ),
    UnitType.SPINE_CRAWLER: UnitStats(
        race="Z", health_max=300.0, armor=2.0,
        attributes=Attribute.ARMORED | Attribute.BIOLOGICAL | Attribute.STRUCTURE,
        radius=0.875, separation_radius=0.875, inner_radius=0.875, sight=11.0, speed_cells_s=0.0,
        damage=25.0,
        bonus_damage=5.0,
        bonus_against=Attribute.ARMORED,
        period_s=1.85,
        range_cells=7.0,
        scan_cells=7.0,
        turning_degrees_s=360.0,
        range_slop=0.0,
        damage_point_s=0.3332,
        projectile_speed_cells_s=12.0,
        projectile_acceleration_cells_s2=140.0,
        health_regen_s=_ZERG_REGEN_S,
    ),
}
# fmt: on

ENEMY_UNITS: Final[dict[UnitType, UnitStats]] = {
    **UNITS,
    UnitType.MEDIVAC: replace(UNITS[UnitType.MEDIVAC], speed_cells_s=2.5, acceleration_cells_s2=2.25),
}
"""The enemies' units: the game's own types, whose bodies are the multiplayer ones too."""

SC2_UNIT_IDS: Final[dict[UnitType, int]] = {
    UnitType.COLOSSUS: 4,
    UnitType.BANELING: 9,
    UnitType.MARINE: 48,
    UnitType.MARAUDER: 51,
    UnitType.MEDIVAC: 54,
    UnitType.ZEALOT: 73,
    UnitType.STALKER: 74,
    UnitType.SPINE_CRAWLER: 98,
    UnitType.ZERGLING: 105,
    UnitType.HYDRALISK: 107,
}
"""Ids of the game's own unit types, as the enemy has them; the game numbers the `*_RL` types itself."""

CUSTOM_TYPE_ORDER: Final[tuple[UnitType, ...]] = (
    UnitType.BANELING,
    UnitType.COLOSSUS,
    UnitType.HYDRALISK,
    UnitType.MARAUDER,
    UnitType.MARINE,
    UnitType.MEDIVAC,
    UnitType.STALKER,
    UnitType.ZEALOT,
    UnitType.ZERGLING,
    UnitType.SPINE_CRAWLER,
)
"""The order of the agents' types by id: that of their names, in SMAC's maps and in SMACv2's."""
