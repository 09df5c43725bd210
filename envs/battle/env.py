"""BattleEnv: SMAC on the embedded simulator, B battles at once."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from envs.battle import kernel
from envs.battle.combat import Ints, Reals
from envs.battle.compiled import announce
from envs.battle.fields import F_ROWS, K_ROWS, Order
from envs.battle.roster import make_roster
from envs.battle.units import Units
from envs.smac.layout import LayoutTables, layout_tables
from envs.smac.maps import SmacMap
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray, TimeStep

Views = tuple[LayoutTables, Reals, Ints, Ints, FloatArray, FloatArray, BoolArray]

THREADED_UNITS = 512
"""Units in all battles together from which a second thread pays."""


class BattleEnv:
    """B = `n_battles` battles of one map (a `MultiAgentEnv`).

    Battle e of seed s is bit-identical whatever B and `threads` are (None: one thread a core). Enemies play
    by the map's order. `turned_formation` turns the spawn formation by a random angle in every episode.
    """

    def __init__(
        self,
        smac_map: SmacMap,
        *,
        n_battles: int = 1,
        seed: int = 0,
        threads: int | None = 1,
        turned_formation: bool = False,
    ) -> None:
        if n_battles < 1:
            raise ValueError(f"n_battles is {n_battles}; a BattleEnv plays at least one battle")
        if threads is not None and threads < 1:
            raise ValueError(f"threads is {threads}; say 1 or more, or None for one a core")
        self.smac_map = smac_map
        self.seed = seed
        self.next_episode = 0
        self.episodes: IntArray = np.full(
            n_battles, -1, np.int64
        )  # the episode that each slot plays, -1 none yet
        self._turned = turned_formation
        self._spec = smac_map.spec
        self._roster = make_roster(smac_map)
        self._tables = layout_tables(smac_map)
        B, U, N = n_battles, self._roster.n_units, smac_map.n_agents
        self._f = np.zeros((B, F_ROWS, U))
        self._k = np.zeros((B, K_ROWS, U), np.int64)
        self._rng = np.zeros(B, np.uint64)
        self._steps = np.zeros(B, np.int64)
        self._terminated = np.ones(B, np.bool_)
        self._truncated = np.zeros(B, np.bool_)
        self._won = np.zeros(B, np.bool_)
        self._avail = np.zeros((B, N, self._spec.n_actions), np.bool_)
        self._order = np.zeros((B, N), np.int64)
        self._target = np.full((B, N), -1, np.int64)
        self._point = np.zeros((B, N, 2))
        self.units = Units(self._f, self._k, self._roster, N)
        self._n_threads = min(threads or os.cpu_count() or 1, B) if B * U >= THREADED_UNITS else 1
        self._pool: ThreadPoolExecutor | None = None
        self._pool_pid = -1
        announce("the battle simulator", kernel.start_battles, kernel.play, kernel.show)

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @property
    def n_battles(self) -> int:
        return len(self._f)

    @property
    def steps(self) -> IntArray:
        """[B] environment steps played in each slot's episode."""
        return self._steps.copy()

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """Start the next episodes in the slots of `mask` [B] (all when None); the others stay as they are."""
        chosen = np.ones(self.n_battles, np.bool_) if mask is None else np.asarray(mask)
        if chosen.shape != (self.n_battles,) or chosen.dtype != np.bool_:
            raise ValueError(f"mask is {chosen.dtype} {chosen.shape}, not bool ({self.n_battles},)")
        count = int(chosen.sum())
        self.episodes[chosen] = np.arange(self.next_episode, self.next_episode + count)
        self.next_episode += count
        roster = self._roster
        kernel.start_battles(
            chosen,
            np.uint64(self.seed & 0xFFFFFFFFFFFFFFFF),
            self.episodes,
            self._f,
            self._k,
            roster.s,
            roster.t,
            roster.terrain,
            roster.damage,
            self._rng,
            roster.sites,
            self._turned,
            self._spec.n_agents,
            roster.enemy_order,
            roster.enemy_points,
        )
        self._steps[chosen] = 0
        for flags in (self._terminated, self._truncated, self._won):
            flags[chosen] = False
        return self._show(None)

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step (8 game loops) of every battle that has not ended; actions [B, N].

        ValueError naming battle, agent and action when one is not available; then no battle is advanced.
        """
        actions = np.asarray(actions)
        shape = self.n_battles, self._spec.n_agents
        if actions.shape != shape or actions.dtype.kind not in "iu":
            raise ValueError(f"actions are {actions.dtype} {actions.shape}, not integers {shape}")
        ended = self._terminated | self._truncated
        bad = kernel.read_actions(
            actions.astype(np.int64, copy=False),
            self._avail,
            ended,
            self._f,
            self._roster.t,
            self._order,
            self._target,
            self._point,
        )
        if bad >= 0:
            battle, agent = divmod(bad, self._spec.n_agents)
            action, able = actions[battle, agent], np.flatnonzero(self._avail[battle, agent]).tolist()
            raise ValueError(f"battle {battle}, agent {agent}: action {action} is not available, only {able}")
        return self._play()

    def step_orders(
        self,
        order: IntArray,
        target: IntArray | None = None,
        point: npt.NDArray[np.float64] | None = None,
    ) -> TimeStep:
        """Play one step with orders of `fields.Order`, which reach beyond the action space.

        order [B, N]; target [B, N]: unit index 0..U-1, agents first (ATTACK_UNIT, HEAL); point [B, N, 2] in
        cells (MOVE, ATTACK_MOVE). An order that a unit cannot carry out changes nothing.
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
            raise ValueError(
                f"target is {targets.shape} and point {points.shape}, not {shape} and {(*shape, 2)}"
            )
        if (targets < -1).any() or (targets >= self._roster.n_units).any():
            raise ValueError(f"a target is no unit index of -1..{self._roster.n_units - 1}")
        if not np.isfinite(points).all():
            raise ValueError("a point is not finite")
        self._order[:], self._target[:], self._point[:] = order, targets, points
        return self._play()

    def close(self) -> None:
        """Release the threads."""
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None

    def _play(self) -> TimeStep:
        return self._show(np.empty(self.n_battles, np.float32))

    def _show(self, reward: FloatArray | None) -> TimeStep:
        """Advance (where `reward` is given, to be filled) and write what is seen into fresh arrays."""
        B, spec = self.n_battles, self._spec
        obs = np.empty((B, spec.n_agents, spec.obs_dim), np.float32)
        state = np.empty((B, spec.state_dim), np.float32)
        avail = np.empty((B, spec.n_agents, spec.n_actions), np.bool_)
        views = self._tables, self._f, self._k, self._roster.t, obs, state, avail
        if reward is None:
            reward = np.zeros(B, np.float32)
            kernel.show(0, B, *views)
        else:
            self._advance(views, reward)
        self._avail[:] = avail
        return TimeStep(
            obs, state, avail, reward, self._terminated.copy(), self._truncated.copy(), self._won.copy()
        )

    def _advance(self, views: Views, reward: FloatArray) -> None:
        """One step of every battle, in as many threads as pay."""
        roster = self._roster
        arguments: tuple[Any, ...] = (
            *views,
            roster.s,
            roster.terrain,
            roster.damage,
            self._rng,
            self._order,
            self._target,
            self._point,
            self._steps,
            self._spec.episode_limit,
            reward,
            self._terminated,
            self._truncated,
            self._won,
        )

        def play(first: int, last: int) -> None:
            kernel.play(first, last, *arguments)

        B, n = self.n_battles, self._n_threads
        if n == 1:
            play(0, B)
            return
        if self._pool is None or self._pool_pid != os.getpid():  # threads do not survive a fork
            self._pool = ThreadPoolExecutor(n, thread_name_prefix="battles")
            self._pool_pid = os.getpid()
        cuts = [B * part // n for part in range(n + 1)]
        parts = [self._pool.submit(play, first, last) for first, last in pairwise(cuts)]
        for part in parts:
            part.result()
