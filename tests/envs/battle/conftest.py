"""Small battles with every unit placed exactly, for tests of single rules."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import ACQUIRES, HEALTH, SHIELD, Order, X, Y
from envs.smac.maps import EnemyOrder, SmacMap, SpawnGroup
from envs.smac.units import CUSTOM_TYPE_ORDER, UNITS, UnitType

Unit = tuple[UnitType, float, float]


class Battlefield:
    """One battle between units at given places; `order` and `play` drive it loop by loop.

    Agents are numbered in the order given (which must be the order of their types' ids), enemies after them.
    """

    def __init__(
        self,
        allies: Sequence[Unit],
        enemies: Sequence[Unit],
        *,
        passive: bool = True,
        enemy_order: EnemyOrder | None = None,
        walkable: np.ndarray | None = None,
        colossus_walkable: np.ndarray | None = None,
        seed: int = 0,
    ) -> None:
        ground = np.ones((32, 32), np.bool_) if walkable is None else walkable
        assert list(allies) == sorted(allies, key=lambda unit: CUSTOM_TYPE_ORDER.index(unit[0]))
        smac_map = SmacMap(
            name="test",
            episode_limit=10_000,
            ally_race=UNITS[allies[0][0]].race,
            enemy_race=UNITS[enemies[0][0]].race,
            map_type="marines",
            unit_type_bits=0,
            ally_spawns=tuple(SpawnGroup(kind, 1, x, y) for kind, x, y in allies),
            enemy_spawns=tuple(SpawnGroup(kind, 1, x, y) for kind, x, y in enemies),
            enemy_order=enemy_order or EnemyOrder("none"),
            walkable=ground,
            colossus_walkable=ground if colossus_walkable is None else colossus_walkable,
            cliff_level=np.ones((32, 32), np.float32),
        )
        self.env = BattleEnv(smac_map, seed=seed)
        self.units = self.env.units
        self.f, self.k = self.env._battles.f[0], self.env._battles.k[0]
        if passive:
            self.env._worlds.t[:, ACQUIRES] = 0
        self.shown = self.env.reset()
        for u, (_, x, y) in enumerate([*allies, *enemies]):
            self.f[X, u], self.f[Y, u] = x, y
        self._orders: dict[int, tuple[Order, int, tuple[float, float]]] = {}

    def order(self, agent: int, order: Order, target: int = -1, x: float = 0.0, y: float = 0.0) -> None:
        """Give an agent an order with the next loop that is played."""
        self._orders[agent] = order, target, (x, y)

    def play(self, loops: int = 1) -> None:
        """Play game loops; orders are given once."""
        n = self.env.spec.n_agents
        order = np.full((1, n), Order.KEEP, np.int64)
        target = np.full((1, n), -1, np.int64)
        point = np.zeros((1, n, 2))
        for agent, (kind, unit, where) in self._orders.items():
            order[0, agent], target[0, agent], point[0, agent] = kind, unit, where
        self._orders.clear()
        self.shown = self.env.step_orders(order, target, point, loops=loops)

    def loops_until(self, happened: Callable[[], bool], at_most: int = 2000) -> int:
        """Loops played until `happened`."""
        for loop in range(1, at_most + 1):
            self.play()
            if happened():
                return loop
        raise AssertionError(f"nothing happened in {at_most} loops")

    def life(self, unit: int) -> float:
        """Health and shield."""
        return float(self.f[HEALTH, unit] + self.f[SHIELD, unit])

    def at(self, unit: int) -> tuple[float, float]:
        """Position."""
        return float(self.f[X, unit]), float(self.f[Y, unit])

    def gap(self, a: int, b: int) -> float:
        """Distance from edge to edge."""
        (ax, ay), (bx, by) = self.at(a), self.at(b)
        return float(np.hypot(ax - bx, ay - by) - self.units.radius[0, a] - self.units.radius[0, b])


@pytest.fixture
def battlefield() -> type[Battlefield]:
    """The class, as test folders are no packages to import from."""
    return Battlefield
