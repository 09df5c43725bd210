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
from envs.battle.views import Side
from envs.slots import WrappedEnv, check_actions
from envs.smac.actions import FIRST_ATTACK, NO_OP, STOP
from envs.smac.units import UnitType
from envs.types import BoolArray, IntArray, TimeStep

HEURISTIC: Final = "heuristic"
"""The team's name in flags."""


class HeuristicTeam:
    """A team for `AttackAnywhere`: its actions are SMAC's by number, but reach any distance."""

    def __init__(self, env: Side, seed: int = 0) -> None:
        self.env = env
        self.targets: IntArray = np.full(
            (env.n_battles, env.spec.n_agents), -1, np.int64
        )  # unit index, -1 none
        self._episodes = env.episodes

    def __call__(self, step: TimeStep) -> IntArray:
        """Attack or heal the last target while it may be picked, else the closest, else give no new order."""
        units, N = self.env.units, self.env.spec.n_agents
        self.targets[self.env.episodes != self._episodes] = -1
        self._episodes = self.env.episodes
        dx = units.x[:, :N, None] - units.x[:, None, :]
        dy = units.y[:, :N, None] - units.y[:, None, :]
        distance = np.hypot(dx, dy)  # [B, N, U]
        candidates = self._candidates()
        distance[~candidates] = np.inf
        kept = np.take_along_axis(candidates, np.maximum(self.targets, 0)[..., None], axis=-1)[..., 0]
        lost = ~kept | (self.targets < 0)
        closest = distance.argmin(axis=-1)
        closest[~np.isfinite(distance.min(axis=-1))] = -1
        self.targets[lost] = closest[lost]
        heals = units.types[:, :N] == UnitType.MEDIVAC
        attack = FIRST_ATTACK + np.where(heals, self.targets, self.targets - N)
        idle = np.where(units.alive[:, :N] > 0, STOP, NO_OP)
        return np.where((self.targets >= 0) & (idle == STOP), attack, idle)

    def _candidates(self) -> BoolArray:
        """[B, N, U]: the units that each agent may pick."""
        units, N = self.env.units, self.env.spec.n_agents
        types, alive = units.types, units.alive > 0
        is_medivac = types == UnitType.MEDIVAC
        injured = alive & (units.health != units.health_max) & ~is_medivac
        enemies = alive.copy()
        injured[:, N:] = False
        enemies[:, :N] = False
        may = np.where(is_medivac[:, :N, None], injured[:, None, :], enemies[:, None, :])
        marauder = types[:, :N] == UnitType.MARAUDER
        return np.asarray(may & ~(marauder[:, :, None] & is_medivac[:, None, :]))


class AttackAnywhere(WrappedEnv):
    """A `BattleEnv` whose attacks and heals reach any distance, as those of SMAC's heuristic team do.

    It is a `MultiAgentEnv`, and can be recorded. Agents may attack any living enemy, medivacs heal any living
    ally that is no medivac. No-op and stop give no new order; there are no moves.
    """

    def __init__(self, env: BattleEnv) -> None:
        super().__init__(env)
        self.env = env
        self._avail: BoolArray = np.zeros((env.n_battles, env.spec.n_agents, env.spec.n_actions), np.bool_)
        self._done: BoolArray = np.ones(env.n_battles, np.bool_)

    @property
    def _heals(self) -> BoolArray:
        """[B, N]"""
        return np.asarray(self.env.units.types[:, : self.spec.n_agents] == UnitType.MEDIVAC)

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """As `BattleEnv.reset`."""
        return self._show(self.env.reset(mask))

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step; actions [B, N]. ValueError as `BattleEnv.step`."""
        running = ~self._done
        slot = check_actions(actions, self._avail, running) - FIRST_ATTACK
        aims = (slot >= 0) & running[:, None]
        heals = self._heals
        order = np.where(aims, np.where(heals, Order.HEAL, Order.ATTACK_UNIT), Order.KEEP)
        target = np.where(aims, np.where(heals, slot, self.spec.n_agents + slot), -1)
        return self._show(self.env.step_orders(order, target))

    def _show(self, step: TimeStep) -> TimeStep:
        """The time step, with the actions available to these agents."""
        N, first = self.spec.n_agents, FIRST_ATTACK
        alive, avail, heals = self.env.units.alive > 0, step.avail_actions, self._heals[:, :, None]
        avail[:, :, STOP + 1 :] = False
        patients = alive[:, :N] & ~self._heals
        for targets, chosen in ((alive[:, N:], ~heals), (patients, heals)):
            slots = avail[:, :, first : first + targets.shape[1]]
            slots |= chosen & targets[:, None, : slots.shape[2]]
        avail[:, :, first:] &= alive[:, :N, None]
        self._avail[:], self._done[:] = avail, step.done
        return step
