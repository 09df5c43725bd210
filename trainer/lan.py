"""The LAN learner: one double-DQN loss on Q~ = V + A teaches both networks (LAN paper, Algorithm 1)."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from envs.types import EnvSpec
from trainer.batch import EpisodeBatch
from trainer.networks import advantage_net, count_parameters, value_net

UNAVAILABLE = -1e9
"""Stands in for the advantage of an action that is not available, before every max and argmax."""


@dataclass(frozen=True)
class LanSettings:
    """What the LAN learner is told; defaults are the paper's."""

    learning_rate: float = 5e-4
    gamma: float = 0.99
    grad_norm_clip: float = 10.0
    target_update_interval: int = 200  # updates
    value_gradient_to_gru: bool = True  # whether V's gradient also flows into the GRU, through the memory


def lan_loss(
    q_proxy: Tensor, reward: Tensor, terminated: Tensor, q_proxy_tp1: Tensor, gamma: float
) -> Tensor:
    """Mean over steps and agents of (Q~_a - y_a)^2, y_a = r + gamma (1 - terminated) Q~_a' (Eq. 3).

    q_proxy [K, N] and q_proxy_tp1 [K, N] (of the target networks, at the online networks' greedy action),
    reward [K], terminated [K]; the steps K are real ones only, so no mask is needed.
    """
    y = reward[:, None] + gamma * (1 - terminated)[:, None] * q_proxy_tp1
    return (q_proxy - y.detach()).square().mean()


class LanLearner:
    """Learns A and V from batches of episodes; never touches an environment."""

    def __init__(self, spec: EnvSpec, settings: LanSettings, device: torch.device) -> None:
        self.settings = settings
        self.device = device
        self.updates = 0
        self.advantage = advantage_net(spec).to(device)
        self.value = value_net(spec).to(device)
        self.target_advantage = copy.deepcopy(self.advantage).requires_grad_(False)
        self.target_value = copy.deepcopy(self.value).requires_grad_(False)
        self.parameters = [*self.advantage.parameters(), *self.value.parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate, fused=True)

    @property
    def parts(self) -> dict[str, nn.Module]:
        """The learned networks by name; only `advantage` outlives training."""
        return {"advantage": self.advantage, "value": self.value}

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters of each part."""
        return {name: count_parameters(part) for name, part in self.parts.items()}

    def update(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One gradient step on a batch; returns `loss` and `grad_norm` as scalars still on the device."""
        loss = self.loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        grad_norm = nn.utils.clip_grad_norm_(self.parameters, self.settings.grad_norm_clip)
        self.optimizer.step()
        self.updates += 1
        if self.updates % self.settings.target_update_interval == 0:
            self.target_advantage.load_state_dict(self.advantage.state_dict())
            self.target_value.load_state_dict(self.value.state_dict())
        return {"loss": loss.detach(), "grad_norm": grad_norm}

    def loss(self, batch: EpisodeBatch) -> Tensor:
        """The loss of a batch, with its graph."""
        batch = batch.to(self.device)
        hidden, advantages = self.advantage.unroll(batch)  # [P, N, H], [P, N, A]
        now, action = batch.now, batch.action
        hidden_now = hidden[now] if self.settings.value_gradient_to_gru else hidden.detach()[now]
        value = self.value(hidden_now, batch.obs[now], batch.last_action[now], batch.state[now])  # [K]
        chosen = advantages[now].gather(2, action[:, :, None]).squeeze(2)  # [K, N]
        with torch.no_grad():
            greedy = advantages.detach().masked_fill(~batch.avail_actions, UNAVAILABLE)
            best = batch.next(greedy).argmax(2, keepdim=True)  # [K, N, 1]
            target_hidden, target_advantages = self.target_advantage.unroll(batch)
            target_value = self.target_value(
                *(batch.next(x) for x in (target_hidden, batch.obs, batch.last_action, batch.state))
            )  # [K]
            best_value = batch.next(target_advantages).gather(2, best).squeeze(2) + target_value[:, None]
        q_proxy = value[:, None] + chosen  # Eq. 1
        return lan_loss(q_proxy, batch.reward, batch.terminated, best_value, self.settings.gamma)

    def state_dict(self) -> dict[str, Any]:
        """All that the next update depends on, as tensors and plain data."""
        return {
            "advantage": self.advantage.state_dict(),
            "value": self.value.state_dict(),
            "target_advantage": self.target_advantage.state_dict(),
            "target_value": self.target_value.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "updates": self.updates,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        self.advantage.load_state_dict(state["advantage"])
        self.value.load_state_dict(state["value"])
        self.target_advantage.load_state_dict(state["target_advantage"])
        self.target_value.load_state_dict(state["target_value"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = int(state["updates"])
