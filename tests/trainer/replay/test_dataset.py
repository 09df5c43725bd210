"""Battles as data: written in rounds, read back step by step, and damaged files refused."""

from __future__ import annotations

import json
import tempfile
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.types import EnvSpec
from trainer.replay.dataset import ABOUT, DatasetWriter, array_rows, open_dataset
from trainer.replay.episode import Episode

SPEC = EnvSpec("small", n_agents=2, n_actions=3, obs_dim=4, state_dim=5, unit_dim=2, episode_limit=9)
ABOUT_TEST: dict[str, Any] = {"player": "a test", "seed": 3}


def episode(rng: np.random.Generator, length: int, *, terminated: bool) -> Episode:
    N, A, O, S = SPEC.n_agents, SPEC.n_actions, SPEC.obs_dim, SPEC.state_dim
    return Episode(
        obs=rng.random((length + 1, N, O), np.float32),
        state=rng.random((length + 1, S), np.float32),
        avail_actions=rng.random((length + 1, N, A)) < 0.5,
        action=rng.integers(A, size=(length, N)),
        reward=rng.random(length, np.float32),
        terminated=terminated,
        truncated=not terminated,
        won=terminated,
    )


def some_episodes(seed: int = 0) -> list[Episode]:
    rng = np.random.default_rng(seed)
    return [episode(rng, length, terminated=length != 9) for length in (3, 9, 1, 5)]


def write(path: Path, episodes: list[Episode]) -> Path:
    with DatasetWriter(path, SPEC, ABOUT_TEST) as writer:
        for one in episodes:
            writer.add([one])
    return path


def test_episodes_come_back_as_they_were(tmp_path: Path) -> None:
    episodes = some_episodes()
    path = write(tmp_path / "a.npz", episodes)
    with open_dataset(path) as dataset:
        again = list(dataset.episodes())
        assert dataset.spec == SPEC
        assert {name: dataset.about[name] for name in ABOUT_TEST} == ABOUT_TEST
    assert len(again) == len(episodes)
    for one, other in zip(episodes, again, strict=True):
        for name, value in vars(one).items():
            np.testing.assert_array_equal(getattr(other, name), value)
            assert np.asarray(getattr(other, name)).dtype == np.asarray(value).dtype
    assert list(tmp_path.iterdir()) == [path]  # nothing else was left there


def test_the_arrays_are_a_vaults(tmp_path: Path) -> None:
    episodes = some_episodes()
    with open_dataset(write(tmp_path / "a.npz", episodes)) as dataset:
        experience, lengths = dataset.experience(), dataset["episodes/length_steps"]
    infos = experience.pop("infos")
    T, N = 18, SPEC.n_agents
    assert {name: array.shape for name, array in experience.items()} == {
        "observations": (1, T, N, 4),
        "actions": (1, T, N),
        "rewards": (1, T, N),
        "terminals": (1, T, N),
        "truncations": (1, T, N),
    }
    assert (infos["state"].shape, infos["legals"].shape) == ((1, T, 5), (1, T, N, 3))
    ends = (np.cumsum(lengths) - 1).tolist()
    assert np.flatnonzero(experience["terminals"][0, :, 0]).tolist() == [ends[0], ends[2], ends[3]]
    assert np.flatnonzero(experience["truncations"][0, :, 1]).tolist() == [ends[1]]
    assert (experience["rewards"][0, :, 0] == experience["rewards"][0, :, 1]).all()


def test_equal_battles_give_equal_files(tmp_path: Path) -> None:
    first, second = (write(tmp_path / name, some_episodes()).read_bytes() for name in ("a.npz", "b.npz"))
    assert first == second
    assert first != write(tmp_path / "c.npz", some_episodes(seed=1)).read_bytes()


def test_memory_holds_one_round_at_a_time(tmp_path: Path) -> None:
    one = episode(np.random.default_rng(0), 2_000, terminated=True)  # a third of a megabyte
    tracemalloc.start()
    with DatasetWriter(tmp_path / "a.npz", SPEC, {}) as writer:
        for _ in range(100):
            writer.add([one])
        peak_bytes = tracemalloc.get_traced_memory()[1]
    peak_bytes = max(peak_bytes, tracemalloc.get_traced_memory()[1])
    tracemalloc.stop()
    assert peak_bytes < 4_000_000
    with np.load(tmp_path / "a.npz") as arrays:
        assert sum(arrays[name].nbytes for name in arrays) > 15_000_000


def test_what_was_added_is_written_however_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"

    def interrupted() -> None:
        with DatasetWriter(path, SPEC, {}) as writer:
            writer.add(some_episodes()[:2])
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with open_dataset(path) as dataset:
        assert dataset["episodes/length_steps"].tolist() == [3, 9]
    with DatasetWriter(tmp_path / "none.npz", SPEC, {}):
        pass
    assert not (tmp_path / "none.npz").exists()


def rewritten(path: Path, **arrays: Any) -> Path:
    with np.load(path) as old:
        kept = {name: old[name] for name in old}
    other = path.with_name("other.npz")
    np.savez(other, **{name: array for name, array in (kept | arrays).items() if array is not None})
    return other


def test_files_that_are_no_battles_are_refused_in_one_sentence(tmp_path: Path) -> None:
    path = write(tmp_path / "a.npz", some_episodes())
    about = {"format": "lan-dataset", "format_version": 1, "spec": json.loads(SPEC.to_json())}

    def told(**changes: Any) -> Any:
        return np.array(json.dumps(about | changes))

    short = np.zeros((3, 2, 4), np.float32)
    for changed, problem in (
        ({ABOUT: None}, "about"),
        ({ABOUT: told(format="other")}, "it is no lan-dataset"),
        ({ABOUT: told(format_version=2)}, "it is of format version 2, this project reads 1"),
        ({ABOUT: told(spec={})}, "environment spec: field 'name' is missing"),
        ({ABOUT: np.array([{}], object)}, "allow_pickle"),
        ({"actions": None}, "actions"),
        ({"observations": short}, r"is damaged: observations has 3 rows, not 18"),
        ({"infos/state": np.zeros((18, 4), np.float32)}, r"is damaged: infos/state is float32 \[18, 4\]"),
        ({"rewards": np.zeros((18, 2))}, r"is damaged: rewards is float64 \[18, 2\]"),
        ({"episodes/length_steps": np.array([18, 0, 1, -1])}, "is damaged: observations has 18 rows"),
    ):
        with (
            pytest.raises(InputError, match=problem) as refusal,
            open_dataset(rewritten(path, **changed)) as dataset,
        ):
            list(dataset.episodes())
        assert "\n" not in str(refusal.value)
    (tmp_path / "cut.npz").write_bytes(path.read_bytes()[:-200])
    (tmp_path / "text.npz").write_text("battles")
    (tmp_path / "folder.npz").mkdir()
    with zipfile.ZipFile(tmp_path / "empty.npz", "w"):
        pass
    for name in ("cut", "text", "folder", "empty", "missing"):
        with pytest.raises(InputError), open_dataset(tmp_path / f"{name}.npz"):
            pass


def test_every_array_is_described(tmp_path: Path) -> None:
    with np.load(write(tmp_path / "a.npz", some_episodes())) as arrays:
        assert set(arrays) == {*array_rows(SPEC), ABOUT}


@pytest.mark.parametrize("first", [0, 1, 3])
def test_a_full_disk_is_one_sentence_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    """The kernel's own "No space left on device", from the `first` of the files on."""
    real, opened = tempfile.TemporaryFile, 0

    def on_a_full_disk(**options: Any) -> Any:
        nonlocal opened
        opened += 1
        return real(**options) if opened <= first else Path("/dev/full").open("r+b", buffering=64)

    path = tmp_path / "a.npz"
    monkeypatch.setattr(tempfile, "TemporaryFile", on_a_full_disk)
    with (
        pytest.raises(InputError, match=f"cannot write {path}: No space left on device"),
        DatasetWriter(path, SPEC, {}) as writer,
    ):
        writer.add(some_episodes())
    assert list(tmp_path.iterdir()) == []
