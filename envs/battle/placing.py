"""Putting the units of running battles where recorded ones had them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.battle import fields
from envs.battle.world import Battles, Worlds
from envs.smac.smac_map import MAP_SIZE_CELLS

Reals = npt.NDArray[np.float64]


def place_units(battles: Battles, worlds: Worlds, x: Reals, y: Reals, health: Reals, cooldown: Reals) -> None:
    """Overwrite position, health and cooldown of all units, [B, U] each; see `BattleEnv.place`."""
    f, k = battles.f, battles.k
    shape = f.shape[0], f.shape[2]
    for name, array in (("x", x), ("y", y), ("health", health), ("cooldown", cooldown)):
        if array.shape != shape:
            raise ValueError(f"{name} is {array.shape}, not {shape}")
    alive = health > 0
    if not ((health >= 0) & (health <= worlds.s[:, fields.HEALTH_MAX])).all():
        raise ValueError("health is not between 0 and the unit's maximum")
    for name, array in (("x", x), ("y", y)):
        if not ((array[alive] >= 0) & (array[alive] < MAP_SIZE_CELLS)).all():
            raise ValueError(f"{name} is not on the map, 0 to {MAP_SIZE_CELLS}")
    given = alive & ~np.isnan(cooldown)
    if not (cooldown[given] > -1).all():  # down to there the simulator keeps by how much a loop overshot
        raise ValueError("a cooldown is -1 or less")
    f[:, fields.X][alive], f[:, fields.Y][alive] = x[alive], y[alive]
    f[:, fields.HEALTH] = health
    f[:, fields.COOLDOWN][given] = cooldown[given]
    fired = given & (cooldown > 0) & (k[:, fields.PHASE] == fields.WINDING_UP)
    k[:, fields.PHASE][fired] = fields.READY  # the recorded unit has done what this one was about to do
    k[:, fields.ALIVE] = alive
    for row in (fields.SHIELD, fields.ENERGY, fields.COOLDOWN, fields.VX, fields.VY):
        f[:, row][~alive] = 0.0
    k[:, fields.FIXED][~alive] = 0
    k[:, fields.PHASE][~alive] = fields.READY
    k[:, fields.TARGET][~alive] = -1
    battles.terminated[:] = battles.truncated[:] = battles.won[:] = False
