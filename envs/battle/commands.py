"""Orders to any unit before a step is played: the step itself takes orders for agents alone."""

from __future__ import annotations

from envs.battle.behaviour import give_order
from envs.battle.fields import ALIVE
from envs.battle.world import Battles, Ints, Orders, Worlds, world_of
from envs.compiled import kernel


@kernel
def command(battles: Battles, worlds: Worlds, units: Ints, orders: Orders) -> None:
    """Give orders.order[b, i] to unit units[b, i] [B, N] in every battle that goes on; below 0 none."""
    for b in range(len(units)):
        if battles.terminated[b] or battles.truncated[b]:
            continue
        f, k, w = battles.f[b], battles.k[b], world_of(worlds, b)
        for i in range(units.shape[1]):
            unit, order = units[b, i], orders.order[b, i]
            if k[ALIVE, unit] != 0 and order >= 0:
                x, y = orders.point[b, i]
                give_order(f, k, w, unit, order, orders.target[b, i], x, y)
