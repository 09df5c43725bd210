"""The fast learner against a slow, obvious reading of the paper: padded, one step at a time, one-hots."""

import copy

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from envs.types import EnemyRows, EnvSpec
from tests.trainer.support.learning import pack, settings
from tests.trainer.support.slow_reading import (
    ENEMIES,
    SPEC,
    TYPES,
    one_hot_inputs,
    random_episode,
    slow_advantages,
    slow_targets,
)
from trainer.learning.algorithms import make_learner
from trainer.learning.lan import LanLearner, lan_loss
from trainer.learning.learner import LearnerSettings
from trainer.learning.networks import ValueNet
from trainer.replay.episode import Episode

NETWORKS = [(None, None), (TYPES, None), (None, ENEMIES), (TYPES, ENEMIES)]


def slow_values(net: ValueNet, hidden: torch.Tensor, episode: Episode) -> torch.Tensor:
    """V [L + 1] of one episode, agent by agent."""
    values = []
    for t in range(episode.length + 1):
        last = torch.from_numpy(episode.action[t - 1]) if t else torch.full((SPEC.n_agents,), -1)
        inputs = torch.cat((hidden[t], one_hot_inputs(torch.from_numpy(episode.obs[t]), last)), dim=1)
        seen = []
        if net.embed is not None:
            by_type = isinstance(net.embed, torch.nn.ModuleDict)
            embeds = [net.embed[kind] if by_type else net.embed for kind in TYPES]
            seen.append(sum(F.relu(embeds[a](inputs[a])) for a in range(SPEC.n_agents)))
        if net.sees != "history":
            seen.append(torch.from_numpy(episode.state[t]))
        x = torch.cat(seen)
        values.append(net.fc3(F.relu(net.fc2(F.relu(net.fc1(x))))).squeeze())
    return torch.stack(values)


def slow_loss(learner: LanLearner, episodes: list[Episode], *, bootstrap_on_timeout: bool) -> torch.Tensor:
    errors = []
    for episode in episodes:
        hidden, adv = slow_advantages(learner.advantage, episode)
        through = hidden if learner.settings.value_gradient_to_gru else hidden.detach()
        value = slow_values(learner.value, through, episode)
        with torch.no_grad():
            target_hidden, target_adv = slow_advantages(learner.targets["advantage"], episode)
            target_value = slow_values(learner.targets["value"], target_hidden, episode)
        avail = episode.avail_actions
        q_next = []
        for t in range(1, episode.length + 1):
            best = [
                max(
                    (u for u in range(SPEC.n_actions) if avail[t, a, u]),
                    key=lambda u: adv[t, a, u].item(),
                )
                for a in range(SPEC.n_agents)
            ]
            q_next.append(target_value[t] + torch.stack([target_adv[t, a, u] for a, u in enumerate(best)]))
        told, ends = learner.settings, episode.terminated or not bootstrap_on_timeout
        targets = slow_targets(episode.reward.tolist(), q_next, told.gamma, told.td_lambda, ends=ends)
        for t, y in enumerate(targets):
            errors += [
                (value[t] + adv[t, a, int(episode.action[t, a])] - y[a]) ** 2 for a in range(SPEC.n_agents)
            ]
    return torch.stack(errors).mean()


@pytest.mark.parametrize("bootstrap_on_timeout", [False, True])
@pytest.mark.parametrize("value_gradient_to_gru", [True, False])
@pytest.mark.parametrize(("agent_types", "enemies"), NETWORKS)
@pytest.mark.parametrize("td_lambda", [0.0, 0.7, 1.0])
def test_loss_and_gradients_equal_the_slow_reading(
    bootstrap_on_timeout: bool,
    value_gradient_to_gru: bool,
    agent_types: tuple[str, ...] | None,
    enemies: EnemyRows | None,
    td_lambda: float,
) -> None:
    told = settings(value_gradient_to_gru=value_gradient_to_gru, td_lambda=td_lambda)
    check_against_the_slow_reading(told, agent_types, enemies, bootstrap_on_timeout=bootstrap_on_timeout)


@pytest.mark.parametrize("value_input", ["state", "history"])
@pytest.mark.parametrize("agent_types", [None, TYPES])
def test_a_value_that_sees_less_equals_the_slow_reading(
    value_input: str, agent_types: tuple[str, ...] | None
) -> None:
    told = settings(value_input=value_input, td_lambda=0.7)
    learner = check_against_the_slow_reading(told, agent_types, None, bootstrap_on_timeout=False)
    sizes = {"state": SPEC.state_dim, "history": 128}
    assert learner.value.fc1.in_features == sizes[value_input]
    assert (learner.value.embed is None) == (value_input == "state"), "no weights that see nothing"


def check_against_the_slow_reading(
    told: LearnerSettings,
    agent_types: tuple[str, ...] | None,
    enemies: EnemyRows | None,
    *,
    bootstrap_on_timeout: bool,
) -> LanLearner:
    """Loss and gradients of one batch with networks drawn for it; the learner."""
    torch.manual_seed(1)
    rng = np.random.default_rng(1)
    episodes = [random_episode(rng, n, truncated=n == 9) for n in (4, 9, 1, 6, 9)]
    learner = LanLearner(SPEC, told, torch.device("cpu"), agent_types=agent_types, enemies=enemies)
    for net in learner.targets.values():  # targets that differ from the online nets
        for parameter in net.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)

    batch = pack(episodes, SPEC.n_actions, bootstrap_on_timeout=bootstrap_on_timeout)
    loss, _ = learner.loss(batch)
    gradients = torch.autograd.grad(loss, learner.parameters)
    expected = slow_loss(learner, episodes, bootstrap_on_timeout=bootstrap_on_timeout)
    expected_gradients = torch.autograd.grad(expected, learner.parameters)

    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    for gradient, reference in zip(gradients, expected_gradients, strict=True):
        scale = float(reference.abs().max())
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-5 * scale)
    return learner


def test_loss_by_hand() -> None:
    y = torch.tensor([[2.5, 3.0], [2.0, 2.0]], requires_grad=True)
    loss = lan_loss(torch.tensor([[1.0, 2.0], [0.0, 0.0]], requires_grad=True), y)
    assert loss.item() == pytest.approx((2.25 + 1 + 4 + 4) / 4)
    loss.backward()  # type: ignore[no-untyped-call]
    assert y.grad is None, "targets must not learn"


@pytest.mark.parametrize(("agent_types", "enemies"), NETWORKS)
def test_acting_step_by_step_gives_what_the_unrolled_network_gives(
    agent_types: tuple[str, ...] | None, enemies: EnemyRows | None
) -> None:
    torch.manual_seed(2)
    episode = random_episode(np.random.default_rng(2), 8)
    learner = LanLearner(SPEC, settings(), torch.device("cpu"), agent_types=agent_types, enemies=enemies)
    net = learner.advantage
    hidden, last = torch.zeros(3, 64), torch.full((3,), -1)
    _, unrolled = net.unroll(pack([episode], SPEC.n_actions))
    for t in range(episode.length + 1):
        hidden, advantages = net.step(hidden, torch.from_numpy(episode.obs[t]), last, torch.arange(3))
        torch.testing.assert_close(advantages, unrolled[t], rtol=1e-5, atol=1e-6)
        if t < episode.length:
            last = torch.from_numpy(episode.action[t])


def test_targets_are_copied_every_interval() -> None:
    torch.manual_seed(3)
    learner = LanLearner(SPEC, settings(target_update_interval=3), torch.device("cpu"))
    batch = pack([random_episode(np.random.default_rng(3), 5)], SPEC.n_actions)
    before = learner.targets["advantage"].fc2.weight.clone()
    learner.update(batch)
    learner.update(batch)
    assert torch.equal(learner.targets["advantage"].fc2.weight, before)
    learner.update(batch)
    assert torch.equal(learner.targets["advantage"].fc2.weight, learner.advantage.fc2.weight)
    assert not torch.equal(learner.targets["advantage"].fc2.weight, before)


@pytest.mark.parametrize("algorithm", ["lan", "qmix"])
def test_targets_that_follow_take_a_share_of_every_update_and_are_deployed(algorithm: str) -> None:
    torch.manual_seed(3)
    told = settings(target_update_interval=1, target_tau=0.25)
    learner = make_learner(algorithm, SPEC, told, torch.device("cpu"))
    batch = pack([random_episode(np.random.default_rng(3), 5)], SPEC.n_actions)
    before = {name: copy.deepcopy(target) for name, target in learner.targets.items()}
    learner.update(batch)
    for name, target in learner.targets.items():
        for old, new, now in zip(
            before[name].parameters(), learner.parts[name].parameters(), target.parameters(), strict=True
        ):
            assert not torch.equal(old, new)
            torch.testing.assert_close(now, 0.75 * old + 0.25 * new)
    assert learner.deployed is learner.targets["advantage"]
    assert learner.state_dict()["deployed"] == "target_advantage"


def test_value_network_grows_with_the_team_only_through_input_widths() -> None:
    small, large = (EnvSpec("x", n, 5, 7, 4, 2, 9) for n in (3, 30))
    learners = [LanLearner(spec, settings(), torch.device("cpu")) for spec in (small, large)]
    counts = [learner.parameter_counts()["value"] for learner in learners]
    assert counts[1] - counts[0] == 27 * 128  # the wider id, nothing else
