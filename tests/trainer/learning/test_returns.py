"""The targets of learning: by hand, against their definition, and where episodes of a batch end."""

import numpy as np
import pytest
import torch

from tests.trainer.support.learning import pack
from tests.trainer.support.slow_reading import SPEC, random_episode, slow_targets
from trainer.learning.returns import lambda_returns
from trainer.replay.episode import Episode


def ragged(seed: int) -> list[Episode]:
    rng = np.random.default_rng(seed)
    return [random_episode(rng, n, truncated=n == 9) for n in (9, 9, 6, 3, 1)]


def by_episode(values: torch.Tensor, episodes: list[Episode]) -> list[torch.Tensor]:
    """[K, ...] packed time-major, longest first -> the rows of each episode; the same lengths keep order."""
    rows: list[list[torch.Tensor]] = [[] for _ in episodes]
    k = 0
    for t in range(max(e.length for e in episodes)):
        for e, episode in enumerate(episodes):
            if t < episode.length:
                rows[e].append(values[k])
                k += 1
    assert k == len(values)
    return [torch.stack(own) for own in rows]


@pytest.mark.parametrize("bootstrap_on_timeout", [False, True])
@pytest.mark.parametrize("td_lambda", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("per_agent", [False, True])
def test_returns_of_ragged_episodes_equal_the_slow_reading(
    per_agent: bool, td_lambda: float, bootstrap_on_timeout: bool
) -> None:
    episodes = ragged(1)
    batch = pack(episodes, SPEC.n_actions, bootstrap_on_timeout=bootstrap_on_timeout)
    torch.manual_seed(1)
    q_next = torch.randn(len(batch.reward), *([SPEC.n_agents] if per_agent else []))
    kept = q_next.clone()
    y = lambda_returns(q_next, batch, 0.9, td_lambda)
    assert torch.equal(q_next, kept)
    for own, own_next, episode in zip(
        by_episode(y, episodes), by_episode(q_next, episodes), episodes, strict=True
    ):
        ends = episode.terminated or not bootstrap_on_timeout
        expected = slow_targets(episode.reward.tolist(), list(own_next), 0.9, td_lambda, ends=ends)
        torch.testing.assert_close(own, torch.stack(expected), rtol=1e-5, atol=1e-6)


def test_lambda_0_is_the_one_step_target_to_the_last_bit() -> None:
    batch = pack(ragged(2), SPEC.n_actions)
    q_next = torch.randn(len(batch.reward), SPEC.n_agents, generator=torch.Generator().manual_seed(2))
    expected = batch.reward[:, None] + 0.99 * (1 - batch.terminated)[:, None] * q_next
    assert torch.equal(lambda_returns(q_next, batch, 0.99, 0.0), expected)


def test_lambda_1_is_the_discounted_sum_of_rewards_by_hand() -> None:
    episode = random_episode(np.random.default_rng(3), 3)
    episode.reward[:] = (1.0, 2.0, 4.0)
    batch = pack([episode], SPEC.n_actions)
    y = lambda_returns(torch.full((3,), 100.0), batch, 0.5, 1.0)
    assert y.tolist() == [1 + 0.5 * 2 + 0.25 * 4, 2 + 0.5 * 4, 4]


def test_between_them_it_is_a_mixture_by_hand() -> None:
    episode = random_episode(np.random.default_rng(4), 2)
    episode.reward[:] = (1.0, 2.0)
    batch = pack([episode], SPEC.n_actions)
    y = lambda_returns(torch.tensor([8.0, 100.0]), batch, 0.5, 0.25)
    assert y.tolist() == [1 + 0.5 * (0.75 * 8 + 0.25 * 2), 2]
