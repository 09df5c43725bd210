"""First weights, and whose gradient's norm is held."""

import numpy as np
import pytest
import torch

from tests.trainer.support.learning import pack, settings
from tests.trainer.support.slow_reading import ENEMIES, SPEC, random_episode
from trainer.learning.algorithms import make_learner
from trainer.learning.learner import Learner

CPU = torch.device("cpu")


def learner_with(algorithm: str = "lan", **told: object) -> Learner:
    torch.manual_seed(5)
    return make_learner(algorithm, SPEC, settings(**told), CPU, enemies=ENEMIES)


def matrices(learner: Learner) -> list[torch.Tensor]:
    """Every weight matrix of all parts; of a GRU's one for each gate."""
    found = []
    for part in learner.parts.values():
        for name, weight in part.named_parameters():
            if weight.dim() == 2:
                found += weight.chunk(3) if "gru." in name else [weight]
    return [matrix.detach() for matrix in found]


def test_orthogonal_weights_have_orthogonal_rows_or_columns_and_no_biases() -> None:
    learner = learner_with(initialization="orthogonal")
    for weight in matrices(learner):
        small = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
        torch.testing.assert_close(small, torch.eye(len(small)), atol=1e-5, rtol=0)
    biases = [w for part in learner.parts.values() for w in part.parameters() if w.dim() == 1]
    assert biases
    assert all(not bias.any() for bias in biases)


@pytest.mark.parametrize("algorithm", ["lan", "qmix", "qplex"])
def test_unit_rows_are_torch_s_scaled_to_length_one(algorithm: str) -> None:
    before, after = (matrices(learner_with(algorithm, initialization=how)) for how in ("torch", "unit-rows"))
    for old, new in zip(before, after, strict=True):
        torch.testing.assert_close(new, old / old.norm(dim=1, keepdim=True))


@pytest.mark.parametrize("how", ["orthogonal", "unit-rows"])
def test_targets_begin_as_the_online_networks(how: str) -> None:
    learner = learner_with(initialization=how)
    for name, target in learner.targets.items():
        for own, other in zip(target.parameters(), learner.parts[name].parameters(), strict=True):
            assert torch.equal(own, other)


@pytest.mark.parametrize("grad_norm", ["joint", "each"])
def test_whose_norm_is_held(grad_norm: str) -> None:
    clip = 1e-3
    learner = learner_with(grad_norm=grad_norm, grad_norm_clip=clip)
    batch = pack([random_episode(np.random.default_rng(6), n) for n in (4, 7)], SPEC.n_actions)
    loss, _ = learner.loss(batch)
    whole = torch.cat([g.flatten() for g in torch.autograd.grad(loss, learner.parameters)]).norm()
    result = learner.update(batch)
    torch.testing.assert_close(result["grad_norm"], whole)
    norms = [
        torch.cat([w.grad.flatten() for w in part.parameters() if w.grad is not None]).norm()
        for part in learner.parts.values()
    ]
    if grad_norm == "each":
        assert [float(norm) for norm in norms] == pytest.approx([clip, clip], rel=1e-2)
    else:
        assert float(torch.stack(norms).norm()) == pytest.approx(clip, rel=1e-2)
        assert max(norms) < clip * 0.999
