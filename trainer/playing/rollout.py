"""Plays whole episodes in this process: with exploration to train on, greedily to evaluate."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from envs.errors import EpisodeLostError, LanError
from envs.outcomes import EpisodeStats
from envs.types import BoolArray, IntArray, MultiAgentEnv, Team, TimeStep
from trainer.config import Epsilon
from trainer.learning.networks import AdvantageNet
from trainer.playing.kernels import keep_rows
from trainer.playing.policy import PolicyTeam, TorchPolicy
from trainer.replay.episode import Episode

Round = tuple[list[Episode], list[EpisodeStats]]
"""The episodes of B battles that were played side by side, and their statistics."""


class AbandonedError(LanError):
    """This round is no longer wanted."""


class Watcher(Protocol):
    """Sees every step of a round of episodes."""

    def begin(self, step: TimeStep) -> None:
        """The battles have been reset and show `step`."""
        ...

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """The actions [B, N] led to `step`."""
        ...


def play_round(
    env: MultiAgentEnv, team: Team, slots: BoolArray, watch: Watcher | None = None
) -> tuple[TimeStep, list[EpisodeStats]]:
    """One episode in each of `slots` [B], to the longest's end; the last time step and the statistics."""
    live = slots.copy()
    returns, lengths = np.zeros(env.n_battles), np.zeros(env.n_battles, np.int64)
    step = env.reset(live)
    if watch is not None:
        watch.begin(step)
    while live.any():
        actions = team(step)
        step = env.step(actions)
        if watch is not None:
            watch.step(step, actions)
        returns += np.where(live, step.reward, 0)
        lengths += live
        live &= ~step.done
    rows = zip(returns[slots].tolist(), lengths[slots].tolist(), step.won[slots].tolist(), strict=True)
    return step, [EpisodeStats(*row) for row in rows]


def play(
    env: MultiAgentEnv, make_team: Callable[[], Team], n_episodes: int, watch: Watcher | None = None
) -> list[EpisodeStats]:
    """Play the next `n_episodes` episodes to their ends, B at a time, each time with a new team.

    A round in which a live game was lost does not count and is played again.
    """
    stats: list[EpisodeStats] = []
    while len(stats) < n_episodes:
        slots = np.arange(env.n_battles) < n_episodes - len(stats)
        with contextlib.suppress(EpisodeLostError):  # the environment limits how often that may happen
            stats += play_round(env, make_team(), slots, watch)[1]
    return stats


def evaluate(env: MultiAgentEnv, net: AdvantageNet, n_episodes: int) -> list[EpisodeStats]:
    """The next `n_episodes` greedy, decentralised episodes."""
    policy = TorchPolicy(net)
    return play(env, lambda: PolicyTeam(policy, env), n_episodes)


def collect(
    env: MultiAgentEnv,
    net: AdvantageNet,
    epsilon: Epsilon,
    rng: np.random.Generator,
    abandoned: threading.Event | None = None,
) -> Round:
    """B training episodes, whole, and their statistics; AbandonedError once `abandoned` is set.

    A round in which a live game was lost leaves nothing behind and is played again.
    """
    while True:
        team = PolicyTeam(TorchPolicy(net), env, epsilon=epsilon, rng=rng)
        scribe = Scribe(abandoned)
        try:
            _, stats = play_round(env, team, np.ones(env.n_battles, np.bool_), scribe)
        except EpisodeLostError:  # the environment limits how often that may happen
            continue
        return scribe.episodes([stat.length_steps for stat in stats]), stats


_SHOWN = ("obs", "state", "avail_actions")
"""What a time step shows before each action and after the last; names of `TimeStep` and of `Episode`."""


class Scribe:
    """A watcher that keeps every step and cuts them into episodes of their true lengths.

    It ends the round by an AbandonedError at the next step once `abandoned` is set. What a battle shows after
    its end is not kept: most of a round's battles end long before the last one.
    """

    ROOM_STEPS = 256
    """Room at first; untouched memory costs nothing, and longer rounds get twice as much."""

    def __init__(self, abandoned: threading.Event | None = None) -> None:
        self.abandoned = abandoned

    def begin(self, step: TimeStep) -> None:
        """Start over."""
        B, N, _ = step.obs.shape
        self._last, self._n_steps = step, 0
        self._kept: dict[str, npt.NDArray[Any]] = {"action": np.empty((B, 0, N), np.int64)}
        for name in (*_SHOWN, "reward"):
            like = getattr(step, name)
            self._kept[name] = np.empty((B, 0, *like.shape[1:]), like.dtype)
        self._make_room(self.ROOM_STEPS)
        self._keep(np.arange(B), obs=step.obs, state=step.state, avail_actions=step.avail_actions)

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """Keep a step."""
        if self.abandoned is not None and self.abandoned.is_set():
            raise AbandonedError
        going = np.flatnonzero(~self._last.done)
        self._keep(going, action=actions, reward=step.reward)
        self._last, self._n_steps = step, self._n_steps + 1
        if self._n_steps == self._kept["obs"].shape[1]:
            self._make_room(2 * self._n_steps)
        self._keep(going, obs=step.obs, state=step.state, avail_actions=step.avail_actions)

    def episodes(self, lengths: list[int]) -> list[Episode]:
        """One episode for each of the B battles; their arrays are views of the round's."""
        last = self._last
        return [
            Episode(
                **{name: self._kept[name][b, : n + 1] for name in _SHOWN},
                **{name: self._kept[name][b, :n] for name in ("action", "reward")},
                terminated=bool(last.terminated[b]),
                truncated=bool(last.truncated[b]),
                won=bool(last.won[b]),
            )
            for b, n in enumerate(lengths)
        ]

    def _keep(self, battles: IntArray, **columns: npt.NDArray[Any]) -> None:
        for name, rows in columns.items():
            kept = self._kept[name]
            keep_rows(battles, self._n_steps, rows.reshape(len(rows), -1), kept.reshape(*kept.shape[:2], -1))

    def _make_room(self, n_steps: int) -> None:
        """Room for `n_steps` in every array, with what was kept so far."""
        for name, kept in self._kept.items():
            self._kept[name] = np.empty((len(kept), n_steps, *kept.shape[2:]), kept.dtype)
            self._kept[name][:, : kept.shape[1]] = kept
