"""A new model is taken by one rule, in all processes or in none, and a passing failure passes."""

from __future__ import annotations

import contextlib
import logging
import os
import resource
import signal
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import pytest

from envs.errors import InputError, ModelError
from protos import policy_pb2, policy_pb2_grpc
from runtime.agent.episodes import EpisodeTable
from runtime.agent.model_change import change_model, check_model
from runtime.agent.policy import AgentPolicy
from runtime.model_file.loader import load_model_bytes
from tests.runtime.support.processes import Started, free_ports, started, wait_until
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC

OTHERS = {
    "another environment": replace(SPEC, name="chess"),
    "more agents": replace(SPEC, n_agents=SPEC.n_agents + 1),
    "fewer agents": replace(SPEC, n_agents=SPEC.n_agents - 1),
    "other observations": replace(SPEC, obs_dim=SPEC.obs_dim + 1),
}


def table(data: bytes, agent_id: int = 1) -> EpisodeTable:
    return EpisodeTable(AgentPolicy(load_model_bytes(data, "first"), agent_id), max_episodes=2, idle_s=9.0)


def raising(error: Exception) -> Any:
    def read() -> bytes:
        raise error

    return read


@pytest.mark.parametrize("other", OTHERS)
def test_a_model_that_is_refused_changes_nothing(small_model_bytes: bytes, other: str) -> None:
    data = model_bytes(OTHERS[other], seed=2)
    with pytest.raises(ModelError, match="is for another environment"):
        check_model(data, "file", None, [0], SPEC)
    episodes = table(small_model_bytes)
    before = episodes.policy
    assert not change_model(episodes, lambda: data, "file", None)
    assert episodes.policy is before


def test_the_start_takes_any_environment_that_has_the_agents() -> None:
    data = model_bytes(OTHERS["more agents"], seed=2)
    assert check_model(data, "file", None, range(SPEC.n_agents + 1)).spec == OTHERS["more agents"]
    with pytest.raises(InputError, match="agent id 4: the model's team has the ids 0 to 3"):
        check_model(data, "file", None, [0, 4])


@pytest.mark.parametrize(
    "error",
    [MemoryError(), OSError(5, "Input/output error"), ModelError("it is gone"), RuntimeError("bad_alloc")],
)
def test_whatever_fails_while_the_model_is_changed_leaves_the_old_one(
    small_model_bytes: bytes, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    episodes = table(small_model_bytes)
    before = episodes.policy
    with caplog.at_level(logging.INFO):
        assert not change_model(episodes, raising(error), "file", None)
    assert episodes.policy is before
    (said,) = caplog.messages
    assert before.digest[:12] in said
    assert (str(error) or "MemoryError") in said


def test_the_same_model_again_is_no_news(small_model_bytes: bytes, caplog: pytest.LogCaptureFixture) -> None:
    episodes = table(small_model_bytes)
    before = episodes.policy
    assert change_model(episodes, lambda: small_model_bytes, "file", None)
    assert episodes.policy is before
    assert caplog.messages == [f"the model stays as it is: file still holds {before.digest[:12]}"]


class Team:
    """A running lan-agents with two agents, its model file, and what it logs."""

    def __init__(self, port: int, model: Path, log: Path, command: Started) -> None:
        self.port, self.model, self.log, self.command = port, model, log, command

    def digests(self) -> list[str]:
        """The digests that the two agents serve."""
        found = []
        for index in range(2):
            with grpc.insecure_channel(f"127.0.0.1:{self.port + index}") as channel:
                stub: Any = policy_pb2_grpc.PolicyServiceStub(channel)
                request = policy_pb2.DescribeRequest()
                found.append(stub.Describe(request, timeout=20, wait_for_ready=True).model_sha256)
        return found

    def replace(self, data: bytes) -> None:
        """Put a new file in the place of the model, and ask for it."""
        new = self.model.with_suffix(".new")
        new.write_bytes(data)
        new.rename(self.model)
        self.command.process.send_signal(signal.SIGHUP)

    def restart(self, pid: int) -> None:
        """Kill an agent's process, and wait for its successor."""
        count = self.log.read_text().count("serves again")
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: self.log.read_text().count("serves again") > count, "a successor")


@contextlib.contextmanager
def team(model: Path, log: Path, *flags: object) -> Iterator[Team]:
    port = free_ports(2)
    listen = f"127.0.0.1:{port}"
    words = ("--model", model, "--agents", "0-1", "--listen", listen, *flags)
    with started("agents", *words, until="2 agents serve", log=log) as command:
        yield Team(port, model, log, command)


@pytest.mark.parametrize("other", ["more agents", "fewer agents"])
def test_a_refused_model_is_served_by_nobody_and_the_right_one_is_taken_again(
    model_file: Path, tmp_path: Path, other: str
) -> None:
    first, second = model_file.read_bytes(), model_bytes(seed=7)
    one, two = (load_model_bytes(data, "").digest for data in (first, second))
    with team(model_file, tmp_path / "log") as agents:
        agents.replace(model_bytes(OTHERS[other], seed=2))
        wait_until(lambda: "is for another environment" in agents.log.read_text(), "the refusal")
        assert f"the model stays as it is, {one[:12]}" in agents.log.read_text()
        agents.restart(agents.command.pids()[0])
        assert agents.digests() == [one, one]
        agents.replace(second)
        wait_until(lambda: agents.digests() == [two, two], "the new model")
        agents.restart(agents.command.pids()[1])
        assert agents.digests() == [two, two]
        agents.replace(first)
        wait_until(lambda: agents.digests() == [one, one], "the first model")


def test_an_agent_without_memory_for_a_new_model_takes_it_when_there_is_some(
    model_file: Path, tmp_path: Path
) -> None:
    old, new = load_model_bytes(model_file.read_bytes(), "").digest, model_bytes(seed=7)
    digest = load_model_bytes(new, "").digest
    with team(model_file, tmp_path / "log") as agents:
        first, _ = agents.command.pids()
        soft, hard = resource.prlimit(first, resource.RLIMIT_DATA)
        resource.prlimit(first, resource.RLIMIT_DATA, (1000, hard))
        agents.replace(new)
        said = f"agent 0 (process {first}) goes on with what it had before"
        wait_until(lambda: said in agents.log.read_text(), "the failure")
        assert agents.digests() == [old, digest]
        resource.prlimit(first, resource.RLIMIT_DATA, (soft, hard))
        wait_until(lambda: agents.digests() == [digest, digest], "the new model")
        assert agents.command.pids()[0] == first


def test_a_pinned_digest_holds_for_new_models_too(model_file: Path, tmp_path: Path) -> None:
    digest = load_model_bytes(model_file.read_bytes(), "").digest
    with team(model_file, tmp_path / "log", "--model-sha256", digest) as agents:
        agents.replace(model_bytes(seed=7))
        wait_until(lambda: "has the SHA-256" in agents.log.read_text(), "the refusal")
        agents.restart(agents.command.pids()[0])
        assert agents.digests() == [digest, digest]
