"""A team of independent agents that follow one policy, such as the network that is being trained.

Axes: R rows, one per agent of every battle that still goes on; N agents, A actions, O observation, H memory.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch

from envs.types import Arena, BoolArray, FloatArray, IntArray, TimeStep
from trainer.config import Epsilon
from trainer.learning.networks import AdvantageNet


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


class TorchPolicy:
    """Greedy in the advantages of a torch network (Eq. 2); each row sees its own observation only.

    It plays with the weights that the network has when it is made.
    """

    def __init__(self, net: AdvantageNet) -> None:
        self.net = net
        self.device = next(net.parameters()).device
        with torch.no_grad():
            self._step = net.with_fixed_weights()

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """The memory that an episode starts with: zeros [n_rows, H]."""
        return np.zeros((n_rows, self.net.hidden_dim), np.float32)

    @torch.no_grad()
    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """One step of R agents; shapes as in `Policy.step`."""
        inputs = (torch.from_numpy(x).to(self.device) for x in (hidden, obs, last_action, agent_id))
        next_hidden, advantages = (x.cpu().numpy() for x in self._step(*inputs))
        return best_actions(advantages, avail_actions), advantages, next_hidden


class PolicyTeam:
    """Agents that follow one policy through one episode per battle; each agent has its own memory.

    With probability `epsilon` an agent takes a uniformly random available action (one draw per agent and
    step from `rng`, which must be given); otherwise, and by default always, the policy's own.
    `advantages` [B, N, A] are those of the last step.
    """

    def __init__(
        self,
        policy: Policy,
        env: Arena,
        *,
        epsilon: Epsilon = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        if epsilon != 0 and rng is None:
            raise ValueError("exploration needs a random generator")
        B, N, A = env.n_battles, env.spec.n_agents, env.spec.n_actions
        self.policy, self.epsilon, self.rng = policy, epsilon, rng
        self.steps = 0
        self.last_action = np.full((B, N), -1, np.int64)
        self.agent_id = np.tile(np.arange(N), B)  # [B N]
        self.hidden = np.stack([policy.initial_hidden(N)] * B)  # [B, N, H]
        self.advantages = np.zeros((B, N, A), np.float32)

    def __call__(self, step: TimeStep) -> IntArray:
        ended = step.done
        live = np.flatnonzero(~ended) if ended.any() else slice(None)  # a slice copies nothing
        obs, avail_actions = step.obs[live], step.avail_actions[live]
        count, N, _ = obs.shape
        rows = count * N
        avail_actions = avail_actions.reshape(rows, -1)
        action, advantages, hidden = self.policy.step(
            obs.reshape(rows, -1),
            self.last_action[live].reshape(rows),
            self.agent_id[:rows],
            avail_actions,
            self.hidden[live].reshape(rows, -1),
        )
        epsilon = self.epsilon(self.steps) if callable(self.epsilon) else self.epsilon
        self.steps += 1
        if self.rng is not None and epsilon > 0:
            explores = np.flatnonzero(self.rng.random(rows) < epsilon)
            action = action.copy()  # the policy may keep its own
            action[explores] = random_actions(avail_actions, self.rng, explores)
        self.last_action[live] = action.reshape(count, N)
        self.hidden[live] = hidden.reshape(count, N, -1)
        self.advantages[live] = advantages.reshape(count, N, -1)
        return self.last_action.copy()


def best_actions(advantages: FloatArray, avail_actions: BoolArray) -> IntArray:
    """[R] i64: of the available actions the first with the highest advantage; both [R, A]."""
    best: IntArray = np.where(avail_actions, advantages, -np.inf).argmax(1)
    return best


def random_actions(
    avail_actions: BoolArray, rng: np.random.Generator, rows: IntArray | slice = slice(None)
) -> IntArray:
    """Actions [...], each uniform over the available ones, avail_actions [..., A].

    With `rows` only theirs, though every row has its draw: so the draws do not depend on `rows`.
    """
    draws, available = rng.random(avail_actions.shape[:-1])[rows], avail_actions[rows]
    nth = (draws * available.sum(-1)).astype(np.int64)
    actions: IntArray = (available.cumsum(-1, dtype=np.int32) > nth[..., None]).argmax(-1)
    return actions
