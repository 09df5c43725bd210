"""Scripted teams: yardsticks that show which maps need learning.

They see every unit of the simulator, more than an agent does, but act by the agents' actions: an attack
reaches six cells, a walk goes north, south, east or west. A team is called with the time step that its
environment just showed, and returns the actions [B, N].

Axes: B battles, N agents, E enemies, U = N + E units.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
import numpy.typing as npt

from envs.battle.views import Side
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, NO_OP, NORTH, STOP
from envs.smac.smac_map import MAP_SIZE_CELLS
from envs.smac.tables import SHOOT, layout_tables
from envs.smac.units import LOOPS_PER_SECOND, LOOPS_PER_STEP, UNITS, UnitType
from envs.types import BoolArray, IntArray, Team, TimeStep

Reals = npt.NDArray[np.float64]

MOVES: Final = np.array(DIRECTIONS[NORTH:FIRST_ATTACK])
"""[4, 2]: directions of the four moves."""

STEP_S = LOOPS_PER_STEP / LOOPS_PER_SECOND

# by UnitType
_REACH = np.array([UNITS[kind].range_cells for kind in UnitType])
_SPEED = np.array([UNITS[kind].speed_cells_s for kind in UnitType])
_HITS = np.array([UNITS[kind].hits for kind in UnitType])


class RandomTeam:
    """Uniformly random available actions; those of an episode depend on the seed and its number alone."""

    def __init__(self, env: Side, seed: int = 0) -> None:
        self._env, self._seed = env, seed
        self._episodes = np.full(env.n_battles, -1)
        self._streams = [np.random.default_rng(seed)] * env.n_battles

    def __call__(self, step: TimeStep) -> IntArray:
        episodes = self._env.episodes
        for slot in np.flatnonzero(episodes != self._episodes):
            self._streams[slot] = np.random.default_rng((self._seed, episodes[slot]))
        self._episodes = episodes
        scores = np.stack([stream.random(step.avail_actions.shape[1:]) for stream in self._streams])
        return _highest(np.where(step.avail_actions, scores, -1.0))


class NearestTeam:
    """Every agent attacks the closest enemy that it may attack, else walks towards the closest one.

    A medivac heals the closest injured ally within reach, else walks to the closest injured, else to the
    closest agent that fights.
    """

    def __init__(self, env: Side, seed: int = 0) -> None:
        self.units = env.units
        self.N = env.spec.n_agents
        self.shoot = layout_tables(env.smac_map).kinds[SHOOT]

    @property
    def heals(self) -> BoolArray:
        """[B, N]"""
        return np.asarray(self.units.types[:, : self.N] == UnitType.MEDIVAC)

    @property
    def can_attack(self) -> BoolArray:
        """[B, N, E]: whether an agent's weapon can attack an enemy."""
        return np.asarray(self.units.damage[:, : self.N, self.N :] > 0)

    def __call__(self, step: TimeStep) -> IntArray:
        dx, dy, distance = self.offsets()
        actions = self.attack_or_approach(step, dx, dy, distance, distance[:, :, self.N :])
        return np.where(self.heals, self.heal_or_follow(step, dx, dy, distance), actions)

    def offsets(self) -> tuple[Reals, Reals, Reals]:
        """dx, dy and distance from every agent to every unit, [B, N, U]; the distance to dead ones is inf."""
        units, N = self.units, self.N
        dx = units.x[:, None, :] - units.x[:, :N, None]
        dy = units.y[:, None, :] - units.y[:, :N, None]
        return dx, dy, np.where(units.alive[:, None, :] > 0, np.hypot(dx, dy), np.inf)

    def may_attack(self, step: TimeStep, distance: Reals) -> BoolArray:
        """[B, N, E]: the enemies that an agent can attack now."""
        N, slots = self.N, step.avail_actions[:, :, FIRST_ATTACK:]
        may = slots[:, :, : distance.shape[2] - N] & self.can_attack
        return np.asarray(may & self.in_reach(distance[:, :, N:]))

    def in_reach(self, distance: Reals) -> BoolArray:
        """distance [B, N, K] that an agent's attack or heal may have."""
        return np.asarray(distance <= self.shoot[self.units.types[:, : self.N]][..., None])

    def attack_or_approach(
        self, step: TimeStep, dx: Reals, dy: Reals, distance: Reals, costs: Reals
    ) -> IntArray:
        """Attack the enemy of least cost [B, N, E] among those in reach; else walk to the closest."""
        N, can_attack = self.N, self.can_attack
        may = self.may_attack(step, distance)
        target = np.where(may, costs, np.inf).argmin(axis=2)
        enemies = np.where(can_attack, distance[:, :, N:], np.inf)
        closest = enemies.argmin(axis=2) + N
        walk = self.walk(step, _pick(dx, closest), _pick(dy, closest))
        return np.where(may.any(axis=2), FIRST_ATTACK + target, walk)

    def heal_or_follow(self, step: TimeStep, dx: Reals, dy: Reals, distance: Reals) -> IntArray:
        """The actions of medivacs, for all agents."""
        N, units, heals = self.N, self.units, self.heals
        patient = ~heals & (units.health[:, :N] < units.health_max[:, :N])  # [B, N]
        slots = step.avail_actions.shape[2] - FIRST_ATTACK
        may = np.zeros((*distance.shape[:2], N), np.bool_)
        may[:, :, :slots] = step.avail_actions[:, :, FIRST_ATTACK : FIRST_ATTACK + N]
        may &= patient[:, None, :] & self.in_reach(distance[:, :, :N])
        allies = distance[:, :, :N]
        heal = FIRST_ATTACK + np.where(may, allies, np.inf).argmin(axis=2)
        fighters = np.where(heals[:, None, :], np.inf, allies)
        injured = np.where(patient[:, None, :], fighters, np.inf)
        follow = np.where(np.isfinite(injured.min(axis=2))[..., None], injured, fighters).argmin(axis=2)
        return np.where(may.any(axis=2), heal, self.walk(step, _pick(dx, follow), _pick(dy, follow)))

    def walk(self, step: TimeStep, dx: Reals, dy: Reals) -> IntArray:
        """The available move that leads furthest along (dx, dy) [B, N]; stop when none leads there."""
        gain = dx[..., None] * MOVES[:, 0] + dy[..., None] * MOVES[:, 1]  # [B, N, 4]
        gain = np.where(step.avail_actions[:, :, NORTH:FIRST_ATTACK], gain, -1.0)
        return _living(step, np.where(gain.max(axis=2) > 0, NORTH + gain.argmax(axis=2), STOP))


class FocusTeam(NearestTeam):
    """Agents shoot the weakest enemy that they may attack, one after the other, without overkill.

    The weakest has the least health and shields; an enemy that the shots of this step will kill already is
    left alone while there is another. Melee agents would have to walk around, so they attack the closest.
    """

    MELEE_CELLS = 1.0

    def __call__(self, step: TimeStep) -> IntArray:
        units, N = self.units, self.N
        dx, dy, distance = self.offsets()
        left = np.where(units.alive[:, N:] > 0, units.health[:, N:] + units.shield[:, N:], np.inf)  # [B, E]
        costs = distance[:, :, N:].copy()
        may = self.may_attack(step, distance)
        is_ranged, hits = _REACH[units.types[:, :N]] >= self.MELEE_CELLS, _HITS[units.types[:, :N]]
        battles = np.arange(len(left))
        for agent in np.flatnonzero(is_ranged.any(axis=0)):
            ranged = is_ranged[:, agent]
            doomed = np.where(left <= 0, 1e6, 0.0)
            # Life decides; among equals the closest, by a thousandth of its distance.
            weakest = left + doomed + distance[:, agent, N:] / 1000
            costs[:, agent] = np.where(ranged[:, None], weakest, costs[:, agent])
            target = np.where(may[:, agent], costs[:, agent], np.inf).argmin(axis=1)
            shoots = ranged & may[:, agent].any(axis=1) & (units.cooldown[:, agent] < LOOPS_PER_STEP)
            damage = hits[:, agent] * units.damage[battles, agent, N + target]
            left[battles, target] -= np.where(shoots, damage, 0.0)
        actions = self.attack_or_approach(step, dx, dy, distance, costs)
        return np.where(self.heals, self.heal_or_follow(step, dx, dy, distance), actions)


class KiteTeam(NearestTeam):
    """Agents shoot and step back: for 2s_vs_1sc and 3s_vs_5z.

    An agent steps back from an enemy of shorter reach, and no faster, that could hit it within the next step;
    it shoots when none is that close. From a slower enemy of equal reach, an agent that is targeted and
    nearly dead steps out of reach, so that the enemy turns to another; once all are nearly dead, all wait out
    of reach until their shields are full.
    """

    MARGIN_CELLS = 0.5
    FIT_SHIELD = 1.0
    SPARE_HITS = 1.5

    def __init__(self, env: Side, seed: int = 0) -> None:
        super().__init__(env, seed)
        self.walkable = env.smac_map.walkable
        self.regroups = np.zeros(env.n_battles, np.bool_)

    def __call__(self, step: TimeStep) -> IntArray:
        units, N = self.units, self.N
        reach, speed, radius = _REACH[units.types], _SPEED[units.types], units.radius  # [B, U]
        outranged = reach[:, None, N:] < reach[:, :N, None] - 1  # [B, N, E]: enemy j's reach is the shorter
        kited = outranged & (speed[:, None, N:] <= speed[:, :N, None])
        evaded = ~outranged & (speed[:, None, N:] < speed[:, :N, None])
        danger_cells = reach[:, None, N:] + radius[:, :N, None] + radius[:, None, N:] + self.MARGIN_CELLS
        danger = self.offsets()[2][:, :, N:] < danger_cells + speed[:, None, N:] * STEP_S
        chased = np.asarray((danger & kited).any(axis=2))
        rests = self.rests(evaded)
        leaves = chased | (rests & (danger & evaded).any(axis=2))
        fight = super().__call__(step)
        walks = (fight >= NORTH) & (fight < FIRST_ATTACK)
        waits = np.where(walks & rests, _living(step, STOP), fight)
        return np.where(leaves & ~self.heals, self.retreat(step, chased), waits)

    def rests(self, evaded: BoolArray) -> BoolArray:
        """[B, N]: agents nearly dead and targeted; once all are nearly dead, all, until shields are back.

        evaded [B, N, E]: the enemies that an agent can leave behind.
        """
        units, N = self.units, self.N
        worst_hit = (units.damage[:, N:, :N].transpose(0, 2, 1) * evaded).max(axis=2)  # [B, N]
        alive, shield = units.alive[:, :N] > 0, units.shield[:, :N]
        tired = (units.health[:, :N] + shield <= self.SPARE_HITS * worst_hit) & alive
        fit = shield >= self.FIT_SHIELD * units.shield_max[:, :N]
        self.regroups |= (tired | ~alive).all(axis=1)
        self.regroups &= ~(fit | ~alive).all(axis=1)
        targeted = (units.target[:, None, N:] == np.arange(N)[:, None]).any(axis=2)
        return np.asarray(self.regroups[:, None] | (tired & targeted))

    def retreat(self, step: TimeStep, chased: BoolArray) -> IntArray:
        """The available move after which the enemies are furthest, [B, N]; a chased agent keeps off walls."""
        units, N = self.units, self.N
        scores = np.empty((*chased.shape, len(MOVES)))
        stride = _SPEED[units.types[:, :N]] * STEP_S
        for move, (mx, my) in enumerate(MOVES):
            x, y = units.x[:, :N] + mx * stride, units.y[:, :N] + my * stride
            ahead = np.hypot(units.x[:, None, N:] - x[..., None], units.y[:, None, N:] - y[..., None])
            ahead = np.where(units.alive[:, None, N:] > 0, ahead, np.inf)
            scores[..., move] = -(1 / (ahead**2 + 0.01)).sum(axis=2) - 0.02 * chased * self.walls(x, y)
        scores[~step.avail_actions[:, :, NORTH:FIRST_ATTACK]] = -np.inf
        any_move = np.isfinite(scores.max(axis=2))
        return _living(step, np.where(any_move, NORTH + scores.argmax(axis=2), STOP))

    def walls(self, x: Reals, y: Reals) -> Reals:
        """[B, N]: how many of the eight points three cells around (x, y) are not walkable."""
        count, last = np.zeros_like(x), MAP_SIZE_CELLS - 1
        for angle in np.arange(8) * (np.pi / 4):
            column = np.floor(x + 3 * np.cos(angle)).astype(int)
            row = np.floor(y + 3 * np.sin(angle)).astype(int)
            inside = (column >= 0) & (column <= last) & (row >= 0) & (row <= last)
            count += ~(inside & self.walkable[column.clip(0, last), row.clip(0, last)])
        return count


TEAMS: Final[dict[str, Callable[[Side, int], Team]]] = {
    "random": RandomTeam,
    "nearest": NearestTeam,
    "focus": FocusTeam,
    "kite": KiteTeam,
}
"""Teams by name, made from an environment and a seed."""


def _highest(scores: Reals) -> IntArray:
    best: IntArray = scores.argmax(axis=2)
    return best


def _pick(values: Reals, index: IntArray) -> Reals:
    """values[b, n, index[b, n]], [B, N]."""
    return np.take_along_axis(values, index[..., None], axis=2)[..., 0]


def _living(step: TimeStep, actions: IntArray | int) -> IntArray:
    """The actions, with no-op for agents that can do nothing else."""
    return np.where(step.avail_actions[:, :, NO_OP], NO_OP, actions)
