"""Replay on disk comes back exactly, takes few descriptors, and damage is told from bad luck."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from tests.trainer.support.numbered import A, numbered_episode
from trainer.replay.buffer import ReplayBuffer
from trainer.replay.episode import STORED_ARRAYS, KeptEpisode
from trainer.replay.segments import ReplaySegments, write_segment


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


def test_spilling_opens_no_more_files_however_many_rounds(tmp_path: Path) -> None:
    replay, segments = ReplayBuffer(200, A), ReplaySegments(tmp_path / "replay")
    replay.insert(numbered_episode(0, 2))
    segments.spill(replay)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(1, 150):
        replay.insert(numbered_episode(number, 2))
        segments.spill(replay)
        replay.sample(np.random.default_rng(number), len(replay))
    assert replay.memory_bytes == 0
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_spilling_reads_nothing_that_was_spilled_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay, segments = ReplayBuffer(200, A), ReplaySegments(tmp_path / "replay")
    moved: list[int] = []
    move = ReplayBuffer.move

    def counted(buffer: ReplayBuffer, number: int, episode: KeptEpisode) -> None:
        moved.append(number)
        move(buffer, number, episode)

    monkeypatch.setattr(ReplayBuffer, "move", counted)
    for number in range(50):
        replay.insert(numbered_episode(number, 2))
        segments.spill(replay)
    assert moved == list(range(50))


def test_what_does_not_fit_in_memory_is_not_loaded_into_it(tmp_path: Path) -> None:
    replay, segments = ReplayBuffer(20, A), ReplaySegments(tmp_path / "replay")
    for number in range(24):
        replay.insert(numbered_episode(number, number % 4 + 1))
        segments.append(replay)
    one = replay.episodes_since(23)[0].nbytes
    restored = ReplayBuffer(20, A)
    ReplaySegments(tmp_path / "replay").load(restored, 24, memory_bytes=3 * one)
    assert restored.memory_bytes <= 3 * one
    assert any(episode.on_disk for episode in restored.episodes_since(0))
    samples = [buffer.sample(np.random.default_rng(2), 20) for buffer in (replay, restored)]
    assert (samples[0].obs == samples[1].obs).all()
    assert (samples[0].reward == samples[1].reward).all()


def test_long_replay_is_written_in_parts_and_each_part_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.replay.segments.SEGMENT_BYTES", 300)
    replay, segments = ReplayBuffer(20, A), ReplaySegments(tmp_path / "replay")
    replay.insert(*(numbered_episode(number, 3) for number in range(10)))
    write, calls = write_segment, 0

    def fills_up(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == 3:
            raise OSError(28, "No space left on device")
        return write(*args)

    monkeypatch.setattr("trainer.replay.segments.write_segment", fills_up)
    with pytest.raises(OSError, match="No space"):
        segments.spill(replay)
    assert 0 < segments.saved < 10
    assert [episode.on_disk for episode in replay.episodes_since(0)] == [
        n < segments.saved for n in range(10)
    ]
    segments.spill(replay)
    assert replay.memory_bytes == 0
    restored = ReplayBuffer(20, A)
    ReplaySegments(tmp_path / "replay").load(restored, 10)
    assert len(restored) == 10


@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_segment_is_refused_in_one_sentence_or_read(tmp_path: Path, data: st.DataObject) -> None:
    folder = tmp_path / "replay"
    path = folder / "episodes-00000000-00000003.npz"
    if not path.exists():
        replay, segments = ReplayBuffer(10, A), ReplaySegments(folder)
        replay.insert(*(numbered_episode(number, number + 2) for number in range(3)))
        segments.append(replay)
        (tmp_path / "sound").write_bytes(path.read_bytes())
    content = bytearray((tmp_path / "sound").read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] = data.draw(st.integers(0, 255))
    path.write_bytes(
        content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content
    )
    restored = ReplayBuffer(10, A)
    with contextlib.suppress(InputError):
        ReplaySegments(folder).load(restored, 3)
        restored.sample(np.random.default_rng(0), 3)


@pytest.mark.parametrize(
    "change",
    [
        {"obs_counts": lambda counts: counts + np.array([1, -1, *[0] * 10], np.int32)},
        {"obs_counts": lambda counts: -counts},
        {"obs_values": lambda values: values[:-1]},
        {"action": lambda action: action + 200},
        {"length": lambda lengths: lengths[::-1] - 1},
        {"obs_dim": lambda dim: dim + 40},
        {"state": lambda state: state.astype(np.int32)},
        {"won": lambda won: won[:-1]},
    ],
)
def test_arrays_that_do_not_fit_each_other_are_refused(tmp_path: Path, change: dict[str, Any]) -> None:
    folder = tmp_path / "replay"
    replay, segments = ReplayBuffer(10, A), ReplaySegments(folder)
    replay.insert(*(numbered_episode(number, number + 2) for number in range(3)))
    segments.append(replay)
    (path,) = folder.iterdir()
    with np.load(path) as file:
        arrays = {name: file[name] for name in file.files}
    for name, changed in change.items():
        arrays[name] = changed(arrays[name])
    np.savez(path, **arrays)
    with pytest.raises(InputError, match="is damaged"):
        ReplaySegments(folder).load(ReplayBuffer(10, A), 3)


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replay, segments = ReplayBuffer(10, A), ReplaySegments(tmp_path / "replay")
    replay.insert(numbered_episode(0, 2))
    segments.append(replay)

    def too_many_files(*args: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("os.open", too_many_files)
    with pytest.raises(OSError, match="Too many open files"):
        ReplaySegments(tmp_path / "replay").load(ReplayBuffer(10, A), 1)
