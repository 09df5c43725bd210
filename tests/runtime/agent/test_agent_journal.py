from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from runtime.agent.episodes import EpisodeTable, RequestError, StepReply, StepRequest
from runtime.agent.journal import HEADER_BYTES, StateFile, record_bytes
from runtime.agent.policy import AgentPolicy
from runtime.model_file.loader import Model, load_model_bytes
from tests.runtime.support.processes import ROOT, environment
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC

ALL = bytes([0, 1, 1, 1, 1])


@pytest.fixture(scope="module")
def model(small_model_bytes: bytes) -> Model:
    return load_model_bytes(small_model_bytes, "test")


def request(step: int, episode_id: str = "e") -> StepRequest:
    obs = np.random.default_rng(step).standard_normal(SPEC.obs_dim).astype("<f4")
    return StepRequest(episode_id, step, obs.tobytes(), ALL)


class Agent:
    """A table with a journal, as one life of a process has it."""

    def __init__(self, directory: Path, model: Model, max_episodes: int = 4, *, fsync: bool = False) -> None:
        self.journal = StateFile(
            directory, 1, n_actions=SPEC.n_actions, max_episodes=max_episodes, fsync=fsync
        )
        self.table = EpisodeTable(
            AgentPolicy(model, 1), max_episodes=max_episodes, idle_s=60.0, journal=self.journal
        )
        self.restored = self.table.restore(self.journal.restored, 0.0)

    def act(self, step: int, episode_id: str = "e") -> StepReply:
        return self.table.act(request(step, episode_id), 0.0)

    def die(self) -> None:
        """End as the kernel ends a process: nothing is tidied up."""
        self.journal.close()


def undisturbed(model: Model, steps: int) -> list[int]:
    table = EpisodeTable(AgentPolicy(model, 1), max_episodes=4, idle_s=60.0)
    return [table.act(request(step), 0.0).action for step in range(steps)]


def test_an_agent_that_dies_after_every_step_acts_as_any_other(tmp_path: Path, model: Model) -> None:
    actions = []
    for step in range(25):
        agent = Agent(tmp_path, model)
        actions.append(agent.act(step).action)
        agent.die()
        agent = Agent(tmp_path, model)
        assert agent.act(step).action == actions[-1]  # the answer did not arrive, so the host asks again
        assert agent.table.duplicates == 1
        agent.die()
    assert actions == undisturbed(model, 25)


def test_the_reply_comes_back_whole(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    before = agent.act(0)
    agent.die()
    after = Agent(tmp_path, model).act(0)
    assert (after.step, after.action) == (before.step, before.action)
    assert np.array_equal(after.advantages, before.advantages)


def test_episodes_that_ended_stay_ended_and_make_room(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    for round_ in range(20):
        for index in range(4):
            agent.act(0, f"{round_}-{index}")
        for index in range(4):
            assert agent.table.end(f"{round_}-{index}")
    agent.act(0, "last")
    agent.die()
    agent = Agent(tmp_path, model)
    assert agent.restored == 1
    assert "last" in agent.table


def test_the_file_does_not_grow_and_is_for_its_owner_only(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    size = agent.journal.path.stat().st_size
    assert size == HEADER_BYTES + 2 * 4 * record_bytes(SPEC.n_actions)
    for step in range(200):
        agent.act(step)
    assert agent.journal.path.stat().st_size == size
    assert agent.journal.path.stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == ["agent-1.lock", "agent-1.state"]


class DiskWatcher:
    """Lets the system's calls through, and notes which file was written or synced, in their order.

    Of a synced folder it also notes the state files that stood in it then.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls: list[tuple[str, str]] = []
        self.synced_names: set[str] = set()
        for name in ("pwrite", "fsync", "fdatasync"):
            monkeypatch.setattr(os, name, self._noting(name, getattr(os, name)))

    def _noting(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def noted(descriptor: int, *rest: Any) -> Any:
            result = call(descriptor, *rest)
            path = Path(f"/proc/self/fd/{descriptor}").readlink()
            self.calls.append((name, path.name))
            if name == "fsync" and path.is_dir():
                self.synced_names |= {child.name for child in path.glob("*.state")}
            return result

        return noted


@pytest.mark.parametrize("fsync", [False, True])
def test_with_fsync_a_step_is_on_the_disk_before_it_is_answered(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch, fsync: bool
) -> None:
    agent = Agent(tmp_path, model, fsync=fsync)
    disk = DiskWatcher(monkeypatch)
    one_step = [("pwrite", "agent-1.state")] + [("fdatasync", "agent-1.state")] * fsync
    for step in range(3):
        agent.act(step)
        assert disk.calls == one_step * (step + 1)
    assert agent.table.end("e")
    assert disk.calls == one_step * 4


def test_a_new_state_files_name_is_on_the_disk_before_the_first_step(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = DiskWatcher(monkeypatch)
    Agent(tmp_path, model, fsync=True)
    assert disk.calls[-1] == ("fsync", tmp_path.name)
    assert disk.synced_names == {"agent-1.state"}


def slot_of(data: bytes, sequence: int) -> int:
    """Where the record with a sequence number starts."""
    size = record_bytes(SPEC.n_actions)
    for start in range(HEADER_BYTES, len(data), size):
        if int.from_bytes(data[start : start + 8], "little") == sequence:
            return start
    raise AssertionError(f"no record {sequence}")


@pytest.mark.parametrize("written_bytes", [0, 1, 8, 40, 300, -1])
def test_a_record_torn_while_it_was_written_leaves_the_step_before(
    tmp_path: Path, model: Model, written_bytes: int
) -> None:
    agent = Agent(tmp_path, model)
    for step in range(7):
        agent.act(step)
    agent.die()
    data = bytearray(agent.journal.path.read_bytes())
    start = slot_of(data, 7)  # step 6; its answer never left, as it is written before that
    torn = start + written_bytes % record_bytes(SPEC.n_actions)
    data[torn : start + record_bytes(SPEC.n_actions)] = b"\xee" * (
        start + record_bytes(SPEC.n_actions) - torn
    )
    agent.journal.path.write_bytes(data)
    agent = Agent(tmp_path, model)
    assert [agent.act(step).action for step in (5, 6, 7)] == undisturbed(model, 8)[5:]


def test_memories_of_another_model_are_forgotten(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    agent.act(0)
    agent.die()
    other = Agent(tmp_path, load_model_bytes(model_bytes(seed=2), "other"))
    assert other.restored == 0
    with pytest.raises(RequestError, match="not known here"):
        other.act(1)
    other.die()
    assert Agent(tmp_path, model).restored == 0


def test_room_for_more_or_fewer_episodes_keeps_the_latest(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model, max_episodes=4)
    for name in ("a", "b", "c"):
        agent.act(0, name)
    agent.act(1, "a")
    agent.die()
    agent = Agent(tmp_path, model, max_episodes=2)
    assert [name for name in ("a", "b", "c") if name in agent.table] == ["a", "c"]
    agent.die()
    agent = Agent(tmp_path, model, max_episodes=9)
    assert agent.restored == 2


def test_long_names_of_any_script_survive(tmp_path: Path, model: Model) -> None:
    names = ["x" * 64, "戦" * 64, "🛡" * 64, "\0\n"]
    agent = Agent(tmp_path, model)
    for name in names:
        agent.act(0, name)
    agent.die()
    agent = Agent(tmp_path, model)
    assert all(name in agent.table for name in names)


def test_a_state_in_use_or_not_ours_is_refused(tmp_path: Path, model: Model) -> None:
    agent = Agent(tmp_path, model)
    with pytest.raises(InputError, match="held by another agent"):
        Agent(tmp_path, model)
    agent.die()
    for data in (b"something else", b"LANSTATE" + b"\x01\0\0\0" * 20, b"LANSTATE" + b"\x09\0\0\0" * 20):
        agent.journal.path.write_bytes(data)
        with pytest.raises(InputError, match="remove it"):
            Agent(tmp_path, model)
        assert agent.journal.path.read_bytes() == data
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be used"):
        Agent(tmp_path / "file", model)


KILLED = """
import sys, pathlib
from tests.runtime.support.small_models import model_bytes
from tests.runtime.agent.test_agent_journal import Agent
from runtime.model_file.loader import load_model_bytes
agent = Agent(pathlib.Path(sys.argv[1]), load_model_bytes(model_bytes(), "test"))
for step in range(int(sys.argv[2]), 10**9):
    agent.act(step)
    sys.stdout.write(f"{step}\\n")
    sys.stdout.flush()
"""


def test_a_process_killed_at_any_moment_left_its_last_answer_behind(tmp_path: Path, model: Model) -> None:
    """SIGKILL at a random time: what it has said last is what a new process repeats, or the step after it."""
    rng = np.random.default_rng(0)
    step = 0
    for _ in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, str(tmp_path), str(step)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
        assert process.stdout is not None
        assert process.stdout.readline() == f"{step}\n"
        time.sleep(float(rng.uniform(0.0, 0.1)))
        process.kill()
        said = process.stdout.read().splitlines()
        process.stdout.close()
        process.wait()
        last_said = int(said[-1]) if said else step
        agent = Agent(tmp_path, model)
        kept = agent.table._live["e"].episode.reply
        assert last_said <= kept.step <= last_said + 1
        assert kept.action == undisturbed(model, kept.step + 1)[-1]
        agent.die()
        step = kept.step + 1
