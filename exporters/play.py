"""Battles played in this process: what evaluation counts and what the parity check compares.

Axes: R rows, one per agent of every battle that still goes on; N agents, A actions, O observation, H memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from envs.types import BoolArray, FloatArray, IntArray, MultiAgentEnv, TimeStep
from trainer.rollout import EpisodeStats, random_actions


class Policy(Protocol):
    """A recurrent policy of independent agents; the memory is the caller's."""

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """The memory that an episode starts with, [n_rows, H]."""
        ...

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """obs [R, O], last_action [R] (-1 = none yet), agent_id [R], avail_actions [R, A], hidden [R, H] ->
        greedy action [R], advantages [R, A], next hidden [R, H]."""
        ...


class Team(Protocol):
    """All agents of B battles: called with what the environment just showed, it says what they do, [B, N]."""

    def __call__(self, step: TimeStep) -> IntArray: ...


class PolicyTeam:
    """Agents that follow one policy, each with a memory of its own, through one episode per battle.

    With probability `epsilon` an agent takes a uniformly random available action (`rng` must be given);
    otherwise, and by default always, the policy's own.
    """

    def __init__(
        self,
        policy: Policy,
        n_battles: int,
        n_agents: int,
        *,
        epsilon: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        if epsilon > 0 and rng is None:
            raise ValueError("exploration needs a random generator")
        self.policy, self.epsilon, self.rng = policy, epsilon, rng
        self.last_action = np.full((n_battles, n_agents), -1, np.int64)
        self.hidden = np.stack([policy.initial_hidden(n_agents)] * n_battles)  # [B, N, H]

    def __call__(self, step: TimeStep) -> IntArray:
        live = ~step.done
        count, N = int(live.sum()), self.last_action.shape[1]
        avail_actions = step.avail_actions[live].reshape(count * N, -1)
        action, _, hidden = self.policy.step(
            step.obs[live].reshape(count * N, -1),
            self.last_action[live].reshape(-1),
            np.tile(np.arange(N), count),
            avail_actions,
            self.hidden[live].reshape(count * N, -1),
        )
        if self.rng is not None and self.epsilon > 0:
            explores = self.rng.random(len(action)) < self.epsilon
            action = np.where(explores, random_actions(avail_actions, self.rng), action)
        self.last_action[live] = action.reshape(count, N)
        self.hidden[live] = hidden.reshape(count, N, -1)
        return self.last_action


def play(env: MultiAgentEnv, make_team: Callable[[], Team], n_episodes: int) -> list[EpisodeStats]:
    """Play the next `n_episodes` episodes to their ends, B at a time, each time with a new team."""
    stats: list[EpisodeStats] = []
    while len(stats) < n_episodes:
        live = np.arange(env.n_battles) < n_episodes - len(stats)
        n_played = int(live.sum())
        returns, lengths = np.zeros(env.n_battles), np.zeros(env.n_battles, np.int64)
        team, step = make_team(), env.reset(live)
        while live.any():
            step = env.step(team(step))
            returns += np.where(live, step.reward, 0)
            lengths += live
            live &= ~step.done
        rows = zip(returns.tolist(), lengths.tolist(), step.won.tolist(), strict=True)
        stats += [EpisodeStats(*row) for row in rows][:n_played]
    return stats
