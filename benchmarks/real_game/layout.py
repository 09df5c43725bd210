"""Our layout code on recorded rows: does it show what the real game's SMAC showed from the same units?"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from benchmarks.real_game.comparison import Row, exact
from benchmarks.real_game.recording import RECORDED, Recording
from envs.smac.layout import write_views
from envs.smac.memory import Memory, make_memory
from envs.smac.tables import layout_tables
from envs.smac.units import UnitType
from envs.types import BoolArray

TOLERANCE: Final = 1e-5


class LayoutErrors(NamedTuple):
    """Rows, rows whose available actions differ, and the largest differences of any feature."""

    rows: int
    unequal_availability: int
    state: float
    obs: float


def layout_rows(recording: Recording) -> list[Row]:
    """The differences beside none."""
    found = layout_errors(recording)
    numbers = {
        f"rows of {found.rows} with other available actions": (float(found.unequal_availability), 0.0),
        "largest difference in a state": (found.state, TOLERANCE),
        "largest difference in an observation": (found.obs, TOLERANCE),
    }
    return [exact(RECORDED.name, "recorded", metric, 0.0, *number) for metric, number in numbers.items()]


def layout_errors(recording: Recording) -> LayoutErrors:
    """Write every row anew from positions, health and cooldowns, and compare."""
    spec, tables = RECORDED.spec, layout_tables(RECORDED)
    memory = Memory(*(array[0] for array in make_memory(RECORDED, 1)))
    rows, units = recording.x.shape
    utype = np.full(units, int(UnitType.MARINE))
    nothing = np.zeros(units)
    obs = np.zeros((rows, spec.n_agents, spec.obs_dim), np.float32)
    state = np.zeros((rows, spec.state_dim), np.float32)
    avail: BoolArray = np.zeros((rows, spec.n_agents, spec.n_actions), np.bool_)
    x, y, cooldown = (
        np.nan_to_num(array, nan=0.0) for array in (recording.x, recording.y, recording.cooldown)
    )
    for p in range(rows):
        write_views(
            tables, memory, 0, utype, x[p], y[p], recording.health[p], nothing, nothing, cooldown[p],
            obs[p], state[p], avail[p],
        )  # fmt: skip
    return LayoutErrors(
        rows,
        int((avail != recording.avail).any(axis=(1, 2)).sum()),
        float(np.abs(state - recording.state).max()),
        float(np.abs(obs - recording.obs).max()),
    )
