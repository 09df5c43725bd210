"""LAN's two networks: the advantage network, which is deployed, and the value network, which is not.

Both read an agent's observation, last action (one-hot, zeros before the first) and id (one-hot). The
one-hots never exist as tensors: a one-hot times a matrix is a row of that matrix, so they are looked up.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from envs.types import HIDDEN_DIM, EnvSpec
from trainer.learning.batch import EpisodeBatch
from trainer.learning.gru import packed_gru

VALUE_EMBED_DIM = 128


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
    """A(tau, u) of every agent: all that is deployed, and the utility network of the baselines as well."""

    hidden_dim: int
    agent_types: tuple[str, ...] | None = None
    """[N] where only agents of one type share a network."""

    def step(
        self, hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step for R agents: hidden [R, H], obs [R, O], ids and last actions [R] i64.

        Returns the new hidden [R, H] and the advantages [R, A].
        """
        raise NotImplementedError

    def unroll(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """All steps of a batch from a zero memory -> hidden [P, N, H], advantages [P, N, A]."""
        raise NotImplementedError


class SharedAdvantageNet(AdvantageNet):
    """Linear, ReLU, GRU cell, Linear; one set of weights for all agents (LAN, section 4)."""

    def __init__(self, obs_dim: int, n_actions: int, n_agents: int, hidden_dim: int = HIDDEN_DIM) -> None:
        super().__init__()
        self.n_actions, self.n_agents, self.hidden_dim = n_actions, n_agents, hidden_dim
        self.fc1 = nn.Linear(obs_dim + n_actions + n_agents, hidden_dim)
        self.gru = nn.GRUCell(hidden_dim, hidden_dim)
        self.fc2 = nn.Linear(hidden_dim, n_actions)

    def step(
        self, hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `AdvantageNet.step`."""
        x = F.relu(project_inputs(self.fc1.weight, self.fc1.bias, obs, last_action, agent_id, self.n_agents))
        hidden = self.gru(x, hidden)
        return hidden, self.fc2(hidden)

    def unroll(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """As `AdvantageNet.unroll`."""
        return self.unroll_agents(batch, torch.arange(self.n_agents, device=batch.obs.device))

    def unroll_agents(self, batch: EpisodeBatch, agents: Tensor) -> tuple[Tensor, Tensor]:
        """The same for `agents` [M] i64 alone, ascending -> hidden [P, M, H], advantages [P, M, A]."""
        obs, last_action = rows_of(agents, batch.obs, batch.last_action)
        P, M, O = obs.shape
        x = F.relu(
            project_inputs(
                self.fc1.weight, self.fc1.bias, obs.view(P * M, O), last_action.view(P * M),
                agents.repeat(P), self.n_agents,
            )
        )  # fmt: skip
        hidden = packed_gru(x, self.gru, [count * M for count in batch.row_counts])
        return hidden.view(P, M, -1), self.fc2(hidden).view(P, M, -1)


class AdvantageNetPerType(AdvantageNet):
    """One network per agent type (LAN, appendix B); inputs and memory are the same as when all share one.

    `agent_types` [N]: the name of each agent's type; the networks stand in the state dict under these names.
    """

    def __init__(self, obs_dim: int, n_actions: int, agent_types: Sequence[str]) -> None:
        super().__init__()
        self.hidden_dim, self.agent_types = HIDDEN_DIM, tuple(agent_types)
        self.agents = Groups(agent_types)
        self.nets = nn.ModuleDict(
            {name: SharedAdvantageNet(obs_dim, n_actions, len(agent_types)) for name in self.agents.names}
        )

    def step(
        self, hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor
    ) -> tuple[Tensor, Tensor]:
        """As `AdvantageNet.step`."""
        rows, parts = [], []
        for net, agents in self._each():
            own = torch.isin(agent_id, agents).nonzero().squeeze(1)
            rows.append(own)
            parts.append(net.step(hidden[own], obs[own], last_action[own], agent_id[own]))
        back = torch.cat(rows).argsort()
        next_hidden, advantages = (torch.cat(part)[back] for part in zip(*parts, strict=True))
        return next_hidden, advantages

    def unroll(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """As `AdvantageNet.unroll`."""
        parts = [net.unroll_agents(batch, agents) for net, agents in self._each()]
        back = self.agents.back
        hidden, advantages = (torch.cat(part, dim=1)[:, back] for part in zip(*parts, strict=True))
        return hidden, advantages

    def _each(self) -> Iterator[tuple[SharedAdvantageNet, Tensor]]:
        """Every network with the ids of its agents."""
        for name, agents in zip(self.agents.names, self.agents.ids, strict=True):
            net = self.nets[name]
            assert isinstance(net, SharedAdvantageNet)
            yield net, agents


class Groups(nn.Module):
    """Agents by type: `names` [K] in the order in which types first come; no part of the state dict.

    `back` [N]: where agent i stands when the groups are put one after the other.
    """

    back: Tensor

    def __init__(self, agent_types: Sequence[str]) -> None:
        super().__init__()
        self.names = list(dict.fromkeys(agent_types))
        for name in self.names:
            ids = torch.tensor([i for i, kind in enumerate(agent_types) if kind == name])
            self.register_buffer(name, ids, persistent=False)
        self.register_buffer("back", torch.cat(self.ids).argsort(), persistent=False)

    @property
    def ids(self) -> list[Tensor]:
        """[K] the ids of each type's agents, ascending."""
        return [self.get_buffer(name) for name in self.names]


def rows_of(agents: Tensor, *packed: Tensor) -> list[Tensor]:
    """The columns of `agents` [M] of packed tensors [P, N, ...]; the tensors themselves if those are all."""
    return [rows if len(agents) == rows.shape[1] else rows[:, agents] for rows in packed]


class ValueNet(nn.Module):
    """V(s, tau): agents' embeddings summed, then a network on the sum and the state (LAN, section 4).

    Its size depends on the team only through the widths of observation, actions, ids and state; the state
    has no last-action block, since those actions are in the embeddings.
    With `agent_types` [N] there is one embedding per type (LAN, appendix B).
    """

    def __init__(
        self,
        obs_dim: int,
        n_actions: int,
        n_agents: int,
        state_dim: int,
        agent_types: Sequence[str] | None = None,
    ) -> None:
        super().__init__()
        self.n_agents = n_agents
        inputs = HIDDEN_DIM + obs_dim + n_actions + n_agents
        self.agents = Groups(agent_types or ["agent"] * n_agents)
        self.embed: nn.Linear | nn.ModuleDict = (
            nn.Linear(inputs, VALUE_EMBED_DIM)
            if agent_types is None
            else nn.ModuleDict({name: nn.Linear(inputs, VALUE_EMBED_DIM) for name in self.agents.names})
        )
        self.fc1 = nn.Linear(VALUE_EMBED_DIM + state_dim, 128)
        self.fc2 = nn.Linear(128, 128)
        self.fc3 = nn.Linear(128, 1)

    def forward(self, hidden: Tensor, obs: Tensor, last_action: Tensor, state: Tensor) -> Tensor:
        """hidden [P, N, H], obs [P, N, O], last_action [P, N], state [P, S] -> V [P]."""
        embeddings = [self.embed] if isinstance(self.embed, nn.Linear) else self.embed.values()
        parts = []
        for embed, agents in zip(embeddings, self.agents.ids, strict=True):
            assert isinstance(embed, nn.Linear)
            parts.append(self._merge(embed, agents, *rows_of(agents, hidden, obs, last_action)))
        merged = sum(parts[1:], start=parts[0])
        x = F.relu(self.fc1(torch.cat((merged, state), dim=1)))
        value: Tensor = self.fc3(F.relu(self.fc2(x))).squeeze(1)
        return value

    def _merge(
        self, embed: nn.Linear, agents: Tensor, hidden: Tensor, obs: Tensor, last_action: Tensor
    ) -> Tensor:
        """[P, E]: the sum over `agents` [M] of their embeddings, from their rows [P, M, ...]."""
        P, M, O = obs.shape
        embedding = project_inputs(
            embed.weight[:, HIDDEN_DIM:], embed.bias, obs.view(P * M, O), last_action.view(P * M),
            agents.repeat(P), self.n_agents,
        )  # fmt: skip
        embedding = torch.addmm(embedding, hidden.reshape(P * M, -1), embed.weight[:, :HIDDEN_DIM].t())
        return F.relu(embedding).view(P, M, -1).sum(1)


def advantage_net(spec: EnvSpec, agent_types: Sequence[str] | None = None) -> AdvantageNet:
    """The advantage network for an environment: one for all agents, or one per type of `agent_types` [N]."""
    if agent_types is None:
        return SharedAdvantageNet(spec.obs_dim, spec.n_actions, spec.n_agents)
    return AdvantageNetPerType(spec.obs_dim, spec.n_actions, agent_types)


def value_net(spec: EnvSpec, agent_types: Sequence[str] | None = None) -> ValueNet:
    """The value network for an environment, with one embedding, or one per type of `agent_types` [N]."""
    return ValueNet(spec.obs_dim, spec.n_actions, spec.n_agents, spec.state_dim, agent_types)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
