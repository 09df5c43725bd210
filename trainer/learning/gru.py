"""A GRU over packed episodes, with its backward pass through time written out.

`torch.nn.GRU` would pad, and autograd over a loop of GRU cells records a dozen nodes per step. Here the
whole sequence is one autograd node: the input's part of all gates is one GEMM, the weights' gradients are one
GEMM each, and the steps in between are one compiled call on the CPU and a loop elsewhere. Gates are in
torch's order r, z, n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor


def by_step(sizes: Sequence[int], *packed: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """For every step, the rows of that step of each packed tensor, as views."""
    return zip(*(torch.split(rows, list(sizes)) for rows in packed), strict=True)


def forward_loop(
    gates: Tensor, w_hh: Tensor, b_hh: Tensor, sizes: Sequence[int], hidden: Tensor, hidden_n: Tensor
) -> None:
    """All steps forward, one after the other; see `forward_steps`."""
    H = hidden.shape[1]
    to_rz, to_n, b_rz, b_n = w_hh[: 2 * H].t(), w_hh[2 * H :].t(), b_hh[: 2 * H], b_hh[2 * H :]
    h = hidden.new_zeros(sizes[0], H)
    for rzn, h_n, out in by_step(sizes, gates, hidden_n, hidden):
        h, rz, n = h[: out.shape[0]], rzn[:, : 2 * H], rzn[:, 2 * H :]
        rz.add_(b_rz).addmm_(h, to_rz).sigmoid_()
        torch.addmm(b_n, h, to_n, out=h_n)
        n.addcmul_(rz[:, :H], h_n).tanh_()
        h = torch.lerp(n, h, rz[:, H:], out=out)


def backward_loop(
    grad_hidden: Tensor, gates: Tensor, hidden_n: Tensor, hidden: Tensor, w_hh: Tensor, sizes: Sequence[int],
    d_gates: Tensor, d_hidden_n: Tensor,
) -> Tensor:  # fmt: skip
    """All steps backward, one after the other; see `backward_steps`; returns what it calls `before`."""
    H, before = hidden.shape[1], previous_rows(hidden, sizes)
    carry = before.new_zeros(sizes[0], H)
    steps = list(by_step(sizes, grad_hidden, gates, hidden_n, before, d_gates, d_hidden_n))
    for grad, rzn, h_n, h_before, d_rzn, d_h_n in reversed(steps):
        rz, r, z, n = rzn[:, : 2 * H], rzn[:, :H], rzn[:, H : 2 * H], rzn[:, 2 * H :]
        d_rz, d_n = d_rzn[:, : 2 * H], d_rzn[:, 2 * H :]
        dh = carry[: grad.shape[0]].add_(grad)
        torch.mul(dh, 1 - z, out=d_n).mul_(1 - n * n)
        torch.mul(d_n, h_n, out=d_rz[:, :H])
        torch.mul(dh, h_before - n, out=d_rz[:, H:])
        d_rz.mul_(rz).mul_(1 - rz)
        torch.mul(d_n, r, out=d_h_n)
        dh.mul_(z).addmm_(d_rz, w_hh[: 2 * H]).addmm_(d_h_n, w_hh[2 * H :])
    return before


def forward_compiled(
    gates: Tensor, b_ih: Tensor, w_hh: Tensor, b_hh: Tensor, sizes: Sequence[int], hidden: Tensor,
    hidden_n: Tensor,
) -> None:  # fmt: skip
    """All steps forward in one call."""
    from trainer.learning.gru_kernels import ROWS, forward_steps

    scratch = np.empty((ROWS, gates.shape[1]), np.float32)
    arrays = (w_hh.t().contiguous().numpy(), b_hh.numpy(), starts_of(sizes), hidden.numpy(), hidden_n.numpy())
    forward_steps(gates.numpy(), b_ih.numpy(), *arrays, scratch)


def backward_compiled(
    grad_hidden: Tensor, gates: Tensor, hidden_n: Tensor, hidden: Tensor, w_hh: Tensor, sizes: Sequence[int],
    d_gates: Tensor, d_hidden_n: Tensor,
) -> Tensor:  # fmt: skip
    """All steps backward in one call; returns the memory [R, H] that each row began with."""
    from trainer.learning.gru_kernels import ROWS, backward_steps

    scratch = np.empty((ROWS, gates.shape[1]), np.float32)
    carry = np.zeros((sizes[0], hidden.shape[1]), np.float32)
    before = torch.empty_like(hidden)
    backward_steps(
        grad_hidden.contiguous().numpy(), gates.numpy(), hidden_n.numpy(), hidden.numpy(),
        w_hh.contiguous().numpy(), starts_of(sizes), carry, d_gates.numpy(), d_hidden_n.numpy(),
        before.numpy(), scratch,
    )  # fmt: skip
    return before


def starts_of(sizes: Sequence[int]) -> Any:
    """[T + 1] i64: where each step's rows begin, and where the last one's end."""
    return np.concatenate(([0], np.cumsum(sizes)))


def can_compile(x: Tensor, w_hh: Tensor) -> bool:
    """Whether the compiled steps know these tensors."""
    return x.device.type == "cpu" and x.dtype == torch.float32 and w_hh.shape[1] % 8 == 0


class PackedGRU(torch.autograd.Function):
    """h_t = (1 - z) n + z h_{t-1} for every step, from a zero memory, over rows that only ever get fewer."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, w_ih: Tensor, w_hh: Tensor, b_ih: Tensor, b_hh: Tensor, row_counts: Sequence[int]
    ) -> Tensor:
        """The memory [R, H] after every step.

        x [R, I] packed time-major; w_ih [3H, I]; w_hh [3H, H]; b_ih, b_hh [3H]; row_counts: rows per step.
        """
        H = w_hh.shape[1]
        hidden, hidden_n = x.new_empty(x.shape[0], H), x.new_empty(x.shape[0], H)
        if can_compile(x, w_hh):
            gates = x @ w_ih.t()
            forward_compiled(gates, b_ih.detach(), w_hh.detach(), b_hh.detach(), row_counts, hidden, hidden_n)
        else:
            gates = torch.addmm(b_ih, x, w_ih.t())
            forward_loop(gates, w_hh.detach(), b_hh.detach(), row_counts, hidden, hidden_n)
        ctx.save_for_backward(x, hidden, gates, hidden_n, w_ih, w_hh)
        ctx.row_counts = row_counts
        return hidden

    @staticmethod
    def backward(ctx: Any, grad_hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None]:
        """Gradients of x, w_ih, w_hh, b_ih and b_hh."""
        x, hidden, gates, hidden_n, w_ih, w_hh = ctx.saved_tensors
        H = w_hh.shape[1]
        d_gates, d_hidden_n = torch.empty_like(gates), torch.empty_like(hidden_n)
        backward = backward_compiled if can_compile(x, w_hh) else backward_loop
        before = backward(
            grad_hidden, gates, hidden_n, hidden, w_hh.detach(), ctx.row_counts, d_gates, d_hidden_n
        )
        d_x, d_w_ih, d_b_ih = d_gates @ w_ih, d_gates.t() @ x, d_gates.sum(0)
        d_w_hh = torch.cat((d_gates[:, : 2 * H].t() @ before, d_hidden_n.t() @ before))
        d_b_hh = torch.cat((d_b_ih[: 2 * H], d_hidden_n.sum(0)))
        return d_x, d_w_ih, d_w_hh, d_b_ih, d_b_hh, None


def previous_rows(packed: Tensor, sizes: Sequence[int]) -> Tensor:
    """For every row of a packed tensor [R, H] the same sequence's row one step earlier; zeros at first."""
    before = torch.empty_like(packed)
    before[: sizes[0]] = 0
    steps = list(by_step(sizes, packed, before))
    for (earlier, _), (_, out) in pairwise(steps):
        out.copy_(earlier[: out.shape[0]])
    return before


def packed_gru(x: Tensor, cell: torch.nn.GRUCell, row_counts: Sequence[int]) -> Tensor:
    """The memory [R, H] of a GRU cell after every step of a packed sequence x [R, I], from a zero memory."""
    hidden: Tensor = PackedGRU.apply(
        x, cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh, row_counts
    )  # type: ignore[no-untyped-call]
    return hidden
