"""The networks' first layers, over packed rows: observation, last action and agent id times a matrix.

Last action and id are one-hot, and a one-hot times a matrix is a row of that matrix: both are looked up in a
table. On the CPU the observation's zeros are left out of the product, and what follows it is done while a row
is at hand; elsewhere, and for other number formats, torch does the same in several passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from envs.types import FloatArray, IntArray

MOST_NONZERO = 0.5
"""Where a larger share of the values is not zero, the dense product is faster."""


@dataclass(frozen=True)
class NonZeros:
    """Where observations [P, N, O] are not zero, as `input_kernels.find_nonzeros` writes it.

    places: starts [P N + 1], columns and values; None where the dense product is to be used.
    """

    n_agents: int
    places: tuple[IntArray, npt.NDArray[np.int32], FloatArray] | None = None

    def __getitem__(self, rows: slice) -> NonZeros:
        """Those of the rows from `rows.start` on."""
        if self.places is None:
            return self
        starts, columns, values = self.places
        return NonZeros(self.n_agents, (starts[rows.start * self.n_agents :], columns, values))

    @classmethod
    def of(cls, obs: Tensor) -> NonZeros:
        """Those of obs [P, N, O]."""
        P, N, O = obs.shape
        if obs.device.type != "cpu" or obs.dtype != torch.float32:
            return cls(N)
        rows = obs.reshape(P * N, O).numpy()
        some = rows[::17]  # a prime, so that every agent is among them
        if np.count_nonzero(some) > MOST_NONZERO * some.size:
            return cls(N)
        from trainer.learning.input_kernels import find_nonzeros

        starts, columns = np.empty(P * N + 1, np.int64), np.empty(rows.size, np.int32)
        values = np.empty(rows.size, np.float32)
        find_nonzeros(rows, starts, columns, values)
        return cls(N, (starts, columns, values))


def rows_of(agents: Tensor, *packed: Tensor) -> list[Tensor]:
    """The columns of `agents` [M] of packed tensors [P, N, ...]; the tensors themselves if those are all."""
    return [rows if len(agents) == rows.shape[1] else rows[:, agents] for rows in packed]


def input_table(weight: Tensor, bias: Tensor, obs_dim: int, n_agents: int) -> Tensor:
    """[(A + 1) N, H]: what each last action (row 0: none yet) and agent add to the input, the bias included.

    weight [H, O + A + N], bias [H].
    """
    of_action = weight[:, obs_dim : weight.shape[1] - n_agents].t()  # [A, H]
    of_agent = weight[:, weight.shape[1] - n_agents :].t() + bias  # [N, H]
    return (of_agent + F.pad(of_action, (0, 0, 1, 0)).unsqueeze(1)).flatten(0, 1)


def look_up(table: Tensor, last_action: Tensor, agent_id: Tensor, n_agents: int) -> Tensor:
    """The rows [R, H] of an `input_table` for last_action [R] i64 (-1 = none yet) and agent_id [R] i64."""
    return F.embedding((last_action + 1) * n_agents + agent_id, table)


def project_inputs(
    weight: Tensor, bias: Tensor, obs: Tensor, last_action: Tensor, agents: Tensor, nonzeros: NonZeros, *,
    rectify: bool,
) -> Tensor:  # fmt: skip
    """W [obs, onehot(last_action), onehot(agent)] + b of `agents` [M], with `rectify` its ReLU -> [P M, H].

    weight [H, O + A + N], bias [H], obs [P, N, O] and its `nonzeros`, last_action [P, N] i64 (-1 = none yet).
    """
    P, N, O = obs.shape
    table, of_obs = input_table(weight, bias, O, N), weight[:, :O]
    if can_compile(obs, table):
        out: Tensor = InputLayer.apply(table, of_obs, obs, last_action, agents, nonzeros, rectify)  # type: ignore[no-untyped-call]
        return out
    obs, last_action = rows_of(agents, obs, last_action)
    rows = look_up(table, last_action.reshape(-1), agents.repeat(P), N)
    rows = rows.addmm_(obs.reshape(-1, O), of_obs.t())
    return F.relu_(rows) if rectify else rows


def sum_rectified(rows: Tensor, n: int) -> Tensor:
    """[P, E]: the sums over each `n` rows of the ReLU of rows [P n, E]."""
    if can_compile(rows, rows):
        out: Tensor = SumRectified.apply(rows, n)  # type: ignore[no-untyped-call]
        return out
    return F.relu_(rows).view(-1, n, rows.shape[1]).sum(1)


def can_compile(x: Tensor, outputs: Tensor) -> bool:
    """Whether the kernels know these tensors."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and outputs.shape[1] % 64 == 0


class InputLayer(torch.autograd.Function):
    """`project_inputs` as one node, from the table [(A + 1) N, H] and the observations' weights [H, O]."""

    @staticmethod
    def forward(
        ctx: Any, table: Tensor, of_obs: Tensor, obs: Tensor, last_action: Tensor, agents: Tensor,
        nonzeros: NonZeros, rectify: bool,
    ) -> Tensor:  # fmt: skip
        """The layer's rows [P M, H]."""
        from trainer.learning.input_kernels import add_table, project_rows

        actions, ids = last_action.contiguous().numpy(), agents.numpy()
        rows_of_table = table.contiguous().numpy()
        if nonzeros.places is None:
            own = rows_of(agents, obs)[0].reshape(-1, obs.shape[2])
            out = own @ of_obs.t()
            add_table(actions, ids, rows_of_table, rectify, out.numpy())
        else:
            out = obs.new_empty(obs.shape[0] * len(agents), of_obs.shape[0])
            project_rows(
                *nonzeros.places, actions, ids, rows_of_table,
                of_obs.t().contiguous().numpy(), rectify, out.numpy(),
            )  # fmt: skip
        ctx.save_for_backward(obs, last_action, agents, out if rectify else None)
        ctx.n_table_rows = len(table)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        """Gradients of the table and of the observations' weights."""
        from trainer.learning.input_kernels import mask_gradient, sum_by_table_row

        obs, last_action, agents, out = ctx.saved_tensors
        d_rows = grad.contiguous()
        if out is not None:
            grad, d_rows = d_rows, torch.empty_like(out)
            mask_gradient(grad.numpy(), out.numpy(), d_rows.numpy())
        d_table = grad.new_zeros(ctx.n_table_rows, d_rows.shape[1])
        sum_by_table_row(last_action.contiguous().numpy(), agents.numpy(), d_rows.numpy(), d_table.numpy())
        own = rows_of(agents, obs)[0].reshape(-1, obs.shape[2])
        return d_table, (own.t() @ d_rows).t(), None, None, None, None, None


class SumRectified(torch.autograd.Function):
    """`sum_rectified` as one node."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, n: int) -> Tensor:
        """The sums [P, E]."""
        from trainer.learning.input_kernels import sum_positive

        out = rows.new_empty(rows.shape[0] // n, rows.shape[1])
        sum_positive(rows.numpy(), n, np.empty(rows.shape[1], np.float32), out.numpy())
        ctx.save_for_backward(rows)
        return out

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        """The gradient of the rows."""
        from trainer.learning.input_kernels import mask_gradient

        (rows,) = ctx.saved_tensors
        d_rows = torch.empty_like(rows)
        mask_gradient(grad.contiguous().numpy(), rows.numpy(), d_rows.numpy())
        return d_rows, None
