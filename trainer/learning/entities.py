"""What an agent sees of each enemy, read by one small layer for all of them.

The sum of the embeddings goes into the network's input, so that it does not matter in which place an enemy
stands (Deep Sets, Zaheer et al. 2017). The value of attacking an enemy has a part that only its own embedding
and the agent's memory decide (Action Semantics Networks, Wang et al. 2020). So what is learned about one
enemy holds for all. The layer has no bias but a weight for being seen, so an enemy out of sight adds nothing.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from envs.types import EnemyRows, FloatArray, IntArray
from trainer.learning.inputs import can_compile, rows_of


def embed(weight: Tensor, obs: Tensor, rows: EnemyRows) -> Tensor:
    """The embeddings [R, J, D] of the enemies in obs [R, O], zeros where one is not seen.

    weight [D, W + 1], its last column for being seen.
    """
    features = obs[:, rows.first : rows.end].reshape(-1, rows.n_enemies, rows.width)
    seen = features[:, :, rows.distance : rows.distance + 1].sign()
    return F.relu(torch.cat((features, seen), dim=2) @ weight.t())


def add_embeddings(weight: Tensor, obs: Tensor, agents: Tensor, rows: EnemyRows, inputs: Tensor) -> Tensor:
    """ReLU(inputs + the sum of the embeddings) [P M, D] of `agents` [M]; obs [P, N, O], inputs [P M, D]."""
    if can_compile(obs, inputs):
        out: Tensor = AddEmbeddings.apply(weight, obs, agents, rows, inputs)  # type: ignore[no-untyped-call]
        return out
    (own,) = rows_of(agents, obs)
    return F.relu(inputs + embed(weight, own.flatten(0, 1), rows).sum(1))


def add_attack_values(
    weight: Tensor, obs: Tensor, agents: Tensor, rows: EnemyRows, queries: Tensor, values: Tensor
) -> Tensor:
    """values [P M, A], those of attacks plus queries [P M, D] times the enemy's embedding."""
    if can_compile(obs, queries):
        out: Tensor = AddAttackValues.apply(weight, obs, agents, rows, queries, values)  # type: ignore[no-untyped-call]
        return out
    (own,) = rows_of(agents, obs)
    products = torch.bmm(embed(weight, own.flatten(0, 1), rows), queries.unsqueeze(2)).squeeze(2)
    return values + F.pad(products, (rows.first_attack, values.shape[1] - rows.first_attack - rows.n_enemies))


def _arrays(
    weight: Tensor, obs: Tensor, agents: Tensor, rows: EnemyRows
) -> tuple[FloatArray, IntArray, int, int, int, FloatArray]:
    """The first arguments of every kernel."""
    of_features = weight.detach().t().contiguous().numpy()  # [W + 1, D]
    return obs.contiguous().numpy(), agents.numpy(), rows.first, rows.n_enemies, rows.distance, of_features


class AddEmbeddings(torch.autograd.Function):
    """`add_embeddings` as one node."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, obs: Tensor, agents: Tensor, rows: EnemyRows, inputs: Tensor
    ) -> Tensor:
        """The rows [P M, D]."""
        from trainer.learning import entity_kernels as kernels

        out = torch.empty_like(inputs)
        kernels.add_embeddings(*_arrays(weight, obs, agents, rows), inputs.contiguous().numpy(), out.numpy())
        ctx.save_for_backward(weight, obs, agents, out)
        ctx.rows = rows
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the weight and of the inputs."""
        from trainer.learning import entity_kernels as kernels
        from trainer.learning.input_kernels import mask_gradient

        weight, obs, agents, out = ctx.saved_tensors
        d_rows, d_weight = torch.empty_like(out), weight.new_zeros(weight.t().shape)
        mask_gradient(grad.contiguous().numpy(), out.numpy(), d_rows.numpy())
        kernels.add_embeddings_backward(
            *_arrays(weight, obs, agents, ctx.rows), d_rows.numpy(), d_weight.numpy()
        )
        return d_weight.t(), None, None, None, d_rows


class AddAttackValues(torch.autograd.Function):
    """`add_attack_values` as one node."""

    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, obs: Tensor, agents: Tensor, rows: EnemyRows, queries: Tensor,
        values: Tensor,
    ) -> Tensor:  # fmt: skip
        """The values [P M, A]."""
        from trainer.learning import entity_kernels as kernels

        out = values.clone(memory_format=torch.contiguous_format)
        scratch = np.empty(kernels.WIDTH, np.float32)
        kernels.add_attack_values(
            *_arrays(weight, obs, agents, rows), queries.contiguous().numpy(), rows.first_attack, scratch,
            out.numpy(),
        )  # fmt: skip
        ctx.save_for_backward(weight, obs, agents, queries)
        ctx.rows = rows
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the weight, the queries and the values."""
        from trainer.learning import entity_kernels as kernels

        weight, obs, agents, queries = ctx.saved_tensors
        d_queries, d_weight = torch.zeros_like(queries), weight.new_zeros(weight.t().shape)
        kernels.add_attack_values_backward(
            *_arrays(weight, obs, agents, ctx.rows), queries.contiguous().numpy(), ctx.rows.first_attack,
            grad.contiguous().numpy(), d_queries.numpy(), d_weight.numpy(),
        )  # fmt: skip
        return d_weight.t(), None, None, None, d_queries, grad
