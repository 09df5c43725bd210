"""The arrays of a battle whose columns change: units are created, and places of dead ones are taken."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from envs.battle import fields
from envs.battle.lances import BURN_DELAY_LOOPS
from envs.battle.world import Battles, Ints, World

UNIT_REFERENCES: Final = (
    fields.ORDER_TARGET,
    fields.TARGET,
    fields.SHOT_TARGET,
    fields.LAST_ATTACKER,
    fields.OTHER_ATTACKER,
    fields.SHOT_AT,
)
BURNS: Final = (
    *range(fields.BURNS_A, fields.BURNS_A + BURN_DELAY_LOOPS),
    *range(fields.BURNS_B, fields.BURNS_B + BURN_DELAY_LOOPS),
)
_FOE_BITS: Final = (fields.SWEPT_A, fields.SWEPT_B, *BURNS)


def _move_bits(bits: int, places: list[int]) -> int:
    """An int64 whose bit b has gone to bit places[b]; it is lost where that is negative."""
    moved = sum(1 << place for b, place in enumerate(places) if place >= 0 and bits >> b & 1)
    return moved - (1 << 64) if moved >> 63 else moved


def rearranged(old: Battles, old_t: Ints, world: World, sources: Sequence[int]) -> Battles:
    """Battle 0 in columns that are the old ones `sources`, -1 for a new unit, left blank.

    old_t [T_ROWS, old U] of the old columns, `world` of the new ones.
    """
    place = {u: new for new, u in enumerate(sources) if u >= 0}
    f, k = (
        np.zeros((1, fields.F_ROWS, len(sources))),
        np.zeros((1, fields.K_ROWS, len(sources)), np.int64),
    )
    for new, u in enumerate(sources):
        if u < 0:
            k[0, fields.SCAN_LOOP, new] = old.k[0, fields.SCAN_LOOP, 0]
            continue
        f[0, :, new], k[0, :, new] = old.f[0, :, u], old.k[0, :, u]
        for row in UNIT_REFERENCES:
            k[0, row, new] = place.get(int(old.k[0, row, u]), -1)
        first, last = (int(old_t[row, u]) for row in (fields.FIRST_FOE, fields.LAST_FOE))
        foes = [place.get(foe, -1) - int(world.t[fields.FIRST_FOE, new]) for foe in range(first, last)]
        for row in _FOE_BITS:
            k[0, row, new] = _move_bits(int(old.k[0, row, u]), foes)
    route = old.k[0, fields.ROUTE, : len(sources)]  # a list over columns, whatever unit is in them
    k[0, fields.ROUTE] = -1
    k[0, fields.ROUTE, : len(route)] = route
    return old._replace(f=f, k=k)
