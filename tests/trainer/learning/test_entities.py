"""The layer that reads every enemy: kernels against torch, and what sight and order change."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from envs.errors import InputError
from envs.make import enemy_rows, make_env
from envs.types import EnemyRows
from tests.trainer.support.slow_reading import ENEMIES, SPEC, random_episode
from trainer.learning import entities
from trainer.learning.algorithms import enemies_to_read
from trainer.learning.entities import add_attack_values, add_embeddings
from trainer.learning.networks import SharedAdvantageNet, advantage_net

P, N, A = 7, 3, 5


def inputs(dtype: torch.dtype, n_agents: int) -> list[Tensor]:
    """Weight, first layer's rows, queries and values, which take gradients."""
    generator = torch.Generator().manual_seed(1)
    shapes = ((64, ENEMIES.width + 1), (P * n_agents, 64), (P * n_agents, 64), (P * n_agents, A))
    return [torch.randn(shape, generator=generator).to(dtype).requires_grad_() for shape in shapes]


@pytest.mark.parametrize("agents", [[0, 1, 2], [0, 2]])
def test_kernels_give_what_torch_gives(agents: list[int]) -> None:
    """Against double precision, which the kernels do not take; all attacks have a gradient, or a quarter."""
    obs = torch.from_numpy(random_episode(np.random.default_rng(1), P - 1).obs)
    for share in (1.0, 0.25):
        results = []
        for dtype in (torch.float32, torch.float64):
            weight, first, queries, values = given = inputs(dtype, len(agents))
            seen = weight, obs.to(dtype), torch.tensor(agents), ENEMIES
            outputs = add_embeddings(*seen, first), add_attack_values(*seen, queries, values)
            generator = torch.Generator().manual_seed(2)
            grads = [torch.randn(out.shape, generator=generator).to(dtype) for out in outputs]
            grads[1] *= torch.rand(grads[1].shape, generator=generator) < share
            results.append((*outputs, *torch.autograd.grad(outputs, given, grads)))
        for by_kernel, by_torch in zip(*results, strict=True):
            torch.testing.assert_close(by_kernel, by_torch.float(), rtol=1e-5, atol=1e-4)


def test_kernels_are_what_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(entities, "embed", None)
    weight, first, queries, values = inputs(torch.float32, N)
    seen = weight, torch.zeros(P, N, SPEC.obs_dim), torch.arange(N), ENEMIES
    torch.testing.assert_close(add_embeddings(*seen, first), first.relu())
    torch.testing.assert_close(add_attack_values(*seen, queries, values), values)


def test_what_one_enemy_adds_does_not_depend_on_its_place() -> None:
    torch.manual_seed(3)
    net = advantage_net(SPEC, enemies=ENEMIES)
    assert isinstance(net, SharedAdvantageNet)
    with torch.no_grad():
        net.fc1.weight[:, ENEMIES.first : ENEMIES.end] = 0  # the first layer itself knows places
    obs = torch.rand(1, SPEC.obs_dim) + 0.1
    places = slice(ENEMIES.first, ENEMIES.end)
    swapped = obs.clone()
    swapped[:, places] = obs[:, places].view(1, 2, ENEMIES.width).flip(1).flatten(1)
    others = torch.zeros(1, 64), torch.tensor([-1]), torch.tensor([0])
    (hidden, values), (hidden_swapped, values_swapped) = (
        net.step(others[0], each, *others[1:]) for each in (obs, swapped)
    )
    torch.testing.assert_close(hidden, hidden_swapped)
    of_places = net.fc2(hidden)
    of_enemies, of_swapped = values - of_places, values_swapped - of_places
    torch.testing.assert_close(of_enemies[:, 3:].flip(1), of_swapped[:, 3:], rtol=1e-4, atol=1e-6)
    assert of_enemies[:, 3:].abs().min() > 1e-3
    torch.testing.assert_close(of_enemies[:, :3], torch.zeros(1, 3))


@pytest.mark.parametrize("name", ["3m", "2s3z", "corridor", "corridor:no-fog", "bane_vs_bane", "zerg_5_vs_5"])
def test_rows_of_a_map_are_where_its_observations_hold_enemies(name: str) -> None:
    """An attack is available only on an enemy in sight, whose health is above 0, as is its distance."""
    rows = enemies_to_read("entity", name)
    assert rows is not None
    attacked = 0
    with make_env(name, "sim", n_battles=4, seed=5) as env:
        assert rows.fit(env.spec)
        rng, step = np.random.default_rng(5), env.reset()
        for _ in range(40):
            features = step.obs[..., rows.first : rows.end].reshape(4, -1, rows.n_enemies, rows.width)
            distance, health = features[..., rows.distance], features[..., rows.distance + 3]
            assert ((distance > 0) == (health > 0)).all()
            assert (features[distance == 0] == 0).all()
            fights = features[..., 0] == 1
            assert (distance[fights] > 0).all()
            attacks = step.avail_actions[..., rows.first_attack : rows.first_attack + rows.n_enemies]
            assert (attacks >= fights).all()
            if name != "zerg_5_vs_5":  # where what is in reach may be unknown
                assert (attacks == fights).all()
            attacked += int(fights.sum())
            noise = rng.random(step.avail_actions.shape) * step.avail_actions
            noise[..., rows.first_attack :] *= 3
            step = env.step(noise.argmax(2))
    assert attacked > 0


def test_environments_without_enemies_have_none_to_read() -> None:
    assert enemies_to_read("flat", "corridor") is None
    assert enemy_rows("checkers") is None
    with pytest.raises(InputError, match="--network entity: checkers shows no enemies"):
        enemies_to_read("entity", "checkers")


@pytest.mark.parametrize(
    "numbers", [(-1, 2, 3, 1, 3), (1, 0, 3, 1, 3), (1, 2, 3, 3, 3), (2, 2, 3, 1, 3), (1, 2, 3, 1, 4)]
)
def test_rows_that_an_environment_does_not_have_do_not_fit(numbers: tuple[int, ...]) -> None:
    assert ENEMIES.fit(SPEC)
    assert not EnemyRows(*numbers).fit(SPEC)
