"""The base of every learner: online and target networks, an optimiser, one gradient step, the whole state.

Every learner ends with an `AdvantageNet`, which acts greedily from local observations alone; its other
networks only serve training.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from trainer.learning.batch import EpisodeBatch
from trainer.learning.initialization import initialize
from trainer.learning.networks import AdvantageNet, count_parameters

UNAVAILABLE = -1e9
"""Stands in for the value of an action that is not available, before every max and argmax."""

ADVANTAGE = "advantage"
"""The name of the advantage network among a learner's parts."""

OPTIMIZERS: dict[str, Callable[[list[nn.Parameter], float], torch.optim.Optimizer]] = {
    "adam": lambda parameters, lr: torch.optim.Adam(parameters, lr=lr, fused=True),
    "rmsprop": lambda parameters, lr: torch.optim.RMSprop(parameters, lr=lr, alpha=0.99, eps=1e-5),
}
"""LAN's optimiser and PyMARL's, with their settings."""


@dataclass(frozen=True)
class LearnerSettings:
    """Settings of a learner; `TrainConfig` explains them. The interval is in updates."""

    learning_rate: float
    gamma: float
    td_lambda: float
    grad_norm_clip: float
    grad_norm: str
    initialization: str
    target_update_interval: int
    target_tau: float
    optimizer: str
    value_gradient_to_gru: bool
    value_input: str
    threads: int
    """On a CPU a batch is split into this many parts, one thread each."""


class Learner(ABC):
    """Learns from batches of episodes, without an environment."""

    def __init__(
        self,
        advantage: AdvantageNet,
        central: dict[str, nn.Module],
        settings: LearnerSettings,
        device: torch.device,
    ) -> None:
        self.settings = settings
        self.device = device
        self.updates = 0
        self.advantage = advantage.to(device)
        self.parts: dict[str, nn.Module] = {ADVANTAGE: self.advantage} | {
            name: part.to(device) for name, part in central.items()
        }
        for part in self.parts.values():
            initialize(part, settings.initialization)
        self.targets = {name: copy.deepcopy(part).requires_grad_(False) for name, part in self.parts.items()}
        self.parameters = [p for part in self.parts.values() for p in part.parameters()]
        self.optimizer = OPTIMIZERS[settings.optimizer](self.parameters, settings.learning_rate)

    @property
    def deployed(self) -> AdvantageNet:
        """The network that is evaluated and deployed: the online one, or where targets follow, their mean."""
        target = self.targets[ADVANTAGE]
        assert isinstance(target, AdvantageNet)
        return target if self.settings.target_tau else self.advantage

    @abstractmethod
    def loss(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """The loss of a batch on this learner's device, and the Q-values in it, with their graph."""

    def parameter_counts(self) -> dict[str, int]:
        """Trainable parameters of each part; only `advantage` outlives training."""
        return {name: count_parameters(part) for name, part in self.parts.items()}

    def update(self, batch: EpisodeBatch) -> dict[str, Tensor]:
        """One gradient step; returns `loss`, `grad_norm`, `q_taken_mean` as scalars still on the device."""
        if self.device.type == "cpu" and self.settings.threads > 1:
            loss, q_taken_mean = self._differentiate_in_parts(batch.shards(self.settings.threads))
        else:
            loss, q_taken = self.loss(batch.to(self.device))
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            q_taken_mean = q_taken.detach().mean()
        grad_norm = self._clip_gradients()
        self.optimizer.step()
        self.updates += 1
        self._update_targets()
        return {"loss": loss.detach(), "grad_norm": grad_norm, "q_taken_mean": q_taken_mean}

    def _clip_gradients(self) -> Tensor:
        """Hold the gradient's norm, or each network's; returns the norm of all of it, as it was before."""
        clip = self.settings.grad_norm_clip
        joint = self.settings.grad_norm == "joint"
        nets = [self.parameters] if joint else [list(part.parameters()) for part in self.parts.values()]
        norms = [nn.utils.clip_grad_norm_(net, clip) for net in nets]
        return norms[0] if joint else torch.linalg.vector_norm(torch.stack(norms))

    @torch.no_grad()
    def _update_targets(self) -> None:
        """Draw the target networks a little after the online ones, or now and then copy those."""
        tau = self.settings.target_tau
        for name, target in self.targets.items():
            if tau:
                for mean, weight in zip(target.parameters(), self.parts[name].parameters(), strict=True):
                    mean.lerp_(weight, tau)
            elif self.updates % self.settings.target_update_interval == 0:
                target.load_state_dict(self.parts[name].state_dict())

    def _differentiate_in_parts(self, parts: list[EpisodeBatch]) -> tuple[Tensor, Tensor]:
        """Loss and mean taken value of a batch in parts; gradients are summed in the order of the parts."""
        n_steps = sum(len(part.reward) for part in parts)

        def differentiate(part: EpisodeBatch) -> tuple[Tensor, Tensor, tuple[Tensor | None, ...]]:
            share = len(part.reward) / n_steps  # every loss is a mean over steps
            loss, q_taken = self.loss(part)
            gradients = torch.autograd.grad(loss * share, self.parameters, allow_unused=True)
            return loss.detach() * share, q_taken.detach().mean() * share, gradients

        losses, q_means, gradients = zip(*self._threads.map(differentiate, parts), strict=True)
        for parameter, *of_parts in zip(self.parameters, *gradients, strict=True):
            used = [gradient for gradient in of_parts if gradient is not None]
            parameter.grad = torch.stack(used).sum(0) if used else None
        return torch.stack(losses).sum(), torch.stack(q_means).sum()

    @cached_property
    def _threads(self) -> ThreadPoolExecutor:
        """Threads whose tensor operations use no further threads."""
        return ThreadPoolExecutor(
            self.settings.threads, "learner", initializer=torch.set_num_threads, initargs=(1,)
        )

    def state_dict(self) -> dict[str, Any]:
        """All that the next update depends on; `deployed` names the network that agents get."""
        parts = {name: part.state_dict() for name, part in self.parts.items()}
        targets = {f"target_{name}": target.state_dict() for name, target in self.targets.items()}
        deployed = ADVANTAGE if self.deployed is self.advantage else f"target_{ADVANTAGE}"
        clocks = {"updates": self.updates, "deployed": deployed}
        return {**parts, **targets, "optimizer": self.optimizer.state_dict(), **clocks}

    def begin_from(self, state: dict[str, Any]) -> None:
        """Take the networks of another learner's `state_dict`: the running means where it deploys one."""
        kind = "target_" if str(state.get("deployed", "")).startswith("target_") else ""
        for name, part in self.parts.items():
            part.load_state_dict(state[kind + name])
            self.targets[name].load_state_dict(part.state_dict())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name, part in self.parts.items():
            part.load_state_dict(state[name])
            self.targets[name].load_state_dict(state[f"target_{name}"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.updates = int(state["updates"])


def greedy_next(advantages: Tensor, batch: EpisodeBatch) -> Tensor:
    """[K, N, 1] i64: the best available action at every next step, for double DQN; advantages [P, N, A]."""
    masked = advantages.detach().masked_fill(~batch.avail_actions, UNAVAILABLE)
    return batch.next(masked).argmax(2, keepdim=True)


def taken(values: Tensor, batch: EpisodeBatch) -> Tensor:
    """[K, N]: the values of the actions taken; values [P, N, A]."""
    P, N, A = values.shape
    rows = batch.now[:, None] * N + torch.arange(N, device=values.device)
    return values.view(P * N * A)[rows * A + batch.action]
