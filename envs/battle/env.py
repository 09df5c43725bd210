"""BattleEnv: SMAC on the embedded simulator, B battles at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.battle import kernel
from envs.battle.fields import F_ROWS, HEALTH_MAX, K_ROWS, SHIELD_MAX, Order
from envs.battle.placing import place_units
from envs.battle.roster import make_draw, make_worlds
from envs.battle.views import Units
from envs.battle.world import Draw, Orders, Views, make_battles
from envs.compiled import announce
from envs.cores import usable_cores
from envs.slots import BatchEnv, integer_actions, unavailable
from envs.smac.actions import IDLE
from envs.smac.maps import SmacMap
from envs.smac.memory import LAST_ACTION, make_memory
from envs.smac.shown import ShownUnits
from envs.smac.tables import SHOOT, layout_tables, max_reward
from envs.smac.units import LOOPS_PER_STEP
from envs.types import BoolArray, IntArray, TimeStep

THREADED_UNITS = 448
"""From this number of units in all battles together a second thread pays."""


class BattleEnv(BatchEnv):
    """B = `n_battles` battles of one map (a `MultiAgentEnv`).

    Battle e of seed s is bit-identical whatever B and `threads` are (None: one thread a core). Enemies play
    by the map's order. `turned_formation` turns the spawn formation by a random angle in every episode; where
    starts are drawn there is none to turn.
    """

    idle_actions = IDLE

    def __init__(
        self,
        smac_map: SmacMap,
        *,
        n_battles: int = 1,
        seed: int = 0,
        threads: int | None = 1,
        turned_formation: bool = False,
    ) -> None:
        super().__init__(smac_map.spec, n_battles)
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; say 1 or more, or None for one a core")
        if turned_formation and smac_map.draw is not None:
            raise ValueError(f"{smac_map.name} draws its starts: there is no formation to turn")
        self.smac_map = smac_map
        self.seed = seed
        self._turned = turned_formation
        self._worlds = make_worlds(smac_map, n_battles)
        self._tables = layout_tables(smac_map)
        self._memory = make_memory(smac_map, n_battles)
        settings = smac_map.settings
        self._shows_actions = settings.obs_last_action or settings.state_last_action
        self._remembers = self._shows_actions or settings.prob_obs_enemy is not None
        B, N, U = n_battles, smac_map.n_agents, self._worlds.s.shape[2]
        self._battles = make_battles(B, F_ROWS, K_ROWS, U)
        self._orders = Orders(np.zeros((B, N), np.int64), np.zeros((B, N), np.int64), np.zeros((B, N, 2)))
        self._draw = None if smac_map.draw is None else make_draw(smac_map.draw)
        self._reach = np.zeros(0) if smac_map.settings.action_mask else self._tables.kinds[SHOOT]
        kernels: list[Any] = [kernel.start_battles, kernel.play, kernel.show]
        kernels += [kernel.begin_memories] if self._remembers else []
        kernels += [kernel.draw_battles] if self._draw is not None else []
        announce("the battle simulator", *kernels)
        if self._draw is not None:
            self._tables = self._tables._replace(max_reward=self._first_max_reward(self._draw))
        self._avail = np.zeros((B, N, self._spec.n_actions), np.bool_)  # as last shown
        self.units = Units(self._battles, self._worlds)
        self.n_threads = min(threads or usable_cores(), B) if B * U >= THREADED_UNITS else 1
        self._own_battles = B // self.n_threads
        """Battles that the calling thread plays, adapted after every step: waking the others takes time."""
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = -1

    def _first_max_reward(self, draw: Draw) -> float:
        """SMAC's largest return, by which rewards are scaled: with the enemies of the seed's first episode.

        As in SMACv2, whose environment counts those of the first battle that it plays, for all battles.
        """
        battles = self._battles._replace(episode=np.zeros_like(self._battles.episode))
        kernel.draw_battles(battles, self._worlds, draw, np.arange(self.n_battles) == 0, self._seed)
        s, n = self._worlds.s[0], self.smac_map.n_agents
        points = float(s[[HEALTH_MAX, SHIELD_MAX], n:].sum())
        return max_reward(self.smac_map.settings, self.smac_map.n_enemies, points)

    @property
    def _seed(self) -> np.uint64:
        return np.uint64(self.seed & 0xFFFFFFFFFFFFFFFF)

    @property
    def episodes(self) -> IntArray:
        """[B] number of the episode that each slot plays, -1 before the first."""
        return self._battles.episode.copy()

    @property
    def steps(self) -> IntArray:
        """[B] environment steps played in each slot's episode."""
        return self._battles.loops // LOOPS_PER_STEP

    def shown_units(self, slot: int) -> ShownUnits:
        """The units of the battle in a slot, to record or watch it."""
        return ShownUnits(*(getattr(self.units, name)[slot] for name in ShownUnits._fields))

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """Start the next episodes in the slots of `mask` [B] (all when None); the others stay as they are."""
        chosen = self._chosen(mask)
        count = int(chosen.sum())
        self._battles.episode[chosen] = np.arange(self.next_episode, self.next_episode + count)
        self.next_episode += count
        seed = self._seed
        if self._draw is not None:
            kernel.draw_battles(self._battles, self._worlds, self._draw, chosen, seed)
        kernel.start_battles(self._battles, self._worlds, chosen, seed, self._turned)
        if self._remembers:
            kernel.begin_memories(self._battles, self._worlds, self._tables, self._memory, chosen, seed)
        views = self._fresh_views()
        kernel.show(0, self.n_battles, self._battles, self._worlds, self._tables, self._memory, views)
        return self._time_step(views)

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step of every battle that has not ended; actions [B, N].

        ValueError naming battle, agent and action when one is not available; then no battle is advanced.
        """
        actions = integer_actions(actions, (self.n_battles, self._spec.n_agents))
        bad = kernel.read_actions(
            actions.astype(np.int64, copy=False),
            self._avail,
            self._battles,
            self._worlds,
            self._reach,
            self._orders,
        )
        if bad >= 0:
            raise unavailable(actions, self._avail, *divmod(bad, self._spec.n_agents))
        if self._shows_actions:
            live = ~(self._battles.terminated | self._battles.truncated)
            self._memory.agents[live, LAST_ACTION] = actions[live]
        return self._play(LOOPS_PER_STEP)

    def step_orders(
        self,
        order: IntArray,
        target: IntArray | None = None,
        point: npt.NDArray[np.float64] | None = None,
        *,
        loops: int = LOOPS_PER_STEP,
    ) -> TimeStep:
        """Play one step, or any number of game loops, with orders that reach beyond the action space.

        order [B, N] of `fields.Order`; target [B, N]: unit index 0..U-1, agents first (ATTACK_UNIT, HEAL);
        point [B, N, 2] in cells (MOVE, ATTACK_MOVE). An order that a unit cannot carry out changes nothing.
        """
        shape = self.n_battles, self._spec.n_agents
        order = np.asarray(order)
        if order.shape != shape:
            raise ValueError(f"order is {order.shape}, not {shape}")
        if not np.isin(order, [int(kind) for kind in Order]).all():
            raise ValueError(f"order holds {sorted(set(order.ravel().tolist()) - {int(o) for o in Order})}")
        targets = np.full(shape, -1) if target is None else np.asarray(target)
        points = np.zeros((*shape, 2)) if point is None else np.asarray(point, np.float64)
        if targets.shape != shape or points.shape != (*shape, 2):
            raise ValueError(f"target is {targets.shape}, point {points.shape}; not {shape}, {(*shape, 2)}")
        if (targets < -1).any() or (targets >= self._battles.f.shape[2]).any():
            raise ValueError(f"a target is no unit index of -1..{self._battles.f.shape[2] - 1}")
        if loops < 1:
            raise ValueError(f"loops is {loops}; at least one is played")
        if not np.isfinite(points).all():
            raise ValueError("a point is not finite")
        self._orders.order[:], self._orders.target[:], self._orders.point[:] = order, targets, points
        return self._play(loops)

    def place(
        self,
        x: npt.NDArray[np.float64],
        y: npt.NDArray[np.float64],
        health: npt.NDArray[np.float64],
        cooldown: npt.NDArray[np.float64],
    ) -> TimeStep:
        """Put all units where a recorded battle had them; what they are doing goes on, also in ended battles.

        All [B, U], agents first: cells, points, game loops. Health 0 is a dead unit, whose other numbers are
        not read; a cooldown of NaN leaves the weapon as it is. ValueError when a number is out of bounds.
        """
        place_units(self._battles, self._worlds, x, y, health, cooldown)
        views = self._fresh_views()
        kernel.show(0, self.n_battles, self._battles, self._worlds, self._tables, self._memory, views)
        return self._time_step(views)

    def close(self) -> None:
        """Release the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _play(self, loops: int) -> TimeStep:
        """`loops` game loops of every battle that has not ended, in as many threads as pay."""
        views = self._fresh_views()

        def play(first: int, last: int) -> None:
            shown = self._tables, self._memory, views
            kernel.play(first, last, self._battles, self._worlds, self._orders, loops, *shown)

        B, n = self.n_battles, self.n_threads
        if n == 1:
            play(0, B)
            return self._time_step(views)
        if self._pool is None or self._pool_pid != os.getpid():  # threads do not survive a fork
            self._pool = ThreadPoolExecutor(n - 1, thread_name_prefix="battles")
            self._pool_pid = os.getpid()
        own = self._own_battles
        cuts = [(B - own) * part // (n - 1) for part in range(n)]
        parts = [self._pool.submit(play, first, last) for first, last in pairwise(cuts)]
        play(B - own, B)
        own += -1 if all(part.done() for part in parts) else 1  # less if the others wait, else more
        self._own_battles = min(max(own, 1), B - n + 1)
        for part in parts:
            part.result()
        return self._time_step(views)

    def _fresh_views(self) -> Views:
        B, spec = self.n_battles, self._spec
        return Views(
            np.empty((B, spec.n_agents, spec.obs_dim), np.float32),
            np.empty((B, spec.state_dim), np.float32),
            np.empty((B, spec.n_agents, spec.n_actions), np.bool_),
            np.empty(B, np.float32),
        )

    def _time_step(self, views: Views) -> TimeStep:
        self._avail[:] = views.avail
        battles = self._battles
        return TimeStep(*views, battles.terminated.copy(), battles.truncated.copy(), battles.won.copy())
