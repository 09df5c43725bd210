from __future__ import annotations

import errno
import hashlib
import os
import threading
from pathlib import Path

import numpy as np
import pytest

from envs.errors import ModelError
from runtime.model_file.contract import METADATA_SPEC
from runtime.model_file.loader import load_model, load_model_bytes
from runtime.model_file.metadata import environment_in
from tests.runtime.support.model_refusals import refusal
from tests.runtime.support.small_models import random_weights
from tests.runtime.support.tag_env import SPEC


def test_a_model_steps_as_its_equations_say(small_model_bytes: bytes) -> None:
    """The graph against a GRU written out by hand in numpy (Cho et al., 2014, in torch's arrangement)."""
    model = load_model_bytes(small_model_bytes, "test")
    weights = random_weights(SPEC, seed=1)
    rng = np.random.default_rng(0)

    def sigmoid(x: np.ndarray) -> np.ndarray:
        return 1 / (1 + np.exp(-x))

    hidden = np.zeros((3, 64), np.float32)
    wanted = hidden.astype(np.float64)
    last_action = np.array([-1, -1, -1])
    for _ in range(20):
        obs = rng.standard_normal((3, SPEC.obs_dim)).astype(np.float32)
        avail = rng.random((3, SPEC.n_actions)) < 0.5
        avail[:, 1] = True
        last_one_hot = np.eye(SPEC.n_actions + 1)[last_action][:, : SPEC.n_actions]
        x = np.concatenate((obs, last_one_hot, np.eye(SPEC.n_agents)), 1)
        x = np.maximum(x @ weights["fc1.weight"].T + weights["fc1.bias"], 0)
        from_x = np.split(x @ weights["gru.weight_ih"].T + weights["gru.bias_ih"], 3, 1)
        from_h = np.split(wanted @ weights["gru.weight_hh"].T + weights["gru.bias_hh"], 3, 1)
        reset, update = sigmoid(from_x[0] + from_h[0]), sigmoid(from_x[1] + from_h[1])
        wanted = (1 - update) * np.tanh(from_x[2] + reset * from_h[2]) + update * wanted
        advantages = wanted @ weights["fc2.weight"].T + weights["fc2.bias"]
        action, got, hidden = model.step(obs, last_action, np.arange(3), avail, hidden)
        assert np.allclose(hidden, wanted, atol=2e-5)
        assert np.allclose(got, advantages, atol=1e-4)
        assert np.array_equal(action, np.where(avail, got, -np.inf).argmax(1))
        last_action = action


def test_a_file_says_what_it_is(model_file: Path) -> None:
    digest = hashlib.sha256(model_file.read_bytes()).hexdigest()
    model = load_model(model_file, sha256=digest.upper())
    assert model.spec == SPEC
    assert model.digest == digest
    assert model.metadata[METADATA_SPEC] == SPEC.to_json()


def test_another_digest_than_the_pinned_one_is_refused(small_model_bytes: bytes) -> None:
    assert "has the SHA-256" in refusal(small_model_bytes, "0" * 64)
    assert "is no SHA-256" in refusal(small_model_bytes, "beef")


def test_paths_that_are_no_model_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "large").write_bytes(bytes(4_000_001))
    (tmp_path / "empty").touch()
    for name, says in {
        "missing": "cannot be read: No such file",
        "fifo": "no regular file",
        ".": "no model file but a folder",
        "large": "larger than 4000000 bytes",
        "empty": "no model file but an empty file",
    }.items():
        with pytest.raises(ModelError, match=says):
            load_model(tmp_path / name)


def test_a_file_that_fails_while_it_is_read_is_refused_in_one_sentence(
    model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*given: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with monkeypatch.context() as patch:
        patch.setattr(os, "fstat", fail)
        with pytest.raises(ModelError, match="cannot be read: Input/output error"):
            load_model(model_file)
    with pytest.raises(ModelError, match="cannot be read: Input/output error"):
        load_model("/proc/self/mem")
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_a_system_without_room_for_a_thread_is_named(
    small_model_bytes: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(ModelError, match="cannot be tried: can't start new thread"):
        load_model_bytes(small_model_bytes, "test")


@pytest.mark.parametrize("kept", [0.001, 0.1, 0.5, 0.9, 0.9999])
def test_a_truncated_file_is_refused(small_model_bytes: bytes, kept: float) -> None:
    refusal(small_model_bytes[: int(kept * len(small_model_bytes))])


def test_a_checkpoint_in_the_place_of_a_model_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    path.write_bytes(b"PK\x03\x04" + bytes(26) + b"archive/data.pkl" + bytes(100))
    for read in (load_model, environment_in):
        with pytest.raises(ModelError, match=r"run\.pt is no model file but a checkpoint; lan-export makes"):
            read(path)


def test_foreign_files_are_refused() -> None:
    for data in (b"not a model", b"\x80\x02}q\x00.", bytes(1000), os.urandom(0), b"\xff" * 1000):
        refusal(data)
