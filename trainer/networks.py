"""LAN's two networks: the advantage network that is deployed, the value network that is thrown away.

Both read an agent's observation, last action (one-hot, zeros before the first) and id (one-hot). The
one-hots never exist as tensors: a one-hot times a matrix is a row of that matrix, so they are looked up.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from envs.types import EnvSpec
from trainer.batch import EpisodeBatch
from trainer.gru import packed_gru

HIDDEN_DIM = 64
EMBED_DIM = 128


def project_inputs(
    weight: Tensor, bias: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor, n_agents: int
) -> Tensor:
    """W [obs, onehot(last_action), onehot(agent_id)] + b without making the one-hots.

    weight [H, O + A + N], bias [H], obs [R, O], last_action [R] i64 (-1 = none yet), agent_id [R] i64;
    returns [R, H].
    """
    obs_dim = obs.shape[-1]
    of_action = weight[:, obs_dim : weight.shape[1] - n_agents].t()  # [A, H]
    of_agent = weight[:, weight.shape[1] - n_agents :].t() + bias  # [N, H]
    table = of_agent + F.pad(of_action, (0, 0, 1, 0)).unsqueeze(1)  # [A + 1, N, H]; row 0 is "none yet"
    rows = F.embedding((last_action + 1) * n_agents + agent_id, table.flatten(0, 1))
    return torch.addmm(rows, obs, weight[:, :obs_dim].t())


class AdvantageNet(nn.Module):
    """A(tau, u): Linear, ReLU, GRU cell, Linear; one set of weights for all agents (LAN, section 4).

    All that is deployed, and the utility network of the value-factorization baselines as well.
    """

    def __init__(self, obs_dim: int, n_actions: int, n_agents: int, hidden_dim: int = HIDDEN_DIM) -> None:
        super().__init__()
        self.obs_dim, self.n_actions, self.n_agents, self.hidden_dim = (
            obs_dim,
            n_actions,
            n_agents,
            hidden_dim,
        )
        self.fc1 = nn.Linear(obs_dim + n_actions + n_agents, hidden_dim)
        self.gru = nn.GRUCell(hidden_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    def step(
        self, hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step for R agents: hidden [R, H], obs [R, O], ids and last actions [R] i64.

        Returns the new hidden [R, H] and the advantages [R, A].
        """
        x = F.relu(project_inputs(self.fc1.weight, self.fc1.bias, obs, last_action, agent_id, self.n_agents))
        hidden = self.gru(x, hidden)
        return hidden, self.fc2(hidden)

    def unroll(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """All steps of a batch from a zero memory -> hidden [P, N, H], advantages [P, N, A]."""
        P, N, O = batch.obs.shape
        x = F.relu(
            project_inputs(
                self.fc1.weight, self.fc1.bias, batch.obs.view(P * N, O), batch.last_action.view(P * N),
                agent_ids(P, N, batch.obs.device), self.n_agents,
            )
        )  # fmt: skip
        hidden = packed_gru(x, self.gru, [count * N for count in batch.row_counts])
        return hidden.view(P, N, -1), self.fc2(hidden).view(P, N, -1)


class ValueNet(nn.Module):
    """V(s, tau): agents' embeddings summed, then a network on the sum and the state (LAN, section 4).

    Its size depends on the team only through the widths of observation, actions, ids and state; the state
    has no last-action block, since those actions are in the embeddings.
    """

    def __init__(self, obs_dim: int, n_actions: int, n_agents: int, state_dim: int) -> None:
        super().__init__()
        self.n_agents = n_agents
        self.embed = nn.Linear(HIDDEN_DIM + obs_dim + n_actions + n_agents, EMBED_DIM)
        self.fc1 = nn.Linear(EMBED_DIM + state_dim, 128)
        self.fc2 = nn.Linear(128, 128)
        self.fc3 = nn.Linear(128, 1)

    def forward(self, hidden: Tensor, obs: Tensor, last_action: Tensor, state: Tensor) -> Tensor:
        """hidden [P, N, H], obs [P, N, O], last_action [P, N], state [P, S] -> V [P]."""
        P, N, O = obs.shape
        weight = self.embed.weight
        embedding = project_inputs(
            weight[:, HIDDEN_DIM:], self.embed.bias, obs.view(P * N, O), last_action.view(P * N),
            agent_ids(P, N, obs.device), self.n_agents,
        )  # fmt: skip
        embedding = torch.addmm(embedding, hidden.view(P * N, -1), weight[:, :HIDDEN_DIM].t())
        merged = F.relu(embedding).view(P, N, -1).sum(1)
        x = F.relu(self.fc1(torch.cat((merged, state), dim=1)))
        value: Tensor = self.fc3(F.relu(self.fc2(x))).squeeze(1)
        return value


def agent_ids(rows: int, n_agents: int, device: torch.device | None = None) -> Tensor:
    """[rows * n_agents] i64: 0 ... N - 1, over and over."""
    return torch.arange(n_agents, device=device).repeat(rows)


def advantage_net(spec: EnvSpec) -> AdvantageNet:
    """The advantage network for an environment."""
    return AdvantageNet(spec.obs_dim, spec.n_actions, spec.n_agents)


def value_net(spec: EnvSpec) -> ValueNet:
    """The value network for an environment."""
    return ValueNet(spec.obs_dim, spec.n_actions, spec.n_agents, spec.state_dim)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
