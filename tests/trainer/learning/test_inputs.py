"""The first layers: without the zeros, and with the rest of the row's work, as torch does it in passes."""

import pytest
import torch
from torch.nn import functional as F

from trainer.learning import inputs
from trainer.learning.inputs import NonZeros, project_inputs, sum_rectified

P, N, O, A, H = 70, 5, 37, 6, 64


def observations(share: float) -> torch.Tensor:
    """[P, N, O] of which about `share` is not zero, every fourth row nothing but zeros."""
    obs = torch.randn(P, N, O) * (torch.rand(P, N, O) < share)
    obs.view(P * N, O)[::4] = 0
    return obs


def in_passes(
    weight: torch.Tensor, bias: torch.Tensor, obs: torch.Tensor, last: torch.Tensor, agents: torch.Tensor
) -> torch.Tensor:
    """The layer with its one-hots written out, [P M, H]."""
    ids = torch.eye(N, dtype=obs.dtype).expand(P, N, N)
    x = torch.cat((obs, F.one_hot(last + 1, A + 1)[..., 1:].to(obs.dtype), ids), dim=2)[:, agents]
    return F.linear(x, weight, bias).flatten(0, 1)


@pytest.mark.parametrize("compiled", [True, False])
@pytest.mark.parametrize("rectify", [True, False])
@pytest.mark.parametrize("agents", [[0, 1, 2, 3, 4], [1, 4]])
@pytest.mark.parametrize("share", [0.2, 0.9])
def test_layer_and_gradients_equal_the_one_hots_product(
    share: float, agents: list[int], rectify: bool, compiled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "can_compile", lambda *_: compiled)
    torch.manual_seed(0)
    obs, last, own = observations(share), torch.randint(-1, A, (P, N)), torch.tensor(agents)
    weight, bias = torch.randn(H, O + A + N, requires_grad=True), torch.randn(H, requires_grad=True)
    nonzeros = NonZeros.of(obs)
    assert (nonzeros.places is not None) == (share < 0.5)
    behind = torch.randn(P * len(agents), H)
    got = project_inputs(weight, bias, obs, last, own, nonzeros, rectify=rectify)
    expected = in_passes(weight.double(), bias.double(), obs.double(), last, own)
    expected = F.relu(expected) if rectify else expected
    torch.testing.assert_close(got.double(), expected, rtol=1e-5, atol=1e-5)
    results = [torch.autograd.grad((rows * behind).sum(), [weight, bias]) for rows in (got, expected)]
    for mine, theirs in zip(*results, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)


def test_leaving_out_zeros_changes_no_bit() -> None:
    torch.manual_seed(1)
    obs, last, agents = observations(0.3), torch.randint(-1, A, (P, N)), torch.arange(N)
    weight, bias = torch.randn(H, O + A + N), torch.randn(H)
    sparse, dense = (
        project_inputs(weight, bias, obs, last, agents, nonzeros, rectify=True)
        for nonzeros in (NonZeros.of(obs), NonZeros(N))
    )
    torch.testing.assert_close(sparse, dense, rtol=1e-6, atol=1e-6)
    rows = in_passes(weight, bias, obs, last, agents)
    zeros = ~obs.view(P * N, O).any(1)
    assert zeros.sum() > P
    assert torch.equal(sparse[zeros], dense[zeros])  # on any machine: there is nothing to add up
    torch.testing.assert_close(sparse, F.relu(rows), rtol=1e-4, atol=1e-5)


def test_nonzeros_of_later_rows_are_those_of_their_observations() -> None:
    torch.manual_seed(2)
    obs, last, agents = observations(0.2), torch.randint(-1, A, (P, N)), torch.arange(N)
    weight, bias = torch.randn(H, O + A + N), torch.randn(H)
    first = 13
    whole, later = (
        project_inputs(weight, bias, obs[start:], last[start:], agents, nonzeros, rectify=False)
        for start, nonzeros in ((0, NonZeros.of(obs)), (first, NonZeros.of(obs)[first:]))
    )
    assert torch.equal(whole[first * N :], later)


@pytest.mark.parametrize("n", [1, 5, 16, 27, 40])
def test_rectified_sums_and_gradients_equal_torchs(n: int) -> None:
    torch.manual_seed(n)
    rows, behind = torch.randn(9 * n, 128, requires_grad=True), torch.randn(9, 128)
    got, expected = sum_rectified(rows * 1, n), F.relu(rows).view(9, n, 128).sum(1)
    torch.testing.assert_close(got, expected, rtol=1e-6, atol=1e-6)
    mine, theirs = (torch.autograd.grad((sums * behind).sum(), rows)[0] for sums in (got, expected))
    assert torch.equal(mine, theirs)
