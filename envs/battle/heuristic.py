"""SMAC's own non-learning team, unrestricted: the yardstick that the simulator is calibrated against.

Every agent takes the closest living enemy anywhere on the map, orders an attack on it in every step until it
is dead, then takes the next. A medivac heals the closest injured ally that is no medivac; a marauder never
picks a medivac.
Source: `get_agent_action_heuristic` in SMAC with `heuristic_ai=True, heuristic_rest=False`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.maps import load_map
from envs.smac.units import UnitType
from envs.types import BoolArray, IntArray, TimeStep

REAL_WIN_RATES: Final[dict[str, int]] = {
    "2s_vs_1sc": 0,
    "2s3z": 90,
    "3s5z": 42,
    "1c3s5z": 81,
    "10m_vs_11m": 12,
    "2c_vs_64zg": 0,
    "bane_vs_bane": 43,
    "5m_vs_6m": 0,
    "3s_vs_5z": 0,
    "3s5z_vs_3s6z": 0,
    "6h_vs_8z": 0,
    "27m_vs_30m": 0,
    "MMM2": 0,
    "corridor": 0,
}
"""Median win rates (%) of this team in the real game (SC2 4.6.2, difficulty 7; SMAC paper, results table)."""


def heuristic_win_rate(
    map_name: str, *, battles: int, seed: int, turned_formation: bool = False, threads: int | None = 1
) -> float:
    """Share of `battles` battles that the team wins on the simulator."""
    env = BattleEnv(
        load_map(map_name), n_battles=battles, seed=seed, threads=threads, turned_formation=turned_formation
    )
    team = HeuristicTeam(env)
    shown = env.reset()
    while not shown.done.all():
        shown = team.step()
    env.close()
    return float(shown.won.mean())


class HeuristicTeam:
    """Plays all battles of one `BattleEnv`, and steps it: its orders reach beyond the action space."""

    def __init__(self, env: BattleEnv) -> None:
        self.env = env
        self.targets: IntArray = np.full(
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
        self.targets[lost] = closest[lost]
        order = np.where(heals, Order.HEAL, Order.ATTACK_UNIT)
        order = np.where(self.targets >= 0, order, Order.KEEP)
        return self.env.step_orders(order, self.targets)

    def restart(self, mask: BoolArray) -> None:
        """Forget the targets in the battles of `mask` [B], which have been reset."""
        self.targets[mask] = -1

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
        return np.take_along_axis(self._candidates(), np.maximum(self.targets, 0)[..., None], -1)[..., 0] & (
            self.targets >= 0
        )
