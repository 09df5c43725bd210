"""A disk that fails once, at each place where it can: table and journal stay one, and nothing is lost."""

from __future__ import annotations

import contextlib
import errno
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from runtime.agent.episodes import EpisodeTable, RequestError
from runtime.agent.policy import AgentPolicy
from runtime.model_file.loader import Model, load_model_bytes
from tests.runtime.agent.test_agent_journal import Agent, request
from tests.runtime.support.small_models import model_bytes

MAX_EPISODES = 3
NAMES = "aaabcd"


@pytest.fixture(scope="module")
def model(small_model_bytes: bytes) -> Model:
    return load_model_bytes(small_model_bytes, "test")


class FaultyDisk:
    """Fails write number `fail_at` in one way, and is well before and after.

    refused: nothing is written. torn, short: half of the record is. landed: all of it is, and the call fails.
    """

    def __init__(self, fail_at: int, way: str, number: int) -> None:
        self.fail_at = fail_at
        self.way = way
        self.number = number
        self.writes = 0
        self._pwrite = os.pwrite

    def pwrite(self, file: int, data: bytes, offset: int) -> int:
        self.writes += 1
        if self.writes - 1 != self.fail_at:
            return self._pwrite(file, data, offset)
        if self.way != "refused":
            written = self._pwrite(file, data if self.way == "landed" else data[: len(data) // 2], offset)
            if self.way == "short":
                return written
        raise OSError(self.number, os.strerror(self.number))


def kept(table: EpisodeTable) -> dict[str, tuple[Any, ...]]:
    """All that decides what a table answers."""
    return {
        name: (live.episode.reply.step, live.episode.reply.action, live.episode.request_digest,
               live.episode.memory.last_action, live.episode.memory.hidden.tobytes())
        for name, live in table._live.items()
    }  # fmt: skip


def apply(table: EpisodeTable, call: str, name: str) -> object:
    """One call of a random history; the step that "goes on" is the next one, of "repeats" the last one."""
    live = table._live.get(name)
    step = 0 if live is None else live.episode.reply.step + (call == "goes on")
    try:
        if call == "ends":
            return table.end(name)
        return table.act(request(step, name), 0.0).action
    except RequestError as refusal:
        return refusal.reason


CALLS = st.tuples(
    st.sampled_from(["goes on", "goes on", "goes on", "repeats", "ends", "ends", "restarts", "expires"]),
    st.sampled_from(NAMES),
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    st.lists(CALLS, max_size=12),
    st.booleans(),
    st.tuples(st.sampled_from(["goes on", "goes on", "ends", "expires"]), st.sampled_from(NAMES)),
    st.lists(CALLS, max_size=6),
    st.integers(0, MAX_EPISODES - 1),
    st.sampled_from(["refused", "torn", "short", "landed"]),
    st.sampled_from([errno.ENOSPC, errno.EIO]),
)
def test_a_write_that_fails_leaves_table_and_disk_as_if_it_had_not_been_asked_for(
    before: list[tuple[str, str]],
    restarts: bool,
    hit: tuple[str, str],
    after: list[tuple[str, str]],
    fail_at: int,
    way: str,
    number: int,
) -> None:
    """Against a table without a journal that never gets the call that fails; a landed one may count later."""
    model = MODELS.setdefault("m", load_model_bytes(model_bytes(), "test"))
    with tempfile.TemporaryDirectory() as folder:
        pair = TwoTables(Path(folder), model)
        for call in [*before, *[("restarts", "")] * restarts]:
            pair.do(*call)
        with pytest.MonkeyPatch.context() as patch:
            disk = FaultyDisk(fail_at if hit[0] == "expires" else 0, way, number)
            patch.setattr(os, "pwrite", disk.pwrite)
            pair.do(*hit, way)
        for call in [*after, ("restarts", "")]:
            pair.do(*call)
        for index in range(MAX_EPISODES - len(pair.expected)):  # no slot is lost
            pair.agent.act(0, f"new {index}")
        pair.agent.die()


class TwoTables:
    """An agent with a journal, and a table without one that gets the calls that succeed."""

    def __init__(self, folder: Path, model: Model) -> None:
        self.folder = folder
        self.model = model
        self.agent = Agent(folder, model, MAX_EPISODES)
        self.expected = EpisodeTable(AgentPolicy(model, 1), max_episodes=MAX_EPISODES, idle_s=60.0)
        self.landed: tuple[str, str] | None = None  # a call that failed, and yet may be on the disk

    def do(self, call: str, name: str, way: str = "") -> None:
        """One call to both tables, which then hold the same."""
        if call == "restarts":
            self.agent.die()
            self.agent = Agent(self.folder, self.model, MAX_EPISODES)
            if self.landed is not None and kept(self.agent.table) != kept(self.expected):
                apply(self.expected, *self.landed)
            self.landed = None
        elif call == "expires":
            before = set(kept(self.agent.table))
            with contextlib.suppress(OSError) if way else contextlib.nullcontext():
                self.agent.table.expire(1e6)
            left = set(kept(self.agent.table))
            assert len(left) <= bool(way)
            for gone in before - left:
                self.expected.end(gone)
            if left and way == "landed":
                self.landed = ("ends", *left)
            elif self.landed is not None and self.landed[1] in before:
                self.landed = None
        else:
            try:
                answer = apply(self.agent.table, call, name)
            except OSError:
                self.landed = (call, name) if way == "landed" else None
            else:
                assert answer == apply(self.expected, call, name)
                if call != "repeats" and self.landed is not None and self.landed[1] == name:
                    self.landed = None
        assert kept(self.agent.table) == kept(self.expected)


MODELS: dict[str, Model] = {}


def test_an_end_that_fails_is_tried_again(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path, model, 2)
    for name in "ab":
        agent.act(0, name)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", FaultyDisk(0, "refused", errno.ENOSPC).pwrite)
        with pytest.raises(OSError, match="No space"):
            agent.table.end("a")
    assert len(agent.table) == 2
    assert agent.table.end("a")
    agent.act(0, "c")


def test_idle_episodes_that_cannot_be_forgotten_stay_and_are_tried_again(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path, model, 3)
    for name in "abc":
        agent.act(0, name)
    with monkeypatch.context() as patch:
        patch.setattr(os, "pwrite", FaultyDisk(1, "refused", errno.EIO).pwrite)
        with pytest.raises(OSError, match="Input/output"):
            agent.table.expire(1e6)
    assert ["b" in agent.table, len(agent.table)] == [True, 1]
    assert agent.table.expire(1e6) == 1


MKDIR = os.mkdir


class NthCallFails:
    """Fails the call number `fail_at` among those that a start makes to the system."""

    NAMES = ("open", "pread", "pwrite", "fstat", "fsync", "posix_fallocate", "replace", "mkdir")

    def __init__(self, patch: pytest.MonkeyPatch, fail_at: int) -> None:
        self.left = fail_at
        for name in self.NAMES:
            patch.setattr(os, name, self._counted(getattr(os, name)))

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **more: Any) -> Any:
            if call is MKDIR and Path(arguments[0]).is_dir():
                return call(*arguments, **more)  # it fails in any case
            self.left -= 1
            if self.left == -1:
                raise OSError(errno.EIO, "Input/output error")
            return call(*arguments, **more)

        return counted


def starts(folder: Path, model: Model, max_episodes: int, fsync: bool) -> Iterator[Agent | InputError]:
    """Starts of an agent whose first, second, third … call to the system fails; the last one is whole."""
    for fail_at in range(200):
        with pytest.MonkeyPatch.context() as patch:
            calls = NthCallFails(patch, fail_at)
            try:
                agent = Agent(folder, model, max_episodes, fsync=fsync)
            except InputError as error:
                yield error
                continue
        assert calls.left >= 0, f"call {fail_at} failed, and the agent went on as if it had not"
        yield agent
        return


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("fsync", [False, True])
@pytest.mark.parametrize(("pairs", "names"), [(4, "abcd"), (9, "abcd"), (2, "cd")])
def test_a_start_that_fails_at_any_call_says_so_and_the_next_one_has_all_memories(
    tmp_path: Path, model: Model, fsync: bool, pairs: int, names: str
) -> None:
    """With a file of the right size, one that must grow, and one that holds too many episodes."""
    folder = tmp_path / "new" / "folder"
    agent = Agent(folder, model, 4)
    for name in "abcd":
        agent.act(0, name)
    before = kept(agent.table)
    agent.die()
    descriptors = open_files()
    *failures, agent = starts(folder, model, pairs, fsync)
    assert isinstance(agent, Agent)
    assert len(failures) > 5
    assert all("Input/output error" in str(failure) for failure in failures)
    assert kept(agent.table) == {name: before[name] for name in names}
    agent.die()
    assert open_files() == descriptors
    assert sorted(path.name for path in folder.iterdir()) == ["agent-1.lock", "agent-1.state"]


def test_a_first_start_that_fails_at_any_call_leaves_no_half_made_state(tmp_path: Path, model: Model) -> None:
    folder = tmp_path / "new" / "folder"
    *failures, agent = starts(folder, model, 4, True)
    assert len(failures) > 5
    assert isinstance(agent, Agent)
    agent.act(0)


def test_going_on_needs_no_room_on_the_disk(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    agent = Agent(tmp_path, model)
    agent.act(0)
    agent.die()

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    agent = Agent(tmp_path, model)
    assert agent.act(1).step == 1
    agent.die()
    with pytest.raises(InputError, match="No space left"):
        Agent(tmp_path, model, max_episodes=9)
    assert Agent(tmp_path, model).act(2).step == 2
