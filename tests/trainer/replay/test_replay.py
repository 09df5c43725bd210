"""Replay keeps whole episodes at their true lengths and packs them without padding."""

from dataclasses import replace

import numpy as np
import pytest

from envs.errors import InputError
from tests.trainer.support.learning import pack
from tests.trainer.support.numbered import A, N, numbered_episode
from trainer.replay.buffer import ReplayBuffer
from trainer.replay.episode import STORED_ARRAYS, StoredEpisode, unpack_available


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_kept_episode_holds_no_array_of_the_round_it_was_played_in(dtype: str) -> None:
    episode = numbered_episode(1, 4)
    kept = StoredEpisode.store(episode, dtype)
    played = [value for value in vars(episode).values() if isinstance(value, np.ndarray)]
    for name in STORED_ARRAYS:
        assert not any(np.shares_memory(getattr(kept, name), array) for array in played), name


def test_packed_rows_hold_every_step_of_every_episode_once() -> None:
    episodes = [numbered_episode(1, 2), numbered_episode(2, 5), numbered_episode(3, 3)]
    batch = pack(episodes, A)
    assert batch.row_counts == (3, 3, 3, 2, 1, 1)  # lengths 5, 3, 2 have 6, 4 and 3 observations
    assert batch.state[:, 0].tolist() == [200, 300, 100, 201, 301, 101, 202, 302, 102, 203, 303, 204, 205]
    assert batch.reward.tolist() == [201, 301, 101, 202, 302, 102, 203, 303, 204, 205]
    assert batch.terminated.tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 0, 1]  # a time-out does not bootstrap
    assert batch.last_action[:3].tolist() == [[-1, -1]] * 3


def test_now_and_next_rows_belong_together() -> None:
    batch = pack([numbered_episode(n, n) for n in (4, 1, 7, 7)], A)
    assert (batch.next(batch.state) - batch.state[batch.now] == 1).all()
    assert (batch.next(batch.state)[:, 0] == batch.reward).all()


def test_timeouts_bootstrap_on_request() -> None:
    batch = pack([numbered_episode(1, 2)], A, bootstrap_on_timeout=True)
    assert batch.terminated.tolist() == [0, 0]


def test_available_actions_survive_packing() -> None:
    episode = numbered_episode(5, 3)
    bits = StoredEpisode.store(episode, "float32").avail_bits
    assert bits.shape == (4, -(-N * A // 8))
    assert (unpack_available(bits, N, A) == episode.avail_actions).all()
    assert (pack([episode], A).avail_actions.numpy() == episode.avail_actions).all()


def test_what_is_stored_is_no_view_of_the_round_that_was_played() -> None:
    episode = numbered_episode(6, 3)
    stored = StoredEpisode.store(episode, "float32")
    before = {name: getattr(stored, name).copy() for name in STORED_ARRAYS}
    for array in (episode.obs, episode.state, episode.avail_actions, episode.action, episode.reward):
        array[:] = 0
    assert all(np.array_equal(getattr(stored, name), array) for name, array in before.items())


def test_more_actions_than_a_byte_tells_apart_are_refused() -> None:
    assert ReplayBuffer(3, 256).n_actions == 256
    with pytest.raises(InputError, match="at most 256 actions, this environment has 257"):
        ReplayBuffer(3, 257)
    episode = replace(numbered_episode(7, 2), action=np.array([[0, 255], [254, 1]]))
    assert StoredEpisode.store(episode, "float32").action.tolist() == [[0, 255], [254, 1]]


def test_the_oldest_episode_makes_room() -> None:
    replay = ReplayBuffer(3, A)
    for number in range(5):
        replay.insert(numbered_episode(number, 2))
    assert [episode.state[0, 0] for episode in replay.episodes_since(0)] == [200, 300, 400]
    sampled = replay.sample(np.random.default_rng(0), 3)
    assert sorted(sampled.state[:3, 0].tolist()) == [200, 300, 400]


def test_observations_come_back_bit_by_bit_without_room_for_their_zeros() -> None:
    rng = np.random.default_rng(5)
    replay = ReplayBuffer(10, A)
    episodes = [numbered_episode(number, number + 3) for number in range(4)]
    for episode in episodes:
        episode.obs[:] = rng.standard_normal(episode.obs.shape)
        episode.obs[rng.random(episode.obs.shape) < 0.7] = 0
        episode.obs[1, 0] = 0  # a dead agent
        replay.insert(episode)
    for stored, episode in zip(replay.episodes_since(0), episodes, strict=True):
        assert np.array_equal(stored.obs, episode.obs)
        assert stored.obs_values.size == np.count_nonzero(episode.obs)
    sampled, plain = replay.sample(np.random.default_rng(1), 4), pack(episodes, A)
    order = np.argsort(sampled.state[:4, 0].numpy())
    assert np.array_equal(sampled.obs[:4].numpy()[order], plain.obs[:4].numpy()[::-1])
    assert sampled.obs.numpy().sum() == pytest.approx(plain.obs.numpy().sum(), rel=1e-5)


def test_half_precision_takes_half_the_room_and_rounds() -> None:
    whole, half = ReplayBuffer(10, A), ReplayBuffer(10, A, dtype="float16")
    for number in range(3):
        episode = numbered_episode(0, 5 + number)
        episode.obs[:] = np.random.default_rng(number).uniform(-1, 1, episode.obs.shape)
        whole.insert(episode)
        half.insert(episode)
    one, other = (buffer.sample(np.random.default_rng(0), 3) for buffer in (whole, half))
    assert other.obs.dtype == one.obs.dtype
    assert 0 < (one.obs - other.obs).abs().max() < 5e-4
    features, halved = (
        sum(e.obs_values.nbytes + e.state.nbytes for e in b.episodes_since(0)) for b in (whole, half)
    )
    assert features == 2 * halved


def test_half_precision_refuses_what_would_be_infinite_and_keeps_nothing_of_it() -> None:
    replay = ReplayBuffer(10, A, dtype="float16")
    for name in ("obs", "state"):
        odd = numbered_episode(2, 3)
        getattr(odd, name)[0, 0] = 70_000
        with pytest.raises(InputError, match="70000, which --replay-dtype float16 cannot hold"):
            replay.insert(numbered_episode(1, 3), odd)
        assert len(replay) == 0
    ReplayBuffer(10, A).insert(odd)
