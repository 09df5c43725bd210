"""The baselines' learner against a slow reading of their definitions, on ragged episodes with time-outs."""

import copy

import numpy as np
import pytest
import torch

from tests.trainer.support.learning import pack, settings
from tests.trainer.support.slow_reading import SPEC, random_episode, slow_advantages, slow_targets
from trainer.learning.algorithms import make_learner
from trainer.learning.qlearner import QLearner
from trainer.replay.episode import Episode

A, N = SPEC.n_actions, SPEC.n_agents


def full_state(episode: Episode, t: int) -> torch.Tensor:
    """The state with every agent's last action behind it."""
    last = np.eye(A, dtype=np.float32)[episode.action[t - 1]].ravel() if t else np.zeros(N * A, np.float32)
    return torch.from_numpy(np.concatenate((episode.state[t], last)))


def slow_loss(learner: QLearner, episodes: list[Episode]) -> torch.Tensor:
    errors, penalties = [], []
    for episode in episodes:
        _, q = slow_advantages(learner.advantage, episode)
        with torch.no_grad():
            _, target_q = slow_advantages(learner.targets["advantage"], episode)
        avail = torch.from_numpy(episode.avail_actions)
        available_q = q.detach().masked_fill(~avail, -np.inf)
        available_target = target_q.masked_fill(~avail, -np.inf)
        values, values_next = [], []
        for t in range(episode.length):
            action = torch.from_numpy(episode.action[t])
            best = available_q[t + 1].argmax(1)
            q_now = torch.stack([q[t, a, action[a]] for a in range(N)])
            q_next = torch.stack([target_q[t + 1, a, best[a]] for a in range(N)])
            if learner.sums:
                q_now, q_next = q_now.sum()[None], q_next.sum()[None]
            if learner.mixer is not None:
                maxima, target_maxima = available_q[t].max(1).values, available_target[t + 1].max(1).values
                state, state_next = full_state(episode, t)[None], full_state(episode, t + 1)[None]
                q_now, penalty = learner.mixer(q_now[None], maxima[None], action[None], state)
                with torch.no_grad():
                    q_next, _ = learner.targets["mixer"](
                        q_next[None], target_maxima[None], best[None], state_next
                    )
                penalties.append(penalty)
            values.append(q_now)
            values_next.append(q_next)
        told = learner.settings  # a time-out ends the future as well
        targets = slow_targets(episode.reward.tolist(), values_next, told.gamma, told.td_lambda, ends=True)
        errors += [(value - y) ** 2 for value, y in zip(values, targets, strict=True)]
    loss = torch.cat(errors).mean()
    padded_steps = len(episodes) * max(episode.length for episode in episodes)
    return loss + torch.stack(penalties).sum() / padded_steps if penalties else loss


@pytest.mark.parametrize("algorithm", ["iql", "vdn", "qmix", "qplex"])
@pytest.mark.parametrize("td_lambda", [0.0, 0.7])
def test_loss_and_gradients_equal_the_slow_reading(algorithm: str, td_lambda: float) -> None:
    torch.manual_seed(4)
    rng = np.random.default_rng(4)
    episodes = [random_episode(rng, n, truncated=n == 9) for n in (3, 9, 1, 6, 9)]
    learner = make_learner(
        algorithm, SPEC, settings(optimizer="rmsprop", td_lambda=td_lambda), torch.device("cpu")
    )
    assert isinstance(learner, QLearner)
    for net in learner.targets.values():
        for parameter in net.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)

    loss, _ = learner.loss(pack(episodes, A))
    expected = slow_loss(learner, episodes)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=1e-6)
    gradients = torch.autograd.grad(loss, learner.parameters)
    references = torch.autograd.grad(expected, learner.parameters)
    # A small gradient may be a sum of large terms, each rounded as a float32 is.
    rounding = torch.finfo(torch.float32).eps * max(float(reference.abs().max()) for reference in references)
    for gradient, reference in zip(gradients, references, strict=True):
        scale = float(reference.abs().max())
        torch.testing.assert_close(gradient, reference, rtol=1e-5, atol=1e-5 * scale + rounding)


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize("algorithm", ["lan", "lan-mean", "iql", "vdn", "qmix", "qplex"])
def test_a_batch_in_parts_gives_the_same_step(algorithm: str, threads: int) -> None:
    rng = np.random.default_rng(5)
    batch = pack([random_episode(rng, n, truncated=n == 9) for n in (3, 9, 1, 6, 9)], A)
    parts = batch.shards(threads)
    assert [part.n_episodes for part in parts] == ([3, 2] if threads == 2 else [2, 2, 1])
    assert sum(part.n_rows for part in parts) == batch.n_rows
    learners = []
    for n in (1, threads, threads):
        torch.manual_seed(0)
        learners.append(make_learner(algorithm, SPEC, settings(threads=n), torch.device("cpu")))
    assert all(part.filled == batch.filled == 28 / 45 for part in parts)
    whole, in_parts, again = (learner.update(batch) for learner in learners)
    for name, value in whole.items():
        torch.testing.assert_close(in_parts[name], value, rtol=1e-5, atol=1e-6)
        assert torch.equal(in_parts[name], again[name])  # threads end in any order, sums do not
    for p, q in zip(learners[0].parameters, learners[1].parameters, strict=True):
        assert p.grad is not None
        assert q.grad is not None
        torch.testing.assert_close(q.grad, p.grad, rtol=1e-5, atol=1e-5 * float(p.grad.abs().max()) + 1e-9)


@pytest.mark.parametrize("algorithm", ["lan", "lan-mean", "iql", "vdn", "qmix", "qplex"])
def test_every_learner_continues_from_its_saved_state(algorithm: str) -> None:
    batch = pack([random_episode(np.random.default_rng(seed), 5) for seed in range(4)], A)
    told = settings(target_update_interval=2, optimizer="rmsprop" if algorithm == "vdn" else "adam")
    torch.manual_seed(0)
    learner, other = (make_learner(algorithm, SPEC, told, torch.device("cpu")) for _ in range(2))
    for _ in range(3):
        learner.update(batch)
    other.load_state_dict(copy.deepcopy(learner.state_dict()))
    assert other.updates == 3
    for _ in range(3):
        one, two = learner.update(batch), other.update(batch)
        assert torch.equal(one["loss"], two["loss"])
    assert all(torch.equal(p, q) for p, q in zip(learner.parameters, other.parameters, strict=True))


def test_lan_mean_is_lan_with_the_mean_taken_out() -> None:
    torch.manual_seed(0)
    lan, lan_mean = (
        make_learner(name, SPEC, settings(), torch.device("cpu")) for name in ("lan", "lan-mean")
    )
    lan_mean.load_state_dict(lan.state_dict())
    batch = pack([random_episode(np.random.default_rng(1), 6)], A)
    assert not torch.isclose(lan.loss(batch)[0], lan_mean.loss(batch)[0])
    for net in (lan.advantage, lan.targets["advantage"]):  # make the mean over actions zero by hand
        layer = net.fc2
        layer.weight.data -= layer.weight.data.mean(0, keepdim=True)
        layer.bias.data -= layer.bias.data.mean()
    lan_mean.load_state_dict(lan.state_dict())
    torch.testing.assert_close(lan.loss(batch)[0], lan_mean.loss(batch)[0], rtol=1e-5, atol=1e-7)
