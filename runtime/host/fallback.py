"""What a unit does in a step for which its agent gave no answer."""

from __future__ import annotations

import numpy as np

from envs.types import BoolArray

STOP = 1
"""SMAC's action that keeps a living unit where it is; a fallen one has no-op, 0, alone."""


def fallback_action(avail_actions: BoolArray) -> int:
    """`stop` where it is available, else the first available action (no-op for a fallen unit)."""
    if len(avail_actions) > STOP and avail_actions[STOP]:
        return STOP
    return int(np.argmax(avail_actions))
