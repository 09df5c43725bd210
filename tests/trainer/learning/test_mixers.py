"""The mixers against published parameter counts, independent computations, and their defining properties."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.make import env_spec
from trainer.learning.mixers import MIXERS, QmixMixer, QplexMixer
from trainer.learning.networks import count_parameters, value_net

# The LAN paper's Table 3, in thousands: the value network of LAN, the mixers of QPLEX and QMIX.
TABLE_3 = {
    "2s3z": (62, 50, 36), "3s5z": (74, 90, 60), "1c3s5z": (83, 113, 73), "5m_vs_6m": (56, 43, 32),
    "10m_vs_11m": (68, 106, 70), "27m_vs_30m": (111, 709, 283), "3s5z_vs_3s6z": (76, 95, 63),
    "MMM2": (86, 136, 85), "2s_vs_1sc": (46, 18, 12), "3s_vs_5z": (54, 31, 22), "6h_vs_8z": (61, 59, 42),
    "bane_vs_bane": (125, 555, 241), "2c_vs_64zg": (119, 116, 72), "corridor": (79, 109, 69),
}  # fmt: skip

N, A, S, U, K = 3, 4, 11, 2, 5


@pytest.mark.parametrize("name", TABLE_3)
def test_central_networks_have_the_published_sizes(name: str) -> None:
    spec = env_spec(name)
    sizes = [
        count_parameters(part) for part in (value_net(spec), MIXERS["qplex"](spec), MIXERS["qmix"](spec))
    ]
    assert tuple(round(size / 1000) for size in sizes) == TABLE_3[name]


def inputs(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    q = torch.randn(K, N, generator=generator)
    q_max = q + torch.rand(K, N, generator=generator)
    actions = torch.randint(0, A, (K, N), generator=generator)
    return q, q_max, actions, torch.randn(K, S, generator=generator)


def numpy_layers(module: torch.nn.Module) -> dict[str, np.ndarray]:
    return {name: p.detach().double().numpy() for name, p in module.named_parameters()}


def two(p: dict[str, np.ndarray], name: str, x: np.ndarray) -> np.ndarray:
    hidden = np.maximum(x @ p[f"{name}.0.weight"].T + p[f"{name}.0.bias"], 0)
    return hidden @ p[f"{name}.2.weight"].T + p.get(f"{name}.2.bias", 0.0)


def numpy_qmix(p: dict[str, np.ndarray], q: np.ndarray, state: np.ndarray) -> np.ndarray:
    w1 = np.abs(two(p, "hyper_w1", state)).reshape(len(q), N, 32)
    hidden = np.einsum("kn,kne->ke", q, w1) + state @ p["hyper_b1.weight"].T + p["hyper_b1.bias"]
    hidden = np.where(hidden > 0, hidden, np.exp(np.minimum(hidden, 0)) - 1)
    return (hidden * np.abs(two(p, "hyper_wf", state))).sum(1) + two(p, "hyper_v", state)[:, 0]


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def numpy_qplex(
    p: dict[str, np.ndarray], q: np.ndarray, q_max: np.ndarray, actions: np.ndarray, state: np.ndarray
) -> np.ndarray:
    """Agent by agent, head by head, as the official implementation is described."""
    total = np.zeros(len(q))
    for k in range(len(q)):
        s = state[k]
        joint = np.concatenate([s, np.eye(A)[actions[k]].ravel()])
        w = np.full(N, 1e-10)
        for h in range(4):
            query = two(p, f"query.{h}", s)
            logits = np.array([query @ (p[f"key.{h}.weight"] @ s[i * U : (i + 1) * U]) for i in range(N)])
            e = np.exp(logits / np.sqrt(32))
            w += e / e.sum()
        c = two(p, "offset", s)[0]

        def linear(name: str, x: np.ndarray) -> np.ndarray:
            return p[f"{name}.weight"] @ x + p[f"{name}.bias"]

        for i in range(N):
            importance = sum(
                (abs(linear(f"kernel_scale.{m}", s)[0]) + 1e-10)
                * sigmoid(linear(f"kernel_agent.{m}", s)[i])
                * sigmoid(linear(f"kernel_action.{m}", joint)[i])
                for m in range(4)
            )
            q_i, v_i = w[i] * q[k, i] + c / N, w[i] * q_max[k, i] + c / N
            total[k] += q_i + (q_i - v_i) * (importance - 1)
    return total


def test_qmix_equals_an_independent_computation() -> None:
    torch.manual_seed(0)
    mixer = QmixMixer(N, S).double()
    q, q_max, actions, state = (x.double() if x.is_floating_point() else x for x in inputs(0))
    out, extra = mixer(q, q_max, actions, state)
    assert extra == 0
    np.testing.assert_allclose(
        out.detach().numpy(), numpy_qmix(numpy_layers(mixer), q.numpy(), state.numpy())
    )


def test_qplex_equals_an_independent_computation() -> None:
    torch.manual_seed(0)
    mixer = QplexMixer(N, A, S, U).double()
    q, q_max, actions, state = (x.double() if x.is_floating_point() else x for x in inputs(1))
    out, extra = mixer(q, q_max, actions, state)
    expected = numpy_qplex(numpy_layers(mixer), q.numpy(), q_max.numpy(), actions.numpy(), state.numpy())
    np.testing.assert_allclose(out.detach().numpy(), expected)
    assert extra.item() > 0


def numeric_gradient(function, q: np.ndarray) -> np.ndarray:  # type: ignore[no-untyped-def]
    gradient = np.zeros_like(q)
    for index in np.ndindex(*q.shape):
        up, down = q.copy(), q.copy()
        up[index] += 1e-6
        down[index] -= 1e-6
        gradient[index] = (function(up).sum() - function(down).sum()) / 2e-6
    return gradient


def test_gradients_equal_finite_differences_of_the_independent_computations() -> None:
    torch.manual_seed(1)
    q, q_max, actions, state = (x.double() if x.is_floating_point() else x for x in inputs(2))
    qmix = QmixMixer(N, S).double()
    q.requires_grad_()
    (gradient,) = torch.autograd.grad(qmix(q, q_max, actions, state)[0].sum(), q)
    p = numpy_layers(qmix)
    expected = numeric_gradient(lambda x: numpy_qmix(p, x, state.numpy()), q.detach().numpy())
    np.testing.assert_allclose(gradient.numpy(), expected, rtol=1e-5, atol=1e-7)

    # QPLEX stops the gradient at the advantages, so that of Q_tot with respect to q is the weights alone.
    qplex = QplexMixer(N, A, S, U).double()
    (gradient,) = torch.autograd.grad(qplex(q, q_max, actions, state)[0].sum(), q)
    np.testing.assert_allclose(gradient.numpy(), qplex.weights(state)[0].detach().numpy())


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, N - 1), st.floats(0.01, 5))
def test_qmix_is_monotonic_in_every_agent(seed: int, agent: int, gain: float) -> None:
    torch.manual_seed(seed)
    mixer = QmixMixer(N, S).double()
    q, q_max, actions, state = (x.double() if x.is_floating_point() else x for x in inputs(seed))
    better = q.clone()
    better[:, agent] += gain
    assert (mixer(better, q_max, actions, state)[0] >= mixer(q, q_max, actions, state)[0]).all()


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_qplex_prefers_every_agents_own_best_action(seed: int) -> None:
    """IGM: over all joint actions, Q_tot is largest where every agent takes its own best one."""
    torch.manual_seed(seed)
    mixer = QplexMixer(N, A, S, U).double()
    q_table = torch.randn(N, A, dtype=torch.float64)
    joint = torch.cartesian_prod(*(torch.arange(A) for _ in range(N)))  # [A^N, N]
    q = q_table.expand(len(joint), N, A).gather(2, joint[:, :, None]).squeeze(2)
    q_max = q_table.max(1).values.expand(len(joint), N)
    state = torch.randn(1, S, dtype=torch.float64).expand(len(joint), S)
    q_tot, _ = mixer(q, q_max, joint, state)
    assert joint[q_tot.argmax()].tolist() == q_table.argmax(1).tolist()
