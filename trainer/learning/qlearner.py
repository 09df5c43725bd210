"""The baselines: double DQN on local Q-networks, with a mixer (VDN, QMIX, QPLEX) or none (IQL)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from envs.types import EnemyRows, EnvSpec
from trainer.learning.batch import EpisodeBatch
from trainer.learning.learner import UNAVAILABLE, Learner, LearnerSettings, greedy_next, taken
from trainer.learning.mixers import MIXERS, Mixer
from trainer.learning.networks import advantage_net
from trainer.learning.returns import lambda_returns


class QLearner(Learner):
    """Q-networks trained on the team's reward; a mixer only serves training.

    VDN's mixer is a sum without weights, so it is computed here.
    """

    def __init__(
        self,
        spec: EnvSpec,
        settings: LearnerSettings,
        device: torch.device,
        *,
        mixer: str | None,
        agent_types: Sequence[str] | None = None,
        enemies: EnemyRows | None = None,
    ) -> None:
        self.n_actions = spec.n_actions
        self.sums = mixer == "vdn"
        self.mixer = None if mixer is None or self.sums else MIXERS[mixer](spec)
        central: dict[str, torch.nn.Module] = {"mixer": self.mixer} if self.mixer else {}
        super().__init__(advantage_net(spec, agent_types, enemies), central, settings, device)

    def loss(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """Mean over real steps of the squared TD error, of Q_tot or, without a mixer, of every agent's Q.

        QPLEX's penalty is a mean over padded steps too, where it is 0, as in its authors' code.
        """
        _, q = self.advantage.unroll(batch)  # [P, N, A]
        q_now = taken(q, batch)  # [K, N]
        with torch.no_grad():
            _, target_q = self.targets["advantage"].unroll(batch)  # type: ignore[operator]
            best = greedy_next(q, batch)
            q_next = batch.next(target_q).gather(2, best).squeeze(2)
        if self.sums:
            q_now, q_next = q_now.sum(1, keepdim=True), q_next.sum(1, keepdim=True)  # [K, 1]
        if self.mixer is None:
            return F.mse_loss(q_now, self._targets(q_next, batch)), q_now
        state = mixer_state(batch, self.n_actions)  # [P, S]
        q_tot: Tensor
        penalty: Tensor
        q_tot, penalty = self.mixer(q_now, masked_max(q, batch)[batch.now], batch.action, state[batch.now])
        with torch.no_grad():
            target: Mixer = self.targets["mixer"]  # type: ignore[assignment]
            q_max_next = batch.next(masked_max(target_q, batch))
            q_tot_next, _ = target(q_next, q_max_next, best.squeeze(2), batch.next(state))
            y = self._targets(q_tot_next, batch)
        return F.mse_loss(q_tot, y) + batch.filled * penalty, q_tot

    def _targets(self, q_next: Tensor, batch: EpisodeBatch) -> Tensor:
        return lambda_returns(q_next, batch, self.settings.gamma, self.settings.td_lambda)


def mixer_state(batch: EpisodeBatch, n_actions: int) -> Tensor:
    """[P, S + N A]: the state, then every agent's last action, one-hot (zeros before the first)."""
    last = F.one_hot(batch.last_action + 1, n_actions + 1)[..., 1:]
    return torch.cat((batch.state, last.flatten(1).to(batch.state.dtype)), dim=1)


def masked_max(q: Tensor, batch: EpisodeBatch) -> Tensor:
    """[P, N]: every agent's best available Q, without gradient."""
    return q.detach().masked_fill(~batch.avail_actions, UNAVAILABLE).max(2).values
