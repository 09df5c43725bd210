"""A checkpoint is whole or not there, and a file that is none is refused by name."""

from pathlib import Path
from typing import Any

import pytest
import torch

from envs.errors import InputError
from envs.types import CONTRACT_VERSION, EnvSpec
from trainer.runs.checkpoint import Checkpoint, load_checkpoint, save_checkpoint

SPEC = EnvSpec("toy", 2, 4, 5, 3, 2, 9)


def checkpoint(**changes: Any) -> Checkpoint:
    fields: dict[str, Any] = {
        "spec": SPEC, "algorithm": "lan", "backend": "sim", "config": {"map": "toy"},
        "env_steps": 10, "episodes": 2, "updates": 4, "win_rate": 0.5, "project_version": "0",
        "learner": {"advantage": {"w": torch.ones(2, 2)}}, "trainer": {},
    }  # fmt: skip
    return Checkpoint(**{**fields, **changes})


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint())
    loaded = load_checkpoint(tmp_path)  # a run directory is as good as its file
    assert loaded.spec == SPEC
    assert loaded.win_rate == 0.5
    assert torch.equal(loaded.advantage["w"], torch.ones(2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint())

    def full_disk(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envs.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "run.pt", checkpoint(env_steps=99))
    assert load_checkpoint(tmp_path).env_steps == 10
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(path, checkpoint())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    with pytest.raises(InputError, match="truncated or no checkpoint"):
        load_checkpoint(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(InputError, match="no checkpoint at"):
        load_checkpoint(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="truncated or no checkpoint"):
        load_checkpoint(path)
    torch.save({"weights": torch.ones(1)}, path)
    with pytest.raises(InputError, match="no checkpoint of lan-train"):
        load_checkpoint(path)
    torch.save(Checkpoint, path)  # code, not data: never run
    with pytest.raises(InputError, match="truncated or no checkpoint"):
        load_checkpoint(path)


def test_another_contract_version_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(path, checkpoint())
    data = torch.load(path, weights_only=True)
    torch.save({**data, "contract_version": CONTRACT_VERSION + 1}, path)
    with pytest.raises(InputError, match=f"contract version {CONTRACT_VERSION + 1}"):
        load_checkpoint(path)
    del data["spec"]
    torch.save(data, path)
    with pytest.raises(InputError, match="lacks spec"):
        load_checkpoint(path)
