"""SMAC's own non-learning team, unrestricted: the yardstick that the simulator is calibrated against.

Every agent takes the closest living enemy anywhere on the map, orders an attack on it in every step until it
is dead, then takes the next. A medivac heals the closest injured ally that is no medivac; a marauder never
picks a medivac.
Source: `get_agent_action_heuristic` in SMAC with `heuristic_ai=True, heuristic_rest=False`.
"""

from __future__ import annotations

import numpy as np

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.units import UnitType
from envs.types import BoolArray, IntArray, TimeStep


class HeuristicTeam:
    """Plays all battles of one `BattleEnv`, and steps it: its orders reach beyond the action space."""

    def __init__(self, env: BattleEnv) -> None:
        self.env = env
        self._target: IntArray = np.full(
            (env.n_battles, env.spec.n_agents), -1, np.int64
        )  # unit index, -1 none

    def step(self) -> TimeStep:
        """Choose orders for every living agent and play one step."""
        units, N = self.env.units, self.env.spec.n_agents
        heals = units.types[:N] == UnitType.MEDIVAC
        dx = units.x[:, :N, None] - units.x[:, None, :]
        dy = units.y[:, :N, None] - units.y[:, None, :]
        distance = np.hypot(dx, dy)  # [B, N, U]
        distance[~self._candidates()] = np.inf
        lost = ~self._keeps()
        closest = distance.argmin(axis=-1)
        closest[~np.isfinite(distance.min(axis=-1))] = -1
        self._target[lost] = closest[lost]
        order = np.where(heals, Order.HEAL, Order.ATTACK_UNIT)
        order = np.where(self._target >= 0, order, Order.KEEP)
        return self.env.step_orders(order, self._target)

    def restart(self, mask: BoolArray) -> None:
        """Forget the targets in the battles of `mask` [B], which have been reset."""
        self._target[mask] = -1

    def _candidates(self) -> BoolArray:
        """[B, N, U]: whom each agent may pick."""
        units, N = self.env.units, self.env.spec.n_agents
        types, alive = units.types, units.alive > 0
        is_medivac = types == UnitType.MEDIVAC
        injured = alive & (units.health != units.health_max) & ~is_medivac
        enemies = alive.copy()
        injured[:, N:] = False
        enemies[:, :N] = False
        may = np.where(is_medivac[None, :N, None], injured[:, None, :], enemies[:, None, :])
        marauder = types[:N] == UnitType.MARAUDER
        return np.asarray(may & ~(marauder[:, None] & is_medivac[None, :]))

    def _keeps(self) -> BoolArray:
        """[B, N]: whose target is still one."""
        return np.take_along_axis(self._candidates(), np.maximum(self._target, 0)[..., None], -1)[..., 0] & (
            self._target >= 0
        )
