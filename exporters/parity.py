"""Whether an exported file acts as the torch network it came from, over battles that are really played."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from envs.types import BoolArray, FloatArray, IntArray, MultiAgentEnv
from trainer.playing.policy import Policy, PolicyTeam
from trainer.playing.rollout import play

ADVANTAGE_TOLERANCE = 1e-5
"""Largest difference of an advantage, relative where it exceeds 1: float32 near 80 has steps of 8e-6."""


@dataclass(frozen=True)
class ParityReport:
    """The result of a comparison: agents' steps, the largest difference, the number of differing actions.

    `max_difference` is in units of the larger of 1 and the advantage itself.
    """

    battles: int
    agent_steps: int
    max_difference: float
    differing_actions: int

    @property
    def equal(self) -> bool:
        """Whether every greedy action is equal and every advantage within the tolerance (NaN is not)."""
        return self.differing_actions == 0 and self.max_difference <= ADVANTAGE_TOLERANCE


class Comparison:
    """Two policies that get the same inputs at every step, each with its own memory; the first one plays.

    The memory [R, 2H] holds both side by side, so that differences build up over a battle as they would
    in play. Satisfies `trainer.playing.policy.Policy`.
    """

    def __init__(self, reference: Policy, candidate: Policy) -> None:
        self.reference, self.candidate = reference, candidate
        self.reference_hidden_dim = reference.initial_hidden(1).shape[1]
        self.agent_steps = 0
        self.max_difference = 0.0
        self.differing_actions = 0

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """Both memories side by side, [n_rows, 2H]."""
        return np.concatenate(
            (self.reference.initial_hidden(n_rows), self.candidate.initial_hidden(n_rows)), axis=1
        )

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """One step of both, compared; returns the reference's action and advantages, and both memories."""
        hidden_r, hidden_c = np.split(hidden, [self.reference_hidden_dim], axis=1)
        action, advantages, next_r = self.reference.step(
            obs, last_action, agent_id, avail_actions, np.ascontiguousarray(hidden_r)
        )
        other_action, other_advantages, next_c = self.candidate.step(
            obs, last_action, agent_id, avail_actions, np.ascontiguousarray(hidden_c)
        )
        self.agent_steps += len(action)
        self.differing_actions += int((action != other_action).sum())
        # np.maximum hands a NaN on, and a NaN is not within any tolerance.
        difference = np.abs(advantages - other_advantages) / np.maximum(1, np.abs(advantages))
        self.max_difference = float(np.maximum(self.max_difference, difference.max()))
        return action, advantages, np.concatenate((next_r, next_c), axis=1)


def compare(
    env: MultiAgentEnv, reference: Policy, candidate: Policy, *, n_battles: int, seed: int
) -> ParityReport:
    """Play half of `n_battles` greedily and half with every fifth action random, comparing at every step."""
    comparison = Comparison(reference, candidate)
    rng = np.random.default_rng(seed)
    n_greedy = (n_battles + 1) // 2
    play(env, lambda: PolicyTeam(comparison, env), n_greedy)
    play(env, lambda: PolicyTeam(comparison, env, epsilon=0.2, rng=rng), n_battles - n_greedy)
    return ParityReport(
        n_battles, comparison.agent_steps, comparison.max_difference, comparison.differing_actions
    )
