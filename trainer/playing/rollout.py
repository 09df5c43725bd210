"""Plays whole episodes in this process: with exploration to train on, greedily to evaluate."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Protocol

import numpy as np

from envs.errors import EpisodeLostError, LanError
from envs.outcomes import EpisodeStats
from envs.types import BoolArray, IntArray, MultiAgentEnv, Team, TimeStep
from trainer.learning.networks import AdvantageNet
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
    epsilon: float,
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


class Scribe:
    """A watcher that keeps every step and cuts them into episodes of their true lengths.

    It ends the round by an AbandonedError at the next step once `abandoned` is set.
    """

    def __init__(self, abandoned: threading.Event | None = None) -> None:
        self.abandoned = abandoned

    def begin(self, step: TimeStep) -> None:
        """Start over."""
        self.steps, self.actions = [step], list[IntArray]()

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """Keep a step."""
        if self.abandoned is not None and self.abandoned.is_set():
            raise AbandonedError
        self.steps.append(step)
        self.actions.append(actions)

    def episodes(self, lengths: list[int]) -> list[Episode]:
        """One episode for each of the B battles; their arrays are views of the round's."""
        last = self.steps[-1]
        obs = np.stack([step.obs for step in self.steps], axis=1)  # [B, T + 1, N, O]
        state = np.stack([step.state for step in self.steps], axis=1)
        avail_actions = np.stack([step.avail_actions for step in self.steps], axis=1)
        reward = np.stack([step.reward for step in self.steps[1:]], axis=1)
        action = np.stack(self.actions, axis=1)
        return [
            Episode(
                obs=obs[b, : n + 1],
                state=state[b, : n + 1],
                avail_actions=avail_actions[b, : n + 1],
                action=action[b, :n],
                reward=reward[b, :n],
                terminated=bool(last.terminated[b]),
                truncated=bool(last.truncated[b]),
                won=bool(last.won[b]),
            )
            for b, n in enumerate(lengths)
        ]
