"""A GRU over packed episodes, with its backward pass through time written out.

`torch.nn.GRU` would pad, and autograd over a loop of GRU cells records a dozen nodes per step. Here the
whole sequence is one autograd node: the input's part of all gates is one GEMM, every step adds its own part
in place, and the weights' gradients are one GEMM each. Gates are in torch's order r, z, n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor


def by_step(sizes: Sequence[int], *packed: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """For every step, the rows of that step of each packed tensor, as views."""
    return zip(*(torch.split(rows, list(sizes)) for rows in packed), strict=True)


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
        rz = torch.addmm((b_ih + b_hh)[: 2 * H], x, w_ih[: 2 * H].t())
        n_all = torch.addmm(b_ih[2 * H :], x, w_ih[2 * H :].t())
        to_rz, to_n, b_n = w_hh[: 2 * H].t(), w_hh[2 * H :].t(), b_hh[2 * H :]
        h = x.new_zeros(row_counts[0], H)
        for gates, n, h_n, out in by_step(row_counts, rz, n_all, hidden_n, hidden):
            h = h[: out.shape[0]]
            gates.addmm_(h, to_rz).sigmoid_()
            torch.addmm(b_n, h, to_n, out=h_n)
            n.addcmul_(gates[:, :H], h_n).tanh_()
            h = torch.lerp(n, h, gates[:, H:], out=out)
        ctx.save_for_backward(x, hidden, rz, n_all, hidden_n, w_ih, w_hh)
        ctx.row_counts = row_counts
        return hidden

    @staticmethod
    def backward(ctx: Any, grad_hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, None]:
        """Gradients of x, w_ih, w_hh, b_ih and b_hh."""
        x, hidden, rz, n_all, hidden_n, w_ih, w_hh = ctx.saved_tensors
        sizes: Sequence[int] = ctx.row_counts
        H = w_hh.shape[1]
        before = previous_rows(hidden, sizes)
        d_rz, d_n, d_hidden_n = torch.empty_like(rz), torch.empty_like(n_all), torch.empty_like(n_all)
        from_rz, from_n = w_hh[: 2 * H], w_hh[2 * H :]
        carry = x.new_zeros(sizes[0], H)
        steps = list(by_step(sizes, grad_hidden, rz, n_all, hidden_n, before, d_rz, d_n, d_hidden_n))
        for grad, gates, n, h_n, h_before, d_gates, dn, dh_n in reversed(steps):
            r, z = gates[:, :H], gates[:, H:]
            dh = carry[: grad.shape[0]].add_(grad)
            torch.mul(dh, 1 - z, out=dn).mul_(1 - n * n)
            torch.mul(dn, h_n, out=d_gates[:, :H])
            torch.mul(dh, h_before - n, out=d_gates[:, H:])
            d_gates.mul_(gates).mul_(1 - gates)
            torch.mul(dn, r, out=dh_n)
            dh.mul_(z).addmm_(d_gates, from_rz).addmm_(dh_n, from_n)
        d_x = torch.addmm(d_rz @ w_ih[: 2 * H], d_n, w_ih[2 * H :])
        d_w_ih = torch.cat((d_rz.t() @ x, d_n.t() @ x))
        d_w_hh = torch.cat((d_rz.t() @ before, d_hidden_n.t() @ before))
        d_b_rz = d_rz.sum(0)
        d_b_ih, d_b_hh = torch.cat((d_b_rz, d_n.sum(0))), torch.cat((d_b_rz, d_hidden_n.sum(0)))
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
