"""The values that a learner is taught: one-step targets, or lambda-returns over whole episodes."""

from __future__ import annotations

import torch
from torch import Tensor

from trainer.learning.batch import EpisodeBatch


def lambda_returns(q_next: Tensor, batch: EpisodeBatch, gamma: float, td_lambda: float) -> Tensor:
    """y_t = r_t + gamma (1 - terminated_t) [(1 - lambda) Q'_{t+1} + lambda y_{t+1}], where y_T is Q'_T.

    q_next [K] or [K, N]: the target networks' values of the greedy actions after each of the K steps of a
    batch; returns as many targets. `td_lambda` 0 gives the one-step target of the LAN paper's Eq. 3, 1 the
    discounted rewards of the whole episode; between them it is Peng's Q(lambda), which does not cut at
    exploring actions.
    """
    per_step = (-1,) + (1,) * (q_next.dim() - 1)
    discount = (gamma * (1 - batch.terminated)).view(per_step)
    y = batch.reward.view(per_step) + discount * q_next
    if td_lambda == 0:
        return y
    counts = list(batch.row_counts[1:])  # of the steps of one time; earlier ones are never fewer
    slices = list(zip(*(torch.split(x, counts) for x in (y, discount, q_next)), strict=True))
    for (y_t, discount_t, q_tp1), (y_tp1, _, _) in zip(slices[-2::-1], slices[:0:-1], strict=True):
        goes_on = len(y_tp1)
        y_t[:goes_on] += discount_t[:goes_on] * td_lambda * (y_tp1 - q_tp1[:goes_on])
    return y
