"""A GRU's recurrence over packed rows as machine code: the work between the large matrix products.

A step of a small network is a dozen tensor operations of a few microseconds each, mostly overhead, and hold
Python's lock; here all steps are one call that releases it. float32 on the CPU only;
`trainer.learning.gru` holds the same steps in torch for everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.extending import intrinsic

from envs.compiled import helper
from envs.types import FloatArray
from trainer.learning.vectors import LANES, add, add_times, load, store, times, vector_kernel

_FAST: dict[str, Any] = {"fastmath": {"contract"}}
"""Multiply and add may be one instruction; nothing else may be reordered, so results repeat bit by bit."""

_intrinsic: Any = intrinsic
ZERO, ONE, TWO = np.float32(0), np.float32(1), np.float32(2)

Function = TypeVar("Function", bound=Callable[..., Any])


def _inlined(function: Function) -> Function:
    return helper(function, inline="always", **_FAST)


def _kernel(function: Function) -> Function:
    return vector_kernel(function, **_FAST)


@_intrinsic  # type: ignore[untyped-decorator]
def float_from_bits(typing_context: Any, bits: Any) -> Any:
    """The float32 that has these 32 bits."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.bitcast(arguments[0], ir.FloatType())

    return types.float32(types.int32), generate


@_inlined
def exp(x: np.float32) -> Any:
    """e^x within 2e-7 of its value, x cut to [-87, 88]; a polynomial, since loops with it become vectors."""
    x = np.float32(-87.0) if x < np.float32(-87.0) else x  # in this form NaN stays NaN
    x = np.float32(88.0) if x > np.float32(88.0) else x
    n = np.int32(x * np.float32(1.44269504) + np.float32(128.5)) - np.int32(128)
    r = x - np.float32(n) * np.float32(0.693359375) + np.float32(n) * np.float32(2.12194440e-4)
    p = np.float32(1.9875691500e-4)  # Cephes' expf
    p = p * r + np.float32(1.3981999507e-3)
    p = p * r + np.float32(8.3334519073e-3)
    p = p * r + np.float32(4.1665795894e-2)
    p = p * r + np.float32(1.6666665459e-1)
    p = p * r + np.float32(5.0000001201e-1)
    p = p * r * r + r + ONE
    return p * float_from_bits(np.int32((n + np.int32(127)) << np.int32(23)))


@_inlined
def sigmoid(x: np.float32) -> Any:
    """1 / (1 + e^-x)."""
    return ONE / (ONE + exp(-x))


@_inlined
def tanh(x: np.float32) -> Any:
    """2 / (1 + e^-2x) - 1, within 2e-7."""
    return TWO / (ONE + exp(-TWO * x)) - ONE


ROWS = 4
"""Rows that are multiplied together: each weight that is read is used four times, from registers."""

WIDTH = 2 * LANES
"""Columns that are multiplied together; ROWS times as many sums stay in registers."""


@_inlined
def _pair(p: np.float32, x: Any, q: np.float32, y: Any, total: Any) -> Any:
    """total + (p x + q y), the sum of the products first."""
    return add(total, add_times(p, x, times(q, y)))


@_inlined
def add_product(a: FloatArray, w: FloatArray, out: FloatArray) -> None:
    """out [m, G] += a [m, K] @ w [K, G], m at most ROWS, K even; all C-contiguous."""
    K, G = w.shape
    whole = G - G % WIDTH
    if a.shape[0] == ROWS:
        a0, a1, a2, a3 = a[0], a[1], a[2], a[3]
        for j in range(0, whole, WIDTH):
            j0, j1, j2, j3 = j, G + j, 2 * G + j, 3 * G + j
            left0, left1, left2, left3 = load(out, j0), load(out, j1), load(out, j2), load(out, j3)
            right0, right1 = load(out, j0 + LANES), load(out, j1 + LANES)
            right2, right3 = load(out, j2 + LANES), load(out, j3 + LANES)
            for k in range(0, K, 2):
                at = k * G + j
                x, x_right = load(w, at), load(w, at + LANES)
                y, y_right = load(w, at + G), load(w, at + G + LANES)
                left0 = _pair(a0[k], x, a0[k + 1], y, left0)
                left1 = _pair(a1[k], x, a1[k + 1], y, left1)
                left2 = _pair(a2[k], x, a2[k + 1], y, left2)
                left3 = _pair(a3[k], x, a3[k + 1], y, left3)
                right0 = _pair(a0[k], x_right, a0[k + 1], y_right, right0)
                right1 = _pair(a1[k], x_right, a1[k + 1], y_right, right1)
                right2 = _pair(a2[k], x_right, a2[k + 1], y_right, right2)
                right3 = _pair(a3[k], x_right, a3[k + 1], y_right, right3)
            store(out, j0, left0), store(out, j1, left1), store(out, j2, left2), store(out, j3, left3)
            store(out, j0 + LANES, right0), store(out, j1 + LANES, right1)
            store(out, j2 + LANES, right2), store(out, j3 + LANES, right3)
    else:
        for i in range(a.shape[0]):
            row = a[i]
            for j in range(i * G, i * G + whole, LANES):
                total = load(out, j)
                for k in range(0, K, 2):
                    at = (k - i) * G + j
                    total = _pair(row[k], load(w, at), row[k + 1], load(w, at + G), total)
                store(out, j, total)
    for i in range(a.shape[0]):
        for j in range(whole, G):
            for k in range(0, K, 2):
                out[i, j] += a[i, k] * w[k, j] + a[i, k + 1] * w[k + 1, j]


@_kernel
def forward_steps(
    gates: FloatArray,
    b_ih: FloatArray,
    w_hh_t: FloatArray,
    b_hh: FloatArray,
    starts: npt.NDArray[np.int64],
    hidden: FloatArray,
    hidden_n: FloatArray,
    from_hidden: FloatArray,
) -> None:
    """All steps forward; rows of step t are starts[t] to starts[t + 1], and there are never more than before.

    gates [R, 3H]: the input's part of r, z, n but for its bias b_ih [3H], and on return r, z, n;
    w_hh_t [H, 3H], b_hh [3H];
    hidden [R, H] and hidden_n [R, H], the memory's part of n before r, are written;
    from_hidden [ROWS, 3H] is scratch.
    """
    H = hidden.shape[1]
    for t in range(starts.shape[0] - 1):
        back = starts[t] - starts[max(t - 1, 0)]
        for first in range(starts[t], starts[t + 1], ROWS):
            m = min(ROWS, starts[t + 1] - first)
            for i in range(m):
                for j in range(3 * H):
                    from_hidden[i, j] = b_hh[j]
            if t:
                add_product(hidden[first - back : first - back + m], w_hh_t, from_hidden[:m])
            for i in range(m):
                row, part = first + i, from_hidden[i]
                before, rzn, h_n, out = hidden[row - back], gates[row], hidden_n[row], hidden[row]
                for j in range(2 * H):
                    rzn[j] = sigmoid(rzn[j] + b_ih[j] + part[j])
                for j in range(H):
                    h_n[j] = part[2 * H + j]
                    rzn[2 * H + j] = tanh(rzn[2 * H + j] + b_ih[2 * H + j] + rzn[j] * h_n[j])
                for j in range(H):
                    n, z = rzn[2 * H + j], rzn[H + j]
                    out[j] = n + z * (before[j] - n) if t else n - z * n


@_kernel
def backward_steps(
    grad_hidden: FloatArray,
    gates: FloatArray,
    hidden_n: FloatArray,
    hidden: FloatArray,
    w_hh: FloatArray,
    starts: npt.NDArray[np.int64],
    carry: FloatArray,
    d_gates: FloatArray,
    d_hidden_n: FloatArray,
    before: FloatArray,
    from_gates: FloatArray,
) -> None:
    """All steps backward: gradients at the gates from those at the memory.

    grad_hidden, hidden_n, hidden [R, H]; gates [R, 3H] as r, z, n; w_hh [3H, H]; carry [B, H] zeros;
    d_gates [R, 3H], d_hidden_n [R, H] and before [R, H], the memory that each row began with, are written;
    from_gates [ROWS, 3H] is scratch.
    """
    H = hidden.shape[1]
    for t in range(starts.shape[0] - 2, -1, -1):
        back = starts[t] - starts[max(t - 1, 0)]
        for first in range(starts[t], starts[t + 1], ROWS):
            m, slot = min(ROWS, starts[t + 1] - first), first - starts[t]
            for i in range(m):
                row, part = first + i, from_gates[i]
                dh, grad, rzn = carry[slot + i], grad_hidden[row], gates[row]
                d_rzn, d_h_n, h_n, h_before = d_gates[row], d_hidden_n[row], hidden_n[row], before[row]
                earlier = hidden[row - back]
                for j in range(H):
                    h_before[j] = earlier[j] if t else ZERO
                for j in range(H):
                    r, z, n = rzn[j], rzn[H + j], rzn[2 * H + j]
                    d = dh[j] + grad[j]
                    d_n = d * (ONE - z) * (ONE - n * n)
                    d_r = d_n * h_n[j] * r * (ONE - r)
                    d_z = d * (h_before[j] - n) * z * (ONE - z)
                    d_rzn[j] = part[j] = d_r
                    d_rzn[H + j] = part[H + j] = d_z
                    d_rzn[2 * H + j] = d_n
                    d_h_n[j] = part[2 * H + j] = d_n * r
                    dh[j] = d * z
            if t:
                add_product(from_gates[:m], w_hh, carry[slot : slot + m])
