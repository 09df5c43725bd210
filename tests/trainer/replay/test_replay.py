"""Replay keeps whole episodes at their true lengths and packs them without padding."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from tests.trainer.support.learning import pack
from trainer.replay.buffer import ReplayBuffer
from trainer.replay.episode import STORED_ARRAYS, Episode, StoredEpisode, unpack_available
from trainer.replay.segments import ReplaySegments

N, A = 2, 11


def numbered_episode(number: int, length: int) -> Episode:
    """Every value tells which episode, step and agent it belongs to."""
    rng = np.random.default_rng(number)
    steps = np.arange(length + 1, dtype=np.float32)
    obs = (number * 100 + steps)[:, None, None] + np.array([0.25, 0.5], np.float32)[None, :, None]
    return Episode(
        obs=np.repeat(obs, 3, axis=2),
        state=(number * 100 + steps)[:, None],
        avail_actions=rng.random((length + 1, N, A)) < 0.5,
        action=rng.integers(0, A, (length, N)),
        reward=(number * 100 + steps[1:]).astype(np.float32),
        terminated=number % 2 == 0,
        truncated=number % 2 == 1,
        won=False,
    )


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


def test_segments_bring_back_exactly_what_replay_held(tmp_path: Path) -> None:
    replay, segments = ReplayBuffer(4, A), ReplaySegments(tmp_path / "replay")
    for number in range(7):
        replay.insert(numbered_episode(number, number + 1))
        if number in (1, 4, 6):
            segments.append(replay)
            segments.drop(before=replay.inserted - 4, after=replay.inserted)
    assert sorted(path.name for path in (tmp_path / "replay").iterdir()) == [
        "episodes-00000002-00000005.npz",
        "episodes-00000005-00000007.npz",
    ]
    restored, again = ReplayBuffer(4, A), ReplaySegments(tmp_path / "replay")
    again.load(restored, 7)
    assert restored.inserted == 7
    for mine, theirs in zip(restored.episodes_since(0), replay.episodes_since(0), strict=True):
        assert mine.terminated == theirs.terminated
        assert mine.truncated == theirs.truncated
        for name in STORED_ARRAYS:
            assert np.array_equal(getattr(mine, name), getattr(theirs, name))
    one, other = (buffer.sample(np.random.default_rng(3), 4) for buffer in (restored, replay))
    assert (one.obs == other.obs).all()


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


def test_spilled_episodes_are_read_from_their_files(tmp_path: Path) -> None:
    replay, memory = ReplayBuffer(6, A), ReplayBuffer(6, A)
    segments = ReplaySegments(tmp_path / "replay")
    for number in range(9):
        for buffer in (replay, memory):
            buffer.insert(numbered_episode(number, number % 4 + 1))
        if number in (3, 7):
            segments.spill(replay)
            assert replay.memory_bytes == 0
    assert replay.memory_bytes == replay.episodes_since(8)[0].nbytes
    assert replay.nbytes == memory.nbytes
    one, other = (buffer.sample(np.random.default_rng(2), 6) for buffer in (replay, memory))
    assert (one.obs == other.obs).all()
    assert (one.avail_actions == other.avail_actions).all()
    assert (one.last_action == other.last_action).all()


def test_segments_after_the_checkpoint_are_played_again(tmp_path: Path) -> None:
    replay, segments = ReplayBuffer(10, A), ReplaySegments(tmp_path / "replay")
    for number in range(4):
        replay.insert(numbered_episode(number, 2))
        segments.append(replay)
    restored, again = ReplayBuffer(10, A), ReplaySegments(tmp_path / "replay")
    again.load(restored, 3)
    assert len(restored) == 3
    assert len(list((tmp_path / "replay").iterdir())) == 4  # nothing is removed before all is well
    again.drop(before=0, after=3)
    assert len(list((tmp_path / "replay").iterdir())) == 3


def test_a_missing_or_damaged_segment_is_said(tmp_path: Path) -> None:
    replay, segments = ReplayBuffer(10, A), ReplaySegments(tmp_path / "replay")
    for number in range(3):
        replay.insert(numbered_episode(number, 2))
        segments.append(replay)
    middle = tmp_path / "replay" / "episodes-00000001-00000002.npz"
    content = middle.read_bytes()
    middle.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match="damaged"):
        ReplaySegments(tmp_path / "replay").load(ReplayBuffer(10, A), 3)
    middle.unlink()
    with pytest.raises(InputError, match="lacks episodes 1 to 2"):
        ReplaySegments(tmp_path / "replay").load(ReplayBuffer(10, A), 3)
