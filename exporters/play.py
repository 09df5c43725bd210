"""Battles played by a policy in this process: what evaluation counts and what the parity check records.

Axes: R rows, one per agent of every battle that still goes on; N agents, A actions, O observation, H memory.
"""

from __future__ import annotations

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


class Slots:
    """B slots of one environment, each with an episode that goes on (`live`) or has ended."""

    def __init__(self, env: MultiAgentEnv, policy: Policy) -> None:
        B, N = env.n_battles, env.spec.n_agents
        self.live = np.zeros(B, np.bool_)
        self.episode = np.full(B, -1, np.int64)
        self.episode_return = np.zeros(B)
        self.length_steps = np.zeros(B, np.int64)
        self.last_action = np.full((B, N), -1, np.int64)
        self.initial_hidden = policy.initial_hidden(N)  # [N, H]
        self.hidden = np.stack([self.initial_hidden] * B)  # [B, N, H]

    def begin(self, slots: BoolArray, first_episode: int) -> None:
        """Forget what was in `slots` [B]; they now hold the episodes from `first_episode` on."""
        self.live |= slots
        self.episode[slots] = np.arange(first_episode, first_episode + slots.sum())
        self.episode_return[slots], self.length_steps[slots] = 0, 0
        self.last_action[slots], self.hidden[slots] = -1, self.initial_hidden

    def record(self, time_step: TimeStep) -> dict[int, EpisodeStats]:
        """Count the step just played; return the episodes that it ended, by number."""
        self.episode_return += np.where(self.live, time_step.reward, 0)
        self.length_steps += self.live
        ended = np.flatnonzero(self.live & time_step.done)
        self.live[ended] = False
        return {
            int(self.episode[b]): EpisodeStats(
                episode_return=float(self.episode_return[b]),
                length_steps=int(self.length_steps[b]),
                won=bool(time_step.won[b]),
            )
            for b in ended
        }


def play(
    env: MultiAgentEnv,
    policy: Policy,
    n_episodes: int,
    *,
    epsilon: float = 0.0,
    rng: np.random.Generator | None = None,
) -> list[EpisodeStats]:
    """Play the environment's next `n_episodes` episodes to their ends, in the order of their numbers.

    With probability `epsilon` an agent takes a uniformly random available action (`rng` must be given);
    otherwise, and by default always, the policy's own.
    """
    if epsilon > 0 and rng is None:
        raise ValueError("exploration needs a random generator")
    end_episode = env.next_episode + n_episodes
    slots = Slots(env, policy)
    ended: dict[int, EpisodeStats] = {}
    while len(ended) < n_episodes:
        vacant = np.flatnonzero(~slots.live)[: end_episode - env.next_episode]
        if len(vacant):
            fresh = np.isin(np.arange(env.n_battles), vacant)
            slots.begin(fresh, env.next_episode)
            time_step = env.reset(fresh)
        act(slots, policy, time_step, epsilon, rng)
        time_step = env.step(slots.last_action)
        ended |= slots.record(time_step)
    return [ended[episode] for episode in sorted(ended)]


def act(
    slots: Slots, policy: Policy, time_step: TimeStep, epsilon: float, rng: np.random.Generator | None
) -> None:
    """Let every agent of every live battle choose: `slots.last_action` and `slots.hidden` move on."""
    live, count = slots.live, int(slots.live.sum())
    N = slots.last_action.shape[1]
    avail_actions = time_step.avail_actions[live].reshape(count * N, -1)
    action, _, hidden = policy.step(
        time_step.obs[live].reshape(count * N, -1),
        slots.last_action[live].reshape(-1),
        np.tile(np.arange(N), count),
        avail_actions,
        slots.hidden[live].reshape(count * N, -1),
    )
    if rng is not None and epsilon > 0:
        action = np.where(rng.random(len(action)) < epsilon, random_actions(avail_actions, rng), action)
    slots.last_action[live] = action.reshape(count, N)
    slots.hidden[live] = hidden.reshape(count, N, -1)
