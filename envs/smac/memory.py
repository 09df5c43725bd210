"""What the views of a battle show beside its units: last actions, and which enemies agents know of."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.compiled import helper
from envs.smac.rng import Seeds
from envs.smac.smac_map import SmacMap
from envs.types import FloatArray, IntArray

LAST_ACTION, FIRST_SHOWN, ORDER = range(3)
"""The rows of `Memory.agents`: an agent's last action, -1 before the first; the first enemy that it may be
shown; the number of the agent that looked at that place in the order."""

SPOTTER, KNOWN_TO = range(2)
"""The rows of `Memory.enemies`: the agent that found an enemy, -1 none; bits of the agents that know it."""


class Memory(NamedTuple):
    """The memories of B battles, or of one without the first axis, with E enemies.

    agents [B, 3, N] and enemies [B, 2, E]: rows named above; places [B, 2, E]: x and y where an enemy was
    last alive, cells; rng [B, 1]: the stream for looking; rows [B, W]: where the units' rows are made when
    they are not the state.
    """

    agents: IntArray
    enemies: IntArray
    places: npt.NDArray[np.float64]
    rng: Seeds
    rows: FloatArray


def make_memory(smac_map: SmacMap, n_battles: int) -> Memory:
    """The memories of battles that have not begun."""
    B, N, E = n_battles, smac_map.n_agents, smac_map.n_enemies
    agents = np.zeros((B, 3, N), np.int64)
    agents[:, LAST_ACTION] = -1
    rows_dim = smac_map.units_dim if smac_map.settings.obs_instead_of_state else 0
    return Memory(
        agents,
        enemies=np.zeros((B, 2, E), np.int64),
        places=np.zeros((B, 2, E)),
        rng=np.zeros((B, 1), np.uint64),
        rows=np.zeros((B, rows_dim), np.float32),
    )


@helper
def memory_of(memory: Memory, b: int) -> Memory:
    """The memory of battle b."""
    return Memory(memory.agents[b], memory.enemies[b], memory.places[b], memory.rng[b], memory.rows[b])
