"""Mixers: from the agents' Q-values to one Q_tot of the team, as in the public implementations.

Shapes: K steps, N agents, A actions, S features of the state, which here includes the joint last action.
q_agents [K, N] are the Q-values of the actions taken, q_max [K, N] each agent's best available one,
actions [K, N] i64. Each mixer returns Q_tot [K] and an extra term for the loss (0 where there is none).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from envs.types import EnvSpec

MIXING_DIM = 32
HYPERNET_DIM = 64


def two_layers(inputs: int, hidden: int, outputs: int, *, bias: bool = True) -> nn.Sequential:
    """Linear, ReLU, Linear; `bias` is the second layer's."""
    return nn.Sequential(nn.Linear(inputs, hidden), nn.ReLU(), nn.Linear(hidden, outputs, bias=bias))


class Mixer(nn.Module):
    """The base of all mixers; shapes are at the top of this file."""

    def forward(
        self, q_agents: Tensor, q_max: Tensor, actions: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class QmixMixer(Mixer):
    """Q_tot = |w_f(s)| . ELU(|W_1(s)| q + b_1(s)) + v(s): monotonic in every q (QMIX)."""

    def __init__(self, n_agents: int, state_dim: int) -> None:
        super().__init__()
        self.n_agents = n_agents
        self.hyper_w1 = two_layers(state_dim, HYPERNET_DIM, n_agents * MIXING_DIM)
        self.hyper_b1 = nn.Linear(state_dim, MIXING_DIM)
        self.hyper_wf = two_layers(state_dim, HYPERNET_DIM, MIXING_DIM)
        self.hyper_v = two_layers(state_dim, MIXING_DIM, 1)

    def forward(
        self, q_agents: Tensor, q_max: Tensor, actions: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        w1 = self.hyper_w1(state).abs().view(-1, self.n_agents, MIXING_DIM)
        hidden = F.elu(torch.bmm(q_agents[:, None], w1).squeeze(1) + self.hyper_b1(state))  # [K, E]
        q_tot = (hidden * self.hyper_wf(state).abs()).sum(1) + self.hyper_v(state).squeeze(1)
        return q_tot, q_agents.new_zeros(())


class QplexMixer(Mixer):
    """Attention over agents for the values, importances over state and actions for the advantages (QPLEX).

    The public `qplex_qatten` configuration: 4 heads, 4 kernels; `unit_dim` is the width of one agent's slice
    at the head of the state.
    """

    HEADS = 4
    KERNELS = 4
    LOGIT_WEIGHT = 0.001

    def __init__(self, n_agents: int, n_actions: int, state_dim: int, unit_dim: int) -> None:
        super().__init__()
        self.n_agents, self.n_actions, self.unit_dim = n_agents, n_actions, unit_dim
        n, H, K, E = n_agents, self.HEADS, self.KERNELS, MIXING_DIM
        self.query = nn.ModuleList(two_layers(state_dim, HYPERNET_DIM, E, bias=False) for _ in range(H))
        self.key = nn.ModuleList(nn.Linear(unit_dim, E, bias=False) for _ in range(H))
        self.offset = two_layers(state_dim, E, 1)
        self.kernel_scale = nn.ModuleList(nn.Linear(state_dim, 1) for _ in range(K))
        self.kernel_agent = nn.ModuleList(nn.Linear(state_dim, n) for _ in range(K))
        self.kernel_action = nn.ModuleList(nn.Linear(state_dim + n * n_actions, n) for _ in range(K))

    def forward(
        self, q_agents: Tensor, q_max: Tensor, actions: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        weights, penalty = self.weights(state)
        offset = self.offset(state) / self.n_agents  # [K, 1], a share for each agent
        q = weights * q_agents + offset
        v = weights * q_max.detach() + offset
        advantages = (q - v).detach()
        q_tot = q.sum(1) + (advantages * (self.importances(actions, state) - 1)).sum(1)
        return q_tot, penalty

    def weights(self, state: Tensor) -> tuple[Tensor, Tensor]:
        """Attention [K, N] summed over the heads, and the penalty on its logits, a mean over the K steps."""
        units = state[:, : self.n_agents * self.unit_dim].reshape(-1, self.n_agents, self.unit_dim)
        total, penalty = state.new_full((1, 1), 1e-10), state.new_zeros(())
        for query, key in zip(self.query, self.key, strict=True):
            logits = torch.bmm(key(units), query(state)[:, :, None]).squeeze(2)  # [K, N]
            total = total + F.softmax(logits / math.sqrt(MIXING_DIM), dim=1)
            penalty = penalty + logits.square().mean()
        return total, self.LOGIT_WEIGHT * penalty

    def importances(self, actions: Tensor, state: Tensor) -> Tensor:
        """lambda [K, N], positive."""
        joint = F.one_hot(actions, self.n_actions).flatten(1).to(state.dtype)
        with_actions = torch.cat((state, joint), dim=1)
        total = state.new_zeros(())
        for scale, agent, action in zip(
            self.kernel_scale, self.kernel_agent, self.kernel_action, strict=True
        ):
            share = agent(state).sigmoid() * action(with_actions).sigmoid()  # [K, N]
            total = total + (scale(state).abs() + 1e-10) * share
        return total


def mixer_state_dim(spec: EnvSpec) -> int:
    """Width of the state that mixers see: the state, then every agent's last action, one-hot."""
    return spec.state_dim + spec.n_agents * spec.n_actions


MIXERS: dict[str, Callable[[EnvSpec], Mixer]] = {
    "qmix": lambda spec: QmixMixer(spec.n_agents, mixer_state_dim(spec)),
    "qplex": lambda spec: QplexMixer(spec.n_agents, spec.n_actions, mixer_state_dim(spec), spec.unit_dim),
}
"""The mixers by name, each made for an environment; VDN's sum needs none."""
