"""Networks per agent type: who shares with whom, how many numbers that is, and where it is refused."""

import copy

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.make import env_spec
from envs.types import EnemyRows
from tests.trainer.support.learning import pack, settings
from tests.trainer.support.slow_reading import ENEMIES, SPEC, TYPES, random_episode
from trainer.learning.algorithms import ALGORITHMS, make_learner, types_to_split
from trainer.learning.lan import LanLearner
from trainer.learning.networks import AdvantageNetPerType, ValueNet, count_parameters

CPU = torch.device("cpu")


def typed_learner(seed: int) -> LanLearner:
    torch.manual_seed(seed)
    return LanLearner(SPEC, settings(), CPU, agent_types=TYPES)


def test_an_agent_reads_the_network_of_its_own_type_alone() -> None:
    learner = typed_learner(1)
    net = learner.advantage
    assert isinstance(net, AdvantageNetPerType)
    batch = pack([random_episode(np.random.default_rng(1), 6)], SPEC.n_actions)
    _, before = net.unroll(batch)
    for parameter in net.nets["archer"].parameters():
        parameter.data += 0.1
    _, after = net.unroll(batch)
    assert torch.equal(before[:, [0, 2]], after[:, [0, 2]])
    assert (before[:, 1] != after[:, 1]).all()


def test_rows_of_any_agents_in_any_order_may_be_asked_at_once() -> None:
    net = typed_learner(2).advantage
    rng = torch.Generator().manual_seed(2)
    ids = torch.tensor([2, 1, 1, 0, 2])
    hidden, obs = torch.randn(5, 64, generator=rng), torch.randn(5, SPEC.obs_dim, generator=rng)
    last = torch.tensor([-1, 0, 3, 2, 4])
    together = net.step(hidden, obs, last, ids)
    for row in range(5):
        alone = net.step(*(x[row : row + 1] for x in (hidden, obs, last, ids)))
        for one, of_all in zip(alone, together, strict=True):
            torch.testing.assert_close(one[0], of_all[row], rtol=1e-5, atol=1e-6)


def test_one_type_given_by_name_computes_what_sharing_by_all_computes() -> None:
    shared = LanLearner(SPEC, settings(), CPU)
    typed = LanLearner(SPEC, settings(), CPU, agent_types=("agent",) * 3)
    state = shared.advantage.state_dict()
    typed.advantage.load_state_dict({f"nets.agent.{name}": tensor for name, tensor in state.items()})
    state = shared.value.state_dict()
    typed.value.load_state_dict({name.replace("embed.", "embed.agent."): x for name, x in state.items()})
    for name in ("advantage", "value"):
        typed.targets[name].load_state_dict(typed.parts[name].state_dict())
        shared.targets[name].load_state_dict(shared.parts[name].state_dict())
    batch = pack([random_episode(np.random.default_rng(3), 6)], SPEC.n_actions)
    assert torch.equal(shared.loss(batch)[0], typed.loss(batch)[0])


def test_a_split_learner_continues_exactly_from_its_state() -> None:
    one, other = typed_learner(4), typed_learner(5)
    rng = np.random.default_rng(4)
    batches = [pack([random_episode(rng, 5)], SPEC.n_actions) for _ in range(4)]
    for batch in batches[:2]:
        one.update(batch)
    other.load_state_dict(copy.deepcopy(one.state_dict()))
    for batch in batches[2:]:
        assert torch.equal(one.update(batch)["loss"], other.update(batch)["loss"])


def test_parts_of_a_batch_on_two_threads_give_the_gradients_of_the_whole() -> None:
    whole = typed_learner(6)
    torch.manual_seed(6)
    parted = LanLearner(SPEC, settings(threads=2), CPU, agent_types=TYPES)
    rng = np.random.default_rng(6)
    batch = pack([random_episode(rng, n) for n in (4, 9, 6)], SPEC.n_actions)
    results = [learner.update(batch)["grad_norm"] for learner in (whole, parted)]
    torch.testing.assert_close(*results, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "n_types"), [("2s3z", 2), ("MMM2", 3), ("1c3s5z", 3), ("bane_vs_bane", 2)])
def test_there_is_one_advantage_network_and_one_embedding_per_type(name: str, n_types: int) -> None:
    spec = env_spec(name)
    shared, split = (
        make_learner("lan", spec, settings(), CPU, types_to_split(sharing, name)).parameter_counts()
        for sharing in ("all", "type")
    )
    embedding = (64 + spec.obs_dim + spec.n_actions + spec.n_agents) * 128 + 128
    assert split["advantage"] == n_types * shared["advantage"]
    assert split["value"] == shared["value"] + (n_types - 1) * embedding


@pytest.mark.parametrize("enemies", [None, ENEMIES])
@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_learns_with_networks_per_type(algorithm: str, enemies: EnemyRows | None) -> None:
    torch.manual_seed(7)
    learner = make_learner(algorithm, SPEC, settings(), CPU, TYPES, enemies)
    before = [parameter.detach().clone() for parameter in learner.advantage.parameters()]
    rng = np.random.default_rng(7)
    learner.update(pack([random_episode(rng, n) for n in (9, 9, 9, 9)], SPEC.n_actions))
    assert all(not torch.equal(a, b) for a, b in zip(before, learner.advantage.parameters(), strict=True))
    assert count_parameters(learner.advantage) == learner.parameter_counts()["advantage"]


def test_the_state_dict_holds_parameters_and_nothing_else() -> None:
    learner = typed_learner(8)
    for net in (learner.advantage, learner.value):
        assert sum(tensor.numel() for tensor in net.state_dict().values()) == count_parameters(net)
    assert isinstance(learner.value, ValueNet)
    assert {name.split(".")[1] for name in learner.advantage.state_dict()} == {"knight", "archer"}


@pytest.mark.parametrize(
    ("environment", "says"),
    [
        ("3m", "all agents of 3m are of one type, marine"),
        ("corridor:no-fog", "of one type, zealot"),
        ("checkers", "the agents of checkers have no types"),
        ("spread:3", "have no types"),
        ("terran_10_vs_11", "of other types in every episode"),
        ("zerg_5_vs_5:no-fog", "of other types in every episode"),
    ],
)
def test_where_there_is_nothing_to_split_sharing_by_type_is_refused(environment: str, says: str) -> None:
    assert types_to_split("all", environment) is None
    with pytest.raises(InputError, match=says):
        types_to_split("type", environment)
