"""Small Dec-POMDPs, enumerated exactly: histories, values and beliefs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

GAMMA = 0.9
N_STATES, N_OBS, N_ACTIONS, N_AGENTS = 3, 2, 2, 2

History = tuple[int, ...]
"""What one agent knows: o_0, u_0, o_1, u_1, …, o_t."""
Joint = tuple[int, History, History]
"""State and both agents' histories: what the centralized value sees."""
Actions = tuple[int, int]


@dataclass(frozen=True, eq=False)
class DecPomdp:
    """Tables: start [S], transition [S, U, U, S'], reward [S, U, U], observation [N, S, O]; `horizon` steps.

    `policies` gives each agent's probabilities [U] for a history, all of them positive.
    """

    start: np.ndarray
    transition: np.ndarray
    reward: np.ndarray
    observation: np.ndarray
    horizon: int
    seed: int

    def policy(self, agent: int, history: History) -> np.ndarray:
        """[U] what an agent does after a history."""
        return draw_policy(self.seed, agent, history)

    def first(self) -> Iterator[tuple[float, Joint]]:
        """Every joint beginning with its probability."""
        for s, o0, o1 in product(range(N_STATES), range(N_OBS), range(N_OBS)):
            yield self.start[s] * self.sees(0, s, o0) * self.sees(1, s, o1), (s, (o0,), (o1,))

    def successors(self, joint: Joint, actions: Actions) -> Iterator[tuple[float, Joint]]:
        """Every joint that may follow, with its probability."""
        s, h0, h1 = joint
        for s_next, o0, o1 in product(range(N_STATES), range(N_OBS), range(N_OBS)):
            p = self.transition[(s, *actions, s_next)] * self.sees(0, s_next, o0) * self.sees(1, s_next, o1)
            yield p, (s_next, (*h0, actions[0], o0), (*h1, actions[1], o1))

    def sees(self, agent: int, state: int, observation: int) -> float:
        """Probability that an agent observes something in a state."""
        return float(self.observation[agent, state, observation])

    def acts(self, joint: Joint, actions: Actions) -> float:
        """Probability that the agents, each from its own history alone, take these actions."""
        return float(self.policy(0, joint[1])[actions[0]] * self.policy(1, joint[2])[actions[1]])

    def is_last(self, history: History) -> bool:
        """Whether the episode ends with the action that follows this history."""
        return (len(history) + 1) // 2 == self.horizon


@cache
def draw_policy(seed: int, agent: int, history: History) -> np.ndarray:
    """[U] a stochastic policy, drawn once per agent and history."""
    return np.random.default_rng([seed, agent, *history]).dirichlet([1.0] * N_ACTIONS)


def make_problem(seed: int, horizon: int) -> DecPomdp:
    rng = np.random.default_rng(seed)
    return DecPomdp(
        start=rng.dirichlet([1.0] * N_STATES),
        transition=rng.dirichlet([0.5] * N_STATES, size=(N_STATES, N_ACTIONS, N_ACTIONS)),
        reward=rng.normal(size=(N_STATES, N_ACTIONS, N_ACTIONS)),
        observation=rng.dirichlet([0.5] * N_OBS, size=(N_AGENTS, N_STATES)),
        horizon=horizon,
        seed=seed,
    )


ALL_ACTIONS: list[Actions] = [(u, w) for u, w in product(range(N_ACTIONS), repeat=2)]


def occupancy(problem: DecPomdp) -> list[dict[Joint, float]]:
    """For each step the probability of every state with every pair of histories, forward from the start."""
    steps: list[dict[Joint, float]] = [{joint: p for p, joint in problem.first()}]
    for _ in range(problem.horizon - 1):
        following: dict[Joint, float] = defaultdict(float)
        for joint, p in steps[-1].items():
            for actions in ALL_ACTIONS:
                for p_next, joint_next in problem.successors(joint, actions):
                    following[joint_next] += p * problem.acts(joint, actions) * p_next
        steps.append(following)
    return steps


def make_central_value(problem: DecPomdp):  # type: ignore[no-untyped-def]
    """V(s, tau): what the policies earn from a state and both histories on; backward, joint."""

    @cache
    def value(joint: Joint) -> float:
        total = 0.0
        for actions in ALL_ACTIONS:
            earned = float(problem.reward[(joint[0], *actions)])
            if not problem.is_last(joint[1]):
                earned += GAMMA * sum(p * value(after) for p, after in problem.successors(joint, actions))
            total += problem.acts(joint, actions) * earned
        return total

    return value


Belief = dict[tuple[int, History], float]
"""Over the state and the other agent's history, given one's own; sums to 1."""


def first_beliefs(problem: DecPomdp, agent: int) -> dict[History, Belief]:
    """What an agent believes after its first observation."""
    beliefs: dict[History, Belief] = defaultdict(dict)
    for p, joint in problem.first():
        beliefs[joint[1 + agent]][joint[0], joint[2 - agent]] = p
    return {own: normalized(belief) for own, belief in beliefs.items()}


def normalized(belief: Belief) -> Belief:
    total = sum(belief.values())
    return {key: p / total for key, p in belief.items()}


def local_q(
    problem: DecPomdp, agent: int, own: History, belief: Belief, *, best: bool
) -> dict[History, np.ndarray]:
    """Q_a(tau_a, .) of every history from `own` on, in the single agent's problem that the other leaves.

    The other agent is part of the world: a belief is filtered along one's own history alone, nothing joint
    is ever averaged. `best`: one's own future actions are the best ones, else one's policy's.
    """
    q, found = np.zeros(N_ACTIONS), {}
    for u in range(N_ACTIONS):
        beliefs: dict[History, Belief] = defaultdict(lambda: defaultdict(float))
        for (state, other), p in belief.items():
            for w, p_other in enumerate(problem.policy(1 - agent, other)):
                actions = (u, w) if agent == 0 else (w, u)
                joint = (state, own, other) if agent == 0 else (state, other, own)
                q[u] += p * p_other * problem.reward[(state, *actions)]
                for p_next, after in problem.successors(joint, actions):
                    beliefs[after[1 + agent]][after[0], after[2 - agent]] += p * p_other * p_next
        if problem.is_last(own):
            continue
        for own_next, unnormalized in beliefs.items():
            later = local_q(problem, agent, own_next, normalized(unnormalized), best=best)
            found |= later
            ahead = later[own_next]
            value = ahead.max() if best else problem.policy(agent, own_next) @ ahead
            q[u] += GAMMA * sum(unnormalized.values()) * value
    found[own] = q
    return found


def all_local_q(problem: DecPomdp, agent: int, *, best: bool) -> dict[History, np.ndarray]:
    """Q_a(tau_a, .) for every history of an agent."""
    found: dict[History, np.ndarray] = {}
    for own, belief in first_beliefs(problem, agent).items():
        found |= local_q(problem, agent, own, belief, best=best)
    return found
