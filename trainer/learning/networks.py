"""LAN's two networks: the advantage network, which is deployed, and the value network, which is not.

Both read an agent's observation, last action (one-hot, zeros before the first) and id (one-hot). The
one-hots never exist as tensors: a one-hot times a matrix is a row of that matrix, so they are looked up.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from envs.types import HIDDEN_DIM, EnemyRows, EnvSpec
from trainer.learning.batch import EpisodeBatch
from trainer.learning.entities import add_attack_values, add_embeddings
from trainer.learning.gru import packed_gru
from trainer.learning.inputs import NonZeros, input_table, look_up, project_inputs, rows_of, sum_rectified

VALUE_EMBED_DIM = 128


Step = Callable[[Tensor, Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""The type of `AdvantageNet.step`."""


class AdvantageNet(nn.Module):
    """A(tau, u) of every agent: all that is deployed, and the utility network of the baselines as well."""

    hidden_dim: int
    agent_types: tuple[str, ...] | None = None
    """[N] where only agents of one type share a network."""
    enemies: EnemyRows | None = None
    """Where a layer reads every enemy by itself."""

    def step(
        self, hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor
    ) -> tuple[Tensor, Tensor]:
        """One step for R agents: hidden [R, H], obs [R, O], ids and last actions [R] i64.

        Returns the new hidden [R, H] and the advantages [R, A].
        """
        return self.with_fixed_weights()(hidden, obs, last_action, agent_id)

    def with_fixed_weights(self) -> Step:
        """`step` for many steps with the weights as they are now: what they alone decide is computed once."""
        raise NotImplementedError

    def unroll(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """All steps of a batch from a zero memory -> hidden [P, N, H], advantages [P, N, A]."""
        raise NotImplementedError


class SharedAdvantageNet(AdvantageNet):
    """Linear, ReLU, GRU cell, Linear; one set of weights for all agents (LAN, section 4).

    With `enemies`, which is not in the paper, two more layers read every enemy by itself; see `entities`.
    """

    def __init__(self, obs_dim: int, n_actions: int, n_agents: int, enemies: EnemyRows | None = None) -> None:
        super().__init__()
        H = HIDDEN_DIM
        self.n_actions, self.n_agents, self.hidden_dim, self.enemies = n_actions, n_agents, H, enemies
        self.fc1 = nn.Linear(obs_dim + n_actions + n_agents, H)
        self.gru = nn.GRUCell(H, H)
        self.fc2 = nn.Linear(H, n_actions)
        if enemies is not None:
            self.embed = nn.Linear(enemies.width + 1, H, bias=False)
            self.query = nn.Linear(H, H)

    def with_fixed_weights(self) -> Step:
        """As `AdvantageNet.with_fixed_weights`."""
        weight, N = self.fc1.weight, self.n_agents
        obs_dim = weight.shape[1] - self.n_actions - N
        table, of_obs = input_table(weight, self.fc1.bias, obs_dim, N), weight[:, :obs_dim].t()
        first = torch.zeros(1, dtype=torch.int64, device=weight.device)

        def step(hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor) -> tuple[Tensor, Tensor]:
            x = look_up(table, last_action, agent_id, N).addmm_(obs, of_obs)
            seen = obs.unsqueeze(1), first  # each row as a team of one
            hidden = self.gru(F.relu_(x) if self.enemies is None else self._embedded(x, *seen), hidden)
            return hidden, self._values(hidden, *seen)

        return step

    def unroll(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """As `AdvantageNet.unroll`."""
        return self.unroll_agents(batch, torch.arange(self.n_agents, device=batch.obs.device))

    def unroll_agents(self, batch: EpisodeBatch, agents: Tensor) -> tuple[Tensor, Tensor]:
        """The same for `agents` [M] i64 alone, ascending -> hidden [P, M, H], advantages [P, M, A]."""
        P, M, flat = len(batch.obs), len(agents), self.enemies is None
        x = project_inputs(
            self.fc1.weight, self.fc1.bias, batch.obs, batch.last_action, agents, batch.nonzeros, rectify=flat
        )
        x = x if flat else self._embedded(x, batch.obs, agents)
        hidden = packed_gru(x, self.gru, [count * M for count in batch.row_counts])
        return hidden.view(P, M, -1), self._values(hidden, batch.obs, agents).view(P, M, -1)

    def _embedded(self, x: Tensor, obs: Tensor, agents: Tensor) -> Tensor:
        """ReLU(x + the enemies' embeddings) [P M, H], for obs [P, N, O] of `agents` [M]."""
        assert self.enemies is not None
        return add_embeddings(self.embed.weight, obs, agents, self.enemies, x)

    def _values(self, hidden: Tensor, obs: Tensor, agents: Tensor) -> Tensor:
        """The advantages [P M, A] for the memory [P M, H] after obs [P, N, O] of `agents` [M]."""
        values: Tensor = self.fc2(hidden)
        if self.enemies is None:
            return values
        return add_attack_values(self.embed.weight, obs, agents, self.enemies, self.query(hidden), values)


class AdvantageNetPerType(AdvantageNet):
    """One network per agent type (LAN, appendix B); inputs and memory are the same as when all share one.

    `agent_types` [N]: the name of each agent's type; the networks stand in the state dict under these names.
    """

    def __init__(
        self, obs_dim: int, n_actions: int, agent_types: Sequence[str], enemies: EnemyRows | None = None
    ) -> None:
        super().__init__()
        self.hidden_dim, self.agent_types, self.enemies = HIDDEN_DIM, tuple(agent_types), enemies
        self.agents = Groups(agent_types)
        self.nets = nn.ModuleDict(
            {
                name: SharedAdvantageNet(obs_dim, n_actions, len(agent_types), enemies)
                for name in self.agents.names
            }
        )

    def with_fixed_weights(self) -> Step:
        """As `AdvantageNet.with_fixed_weights`."""
        each = [(net.with_fixed_weights(), agents) for net, agents in self._each()]

        def step(hidden: Tensor, obs: Tensor, last_action: Tensor, agent_id: Tensor) -> tuple[Tensor, Tensor]:
            rows, parts = [], []
            for step_one, agents in each:
                own = torch.isin(agent_id, agents).nonzero().squeeze(1)
                rows.append(own)
                parts.append(step_one(hidden[own], obs[own], last_action[own], agent_id[own]))
            back = torch.cat(rows).argsort()
            next_hidden, advantages = (torch.cat(part)[back] for part in zip(*parts, strict=True))
            return next_hidden, advantages

        return step

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


class ValueNet(nn.Module):
    """V(s, tau): agents' embeddings summed, then a network on the sum and the state (LAN, section 4).

    Its size depends on the team only through the widths of observation, actions, ids and state; the state
    has no last-action block, since those actions are in the embeddings.
    With `agent_types` [N] there is one embedding per type (LAN, appendix B). `sees` is `all`, or for the
    ablation `state` or `history` alone: the other is then no input.
    """

    def __init__(
        self,
        obs_dim: int,
        n_actions: int,
        n_agents: int,
        state_dim: int,
        agent_types: Sequence[str] | None = None,
        sees: str = "all",
    ) -> None:
        super().__init__()
        self.sees = sees
        self.n_agents = n_agents
        inputs = HIDDEN_DIM + obs_dim + n_actions + n_agents
        widths = {"history": VALUE_EMBED_DIM, "state": state_dim, "all": VALUE_EMBED_DIM + state_dim}
        self.agents = Groups(agent_types or ["agent"] * n_agents)
        self.embed: nn.Linear | nn.ModuleDict | None = None
        if sees != "state":
            self.embed = (
                nn.Linear(inputs, VALUE_EMBED_DIM)
                if agent_types is None
                else nn.ModuleDict({name: nn.Linear(inputs, VALUE_EMBED_DIM) for name in self.agents.names})
            )
        self.fc1 = nn.Linear(widths[sees], 128)
        self.fc2 = nn.Linear(128, 128)
        self.fc3 = nn.Linear(128, 1)

    def forward(
        self,
        hidden: Tensor,
        obs: Tensor,
        last_action: Tensor,
        state: Tensor,
        nonzeros: NonZeros | None = None,
    ) -> Tensor:
        """hidden [P, N, H], obs [P, N, O], last_action [P, N], state [P, S] -> V [P].

        `nonzeros` of obs are found where they are not given.
        """
        seen = [] if self.embed is None else [self._merged(hidden, obs, last_action, nonzeros)]
        if self.sees != "history":
            seen.append(state)
        x = F.relu(self.fc1(torch.cat(seen, dim=1)))
        value: Tensor = self.fc3(F.relu(self.fc2(x))).squeeze(1)
        return value

    def _merged(self, hidden: Tensor, obs: Tensor, last_action: Tensor, nonzeros: NonZeros | None) -> Tensor:
        """The agents' embeddings, summed over agents [P, E]; inputs as in `forward`."""
        nonzeros = nonzeros or NonZeros.of(obs)
        embeddings = self.embed.values() if isinstance(self.embed, nn.ModuleDict) else [self.embed]
        parts = []
        for embed, agents in zip(embeddings, self.agents.ids, strict=True):
            assert isinstance(embed, nn.Linear)
            weight, M = embed.weight, len(agents)
            rows = project_inputs(
                weight[:, HIDDEN_DIM:], embed.bias, obs, last_action, agents, nonzeros, rectify=False
            )
            own = rows_of(agents, hidden)[0].reshape(len(rows), HIDDEN_DIM)
            parts.append(sum_rectified(rows.addmm_(own, weight[:, :HIDDEN_DIM].t()), M))
        return sum(parts[1:], start=parts[0])


def advantage_net(
    spec: EnvSpec, agent_types: Sequence[str] | None = None, enemies: EnemyRows | None = None
) -> AdvantageNet:
    """The advantage network for an environment: one for all agents, or one per type of `agent_types` [N].

    With `enemies`, networks read every enemy by itself.
    """
    if agent_types is None:
        return SharedAdvantageNet(spec.obs_dim, spec.n_actions, spec.n_agents, enemies)
    return AdvantageNetPerType(spec.obs_dim, spec.n_actions, agent_types, enemies)


def value_net(spec: EnvSpec, agent_types: Sequence[str] | None = None, sees: str = "all") -> ValueNet:
    """The value network for an environment, with one embedding, or one per type of `agent_types` [N].

    `sees`: as `ValueNet`'s.
    """
    return ValueNet(spec.obs_dim, spec.n_actions, spec.n_agents, spec.state_dim, agent_types, sees)


def count_parameters(module: nn.Module) -> int:
    """Trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
