"""SMAC's actions by number: no-op, stop and four moves; the attack or heal actions come after them."""

from __future__ import annotations

from typing import Final

NO_OP: Final = 0
STOP: Final = 1
NORTH: Final = 2
SOUTH: Final = 3
EAST: Final = 4
WEST: Final = 5
FIRST_ATTACK: Final = 6

IDLE: Final = (STOP, NO_OP)
"""The `idle_actions` of every SMAC environment: a living unit can stop, a fallen one only has no-op."""

NAMES: Final = ("no-op", "stop", "north", "south", "east", "west")

DIRECTIONS: Final = ((0.0, 0.0), (0.0, 0.0), (0.0, 1.0), (0.0, -1.0), (1.0, 0.0), (-1.0, 0.0))
"""(x, y) towards which the actions before `FIRST_ATTACK` lead."""

MOVE_CELLS: Final = 2.0
"""How far a move is ordered to go; a step ends before a unit is there."""
