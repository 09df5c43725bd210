"""The action of a unit in a step for which its agent gave no answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.types import BoolArray


def fallback_action(avail_actions: BoolArray, idle_actions: Sequence[int]) -> int:
    """The first of the environment's `idle_actions` that is available, else the first available action."""
    for action in idle_actions:
        if avail_actions[action]:
            return action
    return int(np.argmax(avail_actions))
