"""The packed GRU, compiled and as a loop, against torch's own cell; and the compiled one's arithmetic."""

import numba
import numpy as np
import pytest
import torch

from trainer.learning import gru, gru_kernels
from trainer.learning.gru import packed_gru

SIZES = (5, 5, 4, 2, 2, 1)


def cell_reference(x: torch.Tensor, cell: torch.nn.GRUCell) -> torch.Tensor:
    """Memory of every row, one cell call per step."""
    h, out = torch.zeros(SIZES[0], cell.hidden_size), []
    for rows in torch.split(x, list(SIZES)):
        h = cell(rows, h[: len(rows)])
        out.append(h)
    return torch.cat(out)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("hidden_dim", [64, 8])
def test_memory_and_gradients_equal_torchs_cell(
    compiled: bool, hidden_dim: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gru, "can_compile", lambda *_: compiled)
    torch.manual_seed(0)
    cell = torch.nn.GRUCell(10, hidden_dim)
    x = torch.randn(sum(SIZES), 10, requires_grad=True)
    weights = torch.randn(sum(SIZES), hidden_dim)
    results = []
    for run in (cell_reference(x, cell), packed_gru(x, cell, SIZES)):
        gradients = torch.autograd.grad((run * weights).sum(), [x, *cell.parameters()])
        results.append((run.detach(), *gradients))
    for expected, got in zip(*results, strict=True):
        torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)


def test_other_precisions_are_not_compiled_but_equal() -> None:
    torch.manual_seed(1)
    cell = torch.nn.GRUCell(3, 8).double()
    x = torch.randn(sum(SIZES), 3, dtype=torch.float64)
    with torch.no_grad():
        got = packed_gru(x, cell, SIZES)
        single = packed_gru(x.float(), cell.float(), SIZES)
    assert got.dtype == torch.float64
    torch.testing.assert_close(single.double(), got, rtol=1e-5, atol=1e-6)


@numba.njit  # type: ignore[untyped-decorator]
def apply(which: int, x: np.ndarray, out: np.ndarray) -> None:
    for i in range(x.size):
        if which == 0:
            out[i] = gru_kernels.exp(x[i])
        elif which == 1:
            out[i] = gru_kernels.sigmoid(x[i])
        else:
            out[i] = gru_kernels.tanh(x[i])


@pytest.mark.parametrize(("which", "exact"), [(0, np.exp), (1, lambda x: 1 / (1 + np.exp(-x))), (2, np.tanh)])
def test_functions_are_within_single_precision(which: int, exact: np.ufunc) -> None:
    x = np.concatenate([np.linspace(-80, 80, 20_001), np.linspace(-1e-3, 1e-3, 501)]).astype(np.float32)
    out = np.empty_like(x)
    apply(which, x, out)
    expected = exact(x.astype(np.float64))
    absolute = 0.0 if which == 0 else 3e-7
    np.testing.assert_allclose(out, expected, rtol=3e-7, atol=absolute)


def test_functions_stay_finite_at_the_ends() -> None:
    x = np.array([-1e30, -200, 200, 1e30], np.float32)
    out = np.empty_like(x)
    apply(1, x, out)
    np.testing.assert_allclose(out, [0, 0, 1, 1], atol=1e-30)
    apply(2, x, out)
    np.testing.assert_allclose(out, [-1, -1, 1, 1])


def test_what_is_not_a_number_stays_none() -> None:
    out = np.zeros(3, np.float32)
    for which in range(3):
        apply(which, np.full(3, np.nan, np.float32), out)
        assert np.isnan(out).all()
