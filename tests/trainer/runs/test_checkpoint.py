"""A checkpoint is whole or not there, and a file that is none is refused by name."""

import contextlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from envs.errors import InputError
from envs.types import CONTRACT_VERSION, EnvSpec
from exporters.card import of_checkpoint
from trainer.learning.networks import advantage_net
from trainer.replay.buffer import ReplayBuffer
from trainer.runs.checkpoint import (
    FORMAT_VERSION,
    Checkpoint,
    load_advantage_net,
    load_checkpoint,
    save_checkpoint,
)
from trainer.runs.clocks import Clocks
from trainer.runs.directory import RunDirectory

SPEC = EnvSpec("toy", 2, 4, 5, 3, 2, 9)


def checkpoint(**changes: Any) -> Checkpoint:
    fields: dict[str, Any] = {
        "spec": SPEC, "backend": "sim", "config": {"map": "toy", "algorithm": "lan", "sharing": "all"},
        "agent_types": None, "enemies": None, "project_version": "0",
        "states": states(env_steps=10, episodes=2, win_rate=0.5),
    }  # fmt: skip
    return Checkpoint(**{**fields, **changes})


def states(**clocks: Any) -> dict[str, Any]:
    learner = {"advantage": {"w": torch.ones(2, 2)}, "updates": 4}
    return {"clocks": Clocks(**clocks).state_dict(), "learner": learner}


def test_what_was_saved_is_loaded(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint())
    loaded = load_checkpoint(tmp_path)  # a run directory is as good as its file
    assert loaded.spec == SPEC
    assert (loaded.env_steps, loaded.episodes, loaded.updates, loaded.win_rate) == (10, 2, 4, 0.5)
    assert (loaded.algorithm, loaded.sharing, loaded.agent_types) == ("lan", "all", None)
    save_checkpoint(tmp_path / "run.pt", checkpoint(agent_types=("knight", "archer")))
    assert load_checkpoint(tmp_path).agent_types == ("knight", "archer")
    assert torch.equal(loaded.advantage["w"], torch.ones(2, 2))
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_a_failed_write_leaves_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint())

    def full_disk(*args: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("envs.files.os.fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        save_checkpoint(tmp_path / "run.pt", checkpoint(states=states(env_steps=99)))
    assert load_checkpoint(tmp_path).env_steps == 10
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]


def test_a_file_with_one_wrong_bit_is_refused(tmp_path: Path) -> None:
    """A number with a wrong bit is a number all the same, so only the checksum tells."""
    path = tmp_path / "run.pt"
    save_checkpoint(path, checkpoint())
    content = bytearray(path.read_bytes())
    weights = content.index(np.ones(4, np.float32).tobytes())
    content[weights + 3] ^= 1 << 6
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a damaged checkpoint .its contents do not have their checksums"):
        load_checkpoint(path)


@pytest.mark.parametrize("kept", [0, 10, 0.5, 0.99])
def test_truncated_files_are_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(path, checkpoint())
    content = path.read_bytes()
    path.write_bytes(content[: int(kept if kept >= 1 else kept * len(content))])
    says = {0: "no checkpoint but an empty file", 10: "no checkpoint but a zip archive"}.get(kept)
    with pytest.raises(InputError, match=says or r"is a damaged checkpoint \(cut off"):
        load_checkpoint(path)


def test_foreign_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    with pytest.raises(InputError, match="no checkpoint at"):
        load_checkpoint(path)
    path.write_text("hello")
    with pytest.raises(InputError, match="is damaged, or no checkpoint; lan-train writes one"):
        load_checkpoint(path)
    torch.save({"weights": torch.ones(1)}, path)
    with pytest.raises(InputError, match="no checkpoint of lan-train"):
        load_checkpoint(path)
    torch.save(Checkpoint, path)  # code, not data: never run
    with pytest.raises(InputError, match="is a damaged checkpoint"):
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


def test_a_checkpoint_of_the_first_format_is_refused_in_one_sentence(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    save_checkpoint(path, checkpoint())
    data = torch.load(path, weights_only=True)
    assert data.pop("format_version") == FORMAT_VERSION == 2
    torch.save(data, path)
    with pytest.raises(InputError, match="is of format version 1, this project reads version 2") as refusal:
        load_checkpoint(path)
    assert len(str(refusal.value).splitlines()) == 1


def test_a_checkpoint_without_clocks_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "run.pt"
    for broken in ({}, {"clocks": {"env_steps": 3}}, []):
        save_checkpoint(path, checkpoint(states=broken))
        with pytest.raises(InputError, match="is damaged"):
            load_checkpoint(path)


@pytest.mark.parametrize("types", [("knight",), (1, 2), 7, "knight"])
def test_agent_types_are_one_name_per_agent(tmp_path: Path, types: Any) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint(agent_types=types))
    with pytest.raises(InputError, match="is damaged"):
        load_checkpoint(tmp_path)


def test_agent_types_that_cannot_name_a_network_do_not_fit() -> None:
    with pytest.raises(InputError, match="does not fit"):
        load_advantage_net(checkpoint(agent_types=("training", "a.b")))


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in nested plain data, by the keys that lead there."""
    inner = [key for key in data if isinstance(data, dict)] if isinstance(data, dict) else []
    return [path, *(place for key in inner for place in places(data[key], (*path, key)))]


def with_value(data: dict[Any, Any], place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    return {**data, place[0]: with_value(data[place[0]], place[1:], value)}


WHOLE = EnvSpec("toy", 2, 4, 5, 3, 2, 9)
ODD = [
    None, [], {}, [1], {"a": 1}, 3, -1, 2**40, 0.5, "text", "{}", torch.ones(2), torch.ones(1).expand(2**40),
    WHOLE.to_json().replace('"obs_dim": 5', f'"obs_dim": {2**40}'),
    WHOLE.to_json().replace('"n_agents": 2', f'"n_agents": {2**40}'),
]  # fmt: skip


@pytest.mark.parametrize("value", ODD, ids=lambda value: repr(value)[:30])
def test_whatever_a_checkpoint_holds_it_is_refused_in_one_sentence_or_used(
    tmp_path: Path, value: Any
) -> None:
    net = advantage_net(WHOLE)
    learner = {"advantage": dict(net.state_dict()), "updates": 4}
    sound = checkpoint(spec=WHOLE, states={"clocks": Clocks().state_dict(), "learner": learner})
    path = tmp_path / "run.pt"
    save_checkpoint(path, sound)
    data = torch.load(path, weights_only=True)
    for place in places(data):
        torch.save(with_value(data, place, value), path)
        with contextlib.suppress(InputError):
            loaded = load_checkpoint(path)
            load_advantage_net(loaded)
            of_checkpoint(loaded)


def test_a_file_that_cannot_be_read_now_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_checkpoint(tmp_path / "run.pt", checkpoint())

    def too_many_files(*args: object) -> int:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr("os.open", too_many_files)
    with pytest.raises(InputError, match="cannot be read: Too many open files"):
        load_checkpoint(tmp_path)
    with pytest.raises(OSError, match="Too many open files"):
        RunDirectory(tmp_path, 3).find(lambda: ReplayBuffer(5, 4))
    assert [path.name for path in tmp_path.iterdir()] == ["run.pt"]
