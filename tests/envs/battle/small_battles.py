"""Battles of a few units on an open field, placed to the hundredth of a cell, for tests of single rules."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from envs.battle import fields
from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.smac_map import EnemyOrder, SmacMap, SpawnGroup
from envs.smac.units import UnitType

Placed = tuple[UnitType, float, float]
OPEN = np.ones((32, 32), np.bool_)
IDLE = EnemyOrder("none")


def open_field(agents: Sequence[Placed], enemies: Sequence[Placed], order: EnemyOrder = IDLE) -> SmacMap:
    """A map without walls; what agents see of it does not matter here."""
    level = np.ones((32, 32), np.float32)
    groups = [tuple(SpawnGroup(unit, 1, x, y) for unit, x, y in team) for team in (agents, enemies)]
    return SmacMap("field", 1000, "P", "P", "marines", 0, groups[0], groups[1], order, OPEN, OPEN, level)


class Battle:
    """One battle; units by their column: agents in the order of their ids, then enemies as listed.

    Agents of one type must be listed from left to right, as SMAC numbers them.
    """

    def __init__(
        self, agents: Sequence[Placed], enemies: Sequence[Placed], order: EnemyOrder = IDLE, *, seed: int = 0
    ) -> None:
        self.env = BattleEnv(open_field(agents, enemies, order), seed=seed)
        self.env.reset()
        self.n_agents = len(agents)
        for column, (unit, x, y) in enumerate([*agents, *enemies]):
            assert self.env.units.types[column] == unit
            self.put(column, x, y)

    def put(self, unit: int, x: float, y: float) -> None:
        """Put a unit somewhere."""
        self.env._battles.f[0, fields.X, unit] = x
        self.env._battles.f[0, fields.Y, unit] = y

    def set(self, row: int, unit: int, value: float) -> None:
        """Change one number of a unit, by its row in `fields`."""
        self.env._battles.f[0, row, unit] = value

    def loops(
        self,
        count: int,
        order: Order = Order.KEEP,
        *,
        agent: int = 0,
        target: int = -1,
        point: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Give one agent an order, then play so many game loops."""
        orders = np.full((1, self.n_agents), int(Order.KEEP))
        orders[0, agent] = order
        targets, points = np.full((1, self.n_agents), -1), np.zeros((1, self.n_agents, 2))
        targets[0, agent], points[0, agent] = target, point
        self.env.step_orders(orders, targets, points, loops=1)
        for _ in range(count - 1):
            self.env.step_orders(np.full((1, self.n_agents), int(Order.KEEP)), loops=1)

    def life(self, unit: int) -> float:
        """Health and shield together."""
        return float(self.env.units.health[0, unit] + self.env.units.shield[0, unit])

    def health(self, unit: int) -> float:
        return float(self.env.units.health[0, unit])

    def shield(self, unit: int) -> float:
        return float(self.env.units.shield[0, unit])

    def position(self, unit: int) -> tuple[float, float]:
        return float(self.env.units.x[0, unit]), float(self.env.units.y[0, unit])

    def losses(self, unit: int, loops: int) -> list[tuple[int, float]]:
        """Play, and list when the unit lost life and how much: (loop from 1, points)."""
        before, found = self.life(unit), []
        for loop in range(1, loops + 1):
            self.loops(1)
            if self.life(unit) < before:
                found.append((loop, round(before - self.life(unit), 4)))
            before = self.life(unit)
        return found
