"""Recorded battles of 3m in the real game, and where they say the units were.

A recording is an .npz without pickles, battle after battle, `length` rows each. A row is what SMAC showed,
then what the agents did; the last row of a battle is what it showed at the end.

    length         int   [battles]
    state          float [rows, S + N A]   SMAC's state with the one-hots of the last actions
    obs            float [rows, N, O]
    avail_actions  uint8 [rows, ceil(N A / 8)]   bits of [N, A], the first in the highest bit
    action         int   [rows, N]

Other arrays are not read. Positions in the state are (x - 16) / 28 of cells, 28 being the side of the area
that the real game lets units walk on; so they can be read whatever our own layout divides by.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from envs.errors import InputError
from envs.smac.maps import load_map
from envs.smac.smac_map import ALLY_HEAD, ENEMY_HEAD
from envs.smac.tables import COOLDOWN_MAX_LOOPS
from envs.smac.units import UNITS, UnitType
from envs.text import one_line
from envs.types import BoolArray, FloatArray, IntArray

Reals = npt.NDArray[np.float64]

EXCERPT: Final = Path(__file__).with_name("recorded_3m.npz")
"""59 battles of the recording that LAMDA-RL/ODIS made of 3m: every 17th of 1 000."""

RECORDED: Final = load_map("3m")
"""The map that was recorded."""
CENTRE_CELLS: Final = 16.0
SIDE_CELLS: Final = 28.0
GRID_PER_CELL: Final = 4096.0
"""Positions of the real game are multiples of 1 / 4096 cell."""


class Recording(NamedTuple):
    """P rows of all battles; units [P, U], agents first, then enemies as recorded.

    length [battles] and first [battles]: rows of each battle and the first of them; x, y in cells, NaN where
    dead; health in points; cooldown in game loops, NaN for enemies, who do not show it; state [P, S] without
    last actions; obs [P, N, O]; avail [P, N, A]; action [P, N].
    """

    length: IntArray
    first: IntArray
    x: Reals
    y: Reals
    health: Reals
    cooldown: Reals
    state: FloatArray
    obs: FloatArray
    avail: BoolArray
    action: IntArray

    @property
    def n_battles(self) -> int:
        return len(self.length)


def read_recording(path: Path = EXCERPT) -> Recording:
    """The battles in a file; InputError naming it when it is no recording of 3m."""
    arrays = _read_arrays(path)
    for name in ("length", "avail_actions", "action"):
        if arrays[name].dtype.kind not in "iu":
            raise InputError(f"{path}: {name} holds no whole numbers")
    for name in ("state", "obs"):
        if arrays[name].dtype.kind != "f" or not np.isfinite(arrays[name]).all():
            raise InputError(f"{path}: {name} holds a number that is not finite")
    spec = RECORDED.spec
    N, A = spec.n_agents, spec.n_actions
    length = arrays["length"].astype(np.int64)
    rows = int(length.sum())
    shapes = {
        "state": (rows, spec.state_dim + N * A),
        "obs": (rows, N, spec.obs_dim),
        "avail_actions": (rows, (N * A + 7) // 8),
        "action": (rows, N),
    }
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise InputError(
                f"{path}: {name} is {arrays[name].shape}; battles of {RECORDED.name} have {shape}"
            )
    if length.ndim != 1 or not len(length) or length.min() < 2:
        raise InputError(f"{path}: length is no list of battles of at least two rows")
    state = arrays["state"][:, : spec.state_dim].astype(np.float32)
    bits = np.unpackbits(arrays["avail_actions"].astype(np.uint8), axis=1)[:, : N * A]
    avail = bits.reshape(rows, N, A).astype(np.bool_)
    action = arrays["action"].astype(np.int64)
    if action.min() < 0 or action.max() >= A:
        raise InputError(f"{path}: action holds a number that is not 0 to {A - 1}")
    first = np.cumsum(length) - length
    return Recording(length, first, *_units(state), state, arrays["obs"].astype(np.float32), avail, action)


def _read_arrays(path: Path) -> dict[str, npt.NDArray[np.generic]]:
    names = ("length", "state", "obs", "avail_actions", "action")
    try:
        with np.load(path, allow_pickle=False) as file:
            if missing := [name for name in names if name not in file]:
                raise InputError(f"{path}: no recorded battles, {missing[0]} is missing")
            return {name: file[name] for name in names}
    except (OSError, ValueError, EOFError, AttributeError, TypeError) as error:
        raise InputError(f"cannot read the recording {path}: {one_line(error)}") from None


def _units(state: FloatArray) -> tuple[Reals, Reals, Reals, Reals]:
    """x, y, health, cooldown [P, U] out of the state's rows."""
    N, E = RECORDED.n_agents, RECORDED.n_enemies
    allies = state[:, : N * ALLY_HEAD].reshape(-1, N, ALLY_HEAD).astype(np.float64)
    enemies = state[:, N * ALLY_HEAD :].reshape(-1, E, ENEMY_HEAD).astype(np.float64)
    marine = UnitType.MARINE
    share = np.concatenate([allies[..., 0], enemies[..., 0]], axis=1)
    health = np.rint(share * UNITS[marine].health_max * GRID_PER_CELL) / GRID_PER_CELL
    places = np.concatenate([allies[..., -2:], enemies[..., -2:]], axis=1) * SIDE_CELLS + CENTRE_CELLS
    places = np.rint(places * GRID_PER_CELL) / GRID_PER_CELL
    places[health <= 0] = np.nan
    cooldown = np.concatenate(
        [allies[..., 1] * COOLDOWN_MAX_LOOPS[marine], np.full(enemies.shape[:2], np.nan)], axis=1
    )
    return places[..., 0], places[..., 1], health, cooldown
