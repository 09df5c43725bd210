"""Numbers of Blizzard's API that its client and its server share: owners of units, and abilities."""

from __future__ import annotations

from typing import Final

AGENTS: Final = 1
ENEMIES: Final = 2

STOP_ID: Final = 4
MOVE_ID: Final = 16
HOLD_ID: Final = 18
SCAN_MOVE_ID: Final = 19
ATTACK_ID: Final = 23
HEAL_ID: Final = 386
