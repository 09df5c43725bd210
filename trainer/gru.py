"""A GRU over packed episodes, with its backward pass through time written out.

`torch.nn.GRU` would pad, and autograd over a loop of GRU cells records a dozen nodes per step. Here the
whole sequence is one autograd node: one GEMM per step each way, element-wise work in place, and the
weights' gradient as one GEMM over all steps. Gates are in torch's order r, z, n.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor


def by_step(sizes: Sequence[int], *packed: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """For every step, the rows of that step of each packed tensor, as views."""
    return zip(*(torch.split(rows, list(sizes)) for rows in packed), strict=True)


class PackedGRU(torch.autograd.Function):
    """h_t = (1 - z) n + z h_{t-1} for every step, from a zero memory, over rows that only ever get fewer."""

    @staticmethod
    def forward(ctx: Any, gates_x: Tensor, w_hh: Tensor, b_hh: Tensor, row_counts: Sequence[int]) -> Tensor:
        """The memory after every step.

        gates_x [R, 3H]: input part of the gates, W_ih x + b_ih, packed time-major; w_hh [3H, H]; b_hh [3H];
        row_counts: rows of each step. Returns [R, H].
        """
        H = w_hh.shape[1]
        R = gates_x.shape[0]
        hidden, rz = gates_x.new_empty(R, H), gates_x.new_empty(R, 2 * H)
        n_all, gh_n_all = gates_x.new_empty(R, H), gates_x.new_empty(R, H)
        w_hh_t = w_hh.t()
        gates_h = gates_x.new_empty(row_counts[0], 3 * H)
        h = gates_x.new_zeros(row_counts[0], H)
        sizes = list(row_counts)
        for gx, gate, n, gh_n, out in by_step(sizes, gates_x, rz, n_all, gh_n_all, hidden):
            rows = gx.shape[0]
            gh = gates_h[:rows]
            h = h[:rows]
            torch.addmm(b_hh, h, w_hh_t, out=gh)
            torch.add(gx[:, : 2 * H], gh[:, : 2 * H], out=gate).sigmoid_()
            gh_n.copy_(gh[:, 2 * H :])
            torch.addcmul(gx[:, 2 * H :], gate[:, :H], gh_n, out=n).tanh_()
            torch.lerp(n, h, gate[:, H:], out=out)
            h = out
        ctx.save_for_backward(hidden, rz, n_all, gh_n_all, w_hh)
        ctx.row_counts = sizes
        return hidden

    @staticmethod
    def backward(ctx: Any, grad_hidden: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        """Gradients of gates_x, w_hh and b_hh."""
        hidden, rz, n_all, gh_n_all, w_hh = ctx.saved_tensors
        sizes: list[int] = ctx.row_counts
        H = w_hh.shape[1]
        grad_x = rz.new_empty(rz.shape[0], 3 * H)
        grad_h = torch.empty_like(grad_x)
        h_before = torch.zeros_like(hidden)
        parts = torch.split(hidden, sizes)
        for t, before in enumerate(torch.split(h_before, sizes)):
            if t:
                before.copy_(parts[t - 1][: sizes[t]])
        carry = torch.zeros_like(parts[-1])
        steps = list(by_step(sizes, grad_hidden, rz, n_all, gh_n_all, h_before, grad_x, grad_h))
        for grad, gate, n, gh_n, before, dx, dh_gates in reversed(steps):
            r, z = gate[:, :H], gate[:, H:]
            dh = grad.clone()
            dh[: carry.shape[0]] += carry
            dn = dx[:, 2 * H :]
            torch.mul(dh, 1 - z, out=dn).mul_(1 - n * n)
            torch.mul(dh, before - n, out=dx[:, H : 2 * H])
            torch.mul(dn, gh_n, out=dx[:, :H])
            dx[:, : 2 * H].mul_(gate).mul_(1 - gate)
            dh_gates[:, : 2 * H] = dx[:, : 2 * H]
            torch.mul(dn, r, out=dh_gates[:, 2 * H :])
            carry = torch.addmm(dh.mul_(z), dh_gates, w_hh)
        return grad_x, grad_h.t() @ h_before, grad_h.sum(0), None


def packed_gru(gates_x: Tensor, w_hh: Tensor, b_hh: Tensor, row_counts: Sequence[int]) -> Tensor:
    """The memory [R, H] after every step of a packed sequence; see `PackedGRU.forward`."""
    hidden: Tensor = PackedGRU.apply(gates_x, w_hh, b_hh, row_counts)  # type: ignore[no-untyped-call]
    return hidden
