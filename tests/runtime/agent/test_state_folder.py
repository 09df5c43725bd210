"""Which state folders and files an agent takes for its own."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from envs.errors import InputError
from runtime.agent.journal import StateFile
from runtime.model_file.loader import Model, load_model_bytes
from tests.runtime.agent.test_agent_journal import Agent
from tests.runtime.support.tag_env import SPEC


@pytest.fixture(scope="module")
def model(small_model_bytes: bytes) -> Model:
    return load_model_bytes(small_model_bytes, "test")


def other_things(path: Path) -> dict[str, Callable[[], object]]:
    """What may lie in a state file's place."""
    target = path.with_name("target")
    return {
        "a pipe": lambda: os.mkfifo(path),
        "a folder": lambda: path.mkdir(),
        "a link to a device": lambda: path.symlink_to("/dev/zero"),
        "a link to a file": lambda: (target.touch(), path.symlink_to(target)),
        "a link to nothing": lambda: path.symlink_to(target),
    }


@pytest.mark.parametrize("name", ["agent-1.state", "agent-1.lock"])
@pytest.mark.parametrize("thing", list(other_things(Path("any"))))
def test_whatever_lies_in_a_state_files_place_is_refused_in_one_sentence(
    tmp_path: Path, model: Model, name: str, thing: str
) -> None:
    other_things(tmp_path / name)[thing]()
    with pytest.raises(InputError, match=f"{name} is no regular file; remove it") as caught:
        Agent(tmp_path, model)
    assert "\n" not in str(caught.value)


def test_a_state_file_of_somebody_else_is_not_trusted(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path, model)
    agent.die()
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(InputError, match="belongs to user"):
        Agent(tmp_path, model)


def test_the_memories_of_another_agent_are_not_taken_over(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    agent.act(0)
    agent.die()
    (tmp_path / "agent-1.state").rename(tmp_path / "agent-2.state")
    with pytest.raises(InputError, match="the memories of agent 1"):
        StateFile(tmp_path, 2, n_actions=SPEC.n_actions, max_episodes=4)


def test_a_state_file_written_before_it_named_its_agent_is_still_read(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    agent.act(0)
    agent.die()
    data = bytearray(agent.journal.path.read_bytes())
    data[20:24] = bytes(4)
    agent.journal.path.write_bytes(data)
    assert Agent(tmp_path, model).restored == 1


def test_a_header_of_any_numbers_costs_no_memory(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    agent.die()
    data = agent.journal.path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(50):
        at = int(rng.integers(8, 20))
        changed = data[:at] + rng.bytes(20 - at) + data[20:]
        agent.journal.path.write_bytes(changed)
        with pytest.raises(InputError, match="remove it"):
            Agent(tmp_path, model)


def test_more_episodes_than_a_file_can_have_are_refused(tmp_path: Path, model: Model) -> None:
    with pytest.raises(InputError, match="at most 65536 are kept"):
        Agent(tmp_path, model, max_episodes=10**9)


def test_what_is_no_folder_is_named(tmp_path: Path, model: Model) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name, blocked in (("loop", "loop"), ("pipe", "pipe"), ("pipe/in", "pipe")):
        says = f"{tmp_path / blocked} is no folder; remove it, or choose another --state-dir"
        with pytest.raises(InputError, match=says):
            Agent(tmp_path / name, model)


def test_a_file_system_without_locks_is_named(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(*arguments: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    with pytest.raises(InputError, match=r"agent-1.lock cannot be locked \(No locks available\)"):
        Agent(tmp_path, model)


def test_with_fsync_the_names_of_new_folders_are_on_the_disk(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    Agent(tmp_path / "a" / "b", model, fsync=True)
    assert {tmp_path, tmp_path / "a", tmp_path / "a" / "b"} <= set(synced)
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
