"""Draws a map as text: the ground, and where the units stand when a battle starts."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from envs.smac.formation import Placed, formations
from envs.smac.smac_map import MAP_SIZE_CELLS, EnemyOrder, SmacMap, TeamDraw
from envs.smac.units import UnitType

LETTERS = {
    UnitType.MARINE: "m",
    UnitType.MARAUDER: "r",
    UnitType.MEDIVAC: "v",
    UnitType.STALKER: "s",
    UnitType.ZEALOT: "z",
    UnitType.COLOSSUS: "c",
    UnitType.HYDRALISK: "h",
    UnitType.ZERGLING: "g",
    UnitType.BANELING: "b",
    UnitType.SPINE_CRAWLER: "w",
}
"""Of each type; agents are drawn in capitals."""

VOID, CLIFF_FOOT, LOW, HIGH, RAMP = "  ", "''", " .", " :", " /"


def picture(smac_map: SmacMap) -> str:
    """A line per row of cells, north first, two letters a cell; then a legend."""
    agents, enemies = formations(smac_map)[0]
    shown = dict(_units(agents, capital=True)) | dict(_units(enemies, capital=False))
    lines = [
        "".join(shown.get((x, y)) or _cell(smac_map, x, y) for x in range(MAP_SIZE_CELLS)).rstrip()
        for y in reversed(range(MAP_SIZE_CELLS))
    ]
    while lines and not lines[0]:
        del lines[0]
    while lines and not lines[-1]:
        del lines[-1]
    return "\n".join([*lines, "", *legend(smac_map)])


def legend(smac_map: SmacMap) -> list[str]:
    """The teams, the enemies' order, and what the signs mean."""
    ground, draw = int(smac_map.walkable.sum()), smac_map.draw
    agents, enemies = (
        (f"{draw.n_agents}, {drawn(draw)}", f"{draw.n_enemies}, the same and further ones")
        if draw
        else (team(smac_map.ally_types, capital=True), team(smac_map.enemy_types, capital=False))
    )
    return [
        f"agents   {agents}",
        f"enemies  {enemies}; {order_text(smac_map.enemy_order)}",
        f"ground   {ground} cells of {MAP_SIZE_CELLS} x {MAP_SIZE_CELLS}; a battle ends after "
        f"{smac_map.episode_limit} steps",
        ". ground   : high ground   / ramp   ' foot of a cliff   3M three in a cell   MV two types in it",
    ]


def team(types: tuple[UnitType, ...], *, capital: bool) -> str:
    """Counts of each type, such as `5 marine (M), 1 medivac (V)`."""
    return ", ".join(
        f"{count} {kind.name.lower().replace('_', ' ')} ({_letter(kind, capital)})"
        for kind, count in Counter(types).items()
    )


def drawn(draw: TeamDraw) -> str:
    """From what teams are drawn, in words."""
    kinds = zip(draw.kinds, draw.weights, strict=True)
    shares = ", ".join(
        f"{kind.name.lower().replace('_', ' ')} {100 * weight:.0f} %" for kind, weight in kinds
    )
    return f"drawn in every battle, units and starts: {shares}"


def order_text(order: EnemyOrder) -> str:
    """What the enemies set out to do, in words."""
    points = " and ".join(f"({x:g}, {y:g})" for x, y in order.points)
    words = {
        "attack_move": f"they walk to {points} and attack on the way",
        "attack_move_between": f"they walk to a point between {points} and attack on the way",
        "attack_units": "they attack the agents",
        "attack_closest": "whenever they have no order they attack the closest agent",
        "none": "they wait",
    }
    return words.get(order.kind, order.kind.replace("_", " "))


def _units(placed: list[Placed], *, capital: bool) -> Iterator[tuple[tuple[int, int], str]]:
    """Two letters for each cell that holds units: their number and type, or two of their types."""
    cells: dict[tuple[int, int], Counter[UnitType]] = {}
    for unit in placed:
        cell = int(unit.point_x + unit.dx), int(unit.point_y + unit.dy)
        cells.setdefault(cell, Counter())[unit.unit] += 1
    for cell, kinds in cells.items():
        letters = "".join(_letter(kind, capital) for kind in kinds)
        number = kinds.total() if kinds.total() > 1 else " "
        yield cell, letters[:2] if len(letters) > 1 else f"{number}{letters}"


def _letter(kind: UnitType, capital: bool) -> str:
    return LETTERS[kind].upper() if capital else LETTERS[kind]


def _cell(smac_map: SmacMap, x: int, y: int) -> str:
    if not smac_map.colossus_walkable[x, y]:
        return VOID
    if not smac_map.walkable[x, y]:
        return CLIFF_FOOT
    level = float(smac_map.cliff_level[x, y])
    return HIGH if level >= 2 else LOW if level.is_integer() else RAMP
