"""What the views of a battle show beside its units: last actions, and which enemies agents know of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.compiled import helper
from envs.smac.rng import Seeds
from envs.smac.smac_map import SmacMap
from envs.types import BoolArray, FloatArray, IntArray


class Memory(NamedTuple):
    """The memories of B battles, or of one without the first axis, with E enemies.

    last_action [B, N]: -1 before the first; rows [B, W]: where the units' rows are made when they are not the
    state. The others serve `sightings`: first_shown [B, N]: the first enemy that an agent may be shown;
    known [B, E, N]: which agents know of an enemy; spotter [B, E]: the agent that found it, -1 none;
    place [B, E, 2]: where it was last alive, cells; order [B, N]: in which agents looked; rng [B, 1].
    """

    last_action: IntArray
    rows: FloatArray
    first_shown: IntArray
    known: BoolArray
    spotter: IntArray
    place: npt.NDArray[np.float64]
    order: IntArray
    rng: Seeds


def make_memory(smac_map: SmacMap, n_battles: int) -> Memory:
    """The memories of battles that have not begun."""
    B, N, E = n_battles, smac_map.n_agents, smac_map.n_enemies
    return Memory(
        last_action=np.full((B, N), -1, np.int64),
        rows=np.zeros((B, smac_map.units_dim if smac_map.settings.obs_instead_of_state else 0), np.float32),
        first_shown=np.zeros((B, N), np.int64),
        known=np.zeros((B, E, N), np.bool_),
        spotter=np.full((B, E), -1, np.int64),
        place=np.zeros((B, E, 2)),
        order=np.zeros((B, N), np.int64),
        rng=np.zeros((B, 1), np.uint64),
    )


@helper
def memory_of(memory: Memory, b: int) -> Memory:
    """The memory of battle b."""
    return Memory(
        memory.last_action[b],
        memory.rows[b],
        memory.first_shown[b],
        memory.known[b],
        memory.spotter[b],
        memory.place[b],
        memory.order[b],
        memory.rng[b],
    )
