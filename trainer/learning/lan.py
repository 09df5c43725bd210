"""The LAN learner: one double-DQN loss on Q~ = V + A teaches both networks (LAN paper, Algorithm 1)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from envs.types import EnemyRows, EnvSpec
from trainer.learning.batch import EpisodeBatch
from trainer.learning.learner import Learner, LearnerSettings, greedy_next, taken
from trainer.learning.networks import ValueNet, advantage_net, value_net
from trainer.learning.returns import lambda_returns


def lan_loss(q_proxy: Tensor, y: Tensor) -> Tensor:
    """Mean over steps and agents of (Q~_a - y_a)^2 (Eq. 3); q_proxy and the targets y are [K, N].

    The steps K are real ones only, so no mask is needed.
    """
    return (q_proxy - y.detach()).square().mean()


class LanLearner(Learner):
    """Local advantages A, shared by all agents, and one centralized value V, which only serves training.

    With `subtract_mean`, LAN-mean: the proxy is V + A - mean over actions of A (Eq. 6). With `agent_types`
    [N], only agents of one type share their advantage network and their embedding in V (appendix B).
    """

    value: ValueNet

    def __init__(
        self,
        spec: EnvSpec,
        settings: LearnerSettings,
        device: torch.device,
        *,
        subtract_mean: bool = False,
        agent_types: Sequence[str] | None = None,
        enemies: EnemyRows | None = None,
    ) -> None:
        self.subtract_mean = subtract_mean
        self.value = value_net(spec, agent_types, settings.value_input)
        super().__init__(advantage_net(spec, agent_types, enemies), {"value": self.value}, settings, device)

    def loss(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """The loss of Eq. 3 over every agent and real step, dead agents included."""
        hidden, advantages = self._unroll(self.advantage, batch)  # [P, N, H], [P, N, A]
        seen = hidden if self.settings.value_gradient_to_gru else hidden.detach()
        value = self.value(seen, batch.obs, batch.last_action, batch.state, batch.nonzeros)[batch.now]  # [K]
        q_proxy = value[:, None] + taken(advantages, batch)  # [K, N], Eq. 1
        with torch.no_grad():
            target_hidden, target_advantages = self._unroll(self.targets["advantage"], batch)
            target_value = self.targets["value"](
                *(batch.next(x) for x in (target_hidden, batch.obs, batch.last_action, batch.state)),
                batch.next(batch.nonzeros),
            )  # [K]
            best = batch.next(target_advantages).gather(2, greedy_next(advantages, batch)).squeeze(2)
        q_next = target_value[:, None] + best
        y = lambda_returns(q_next, batch, self.settings.gamma, self.settings.td_lambda)  # [K, N]
        return lan_loss(q_proxy, y), q_proxy

    def _unroll(self, net: torch.nn.Module, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        hidden, advantages = net.unroll(batch)  # type: ignore[operator]
        if self.subtract_mean:
            advantages = advantages - advantages.mean(2, keepdim=True)
        return hidden, advantages
