"""lan-play --model: the agents that it starts itself, from their start to their end."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from envs.errors import InputError
from envs.make import env_spec
from runtime.host import own_agents as module
from runtime.host.flags import PlayConfig, resolve
from runtime.host.own_agents import own_agents
from tests.paths import ROOT
from tests.runtime.support.playing import team
from tests.runtime.support.processes import wait_until
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC
from tests.runtime.support.tag_play import lines_in, play_tag, playing

FOREVER = ("--episodes", 999_999)


def serving(model: Path) -> list[psutil.Process]:
    """The processes of lan-agents that were started with a model file, the parent first."""
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
        except psutil.Error:
            continue
        if f"--model={model}" in words:  # a zombie has no words left
            found.append(process)
    return sorted(found, key=lambda process: (process.create_time(), process.pid))


def nobody_serves(model: Path) -> None:
    wait_until(lambda: not serving(model), "the end of every agent")


def actions_in(record: Path) -> list[Any]:
    return [json.loads(line)["actions"] for line in record.read_text().splitlines()]


@pytest.mark.asyncio
async def test_the_battles_are_those_of_agents_that_run_already(model_file: Path, tmp_path: Path) -> None:
    one, other = tmp_path / "one.jsonl", tmp_path / "other.jsonl"
    own = await play_tag("--model", model_file, "--episodes", 20, "--seed", 5, "--record", one)
    assert not serving(model_file)
    with team(model_file) as (addresses, _):
        given = await play_tag("--agents", addresses, "--episodes", 20, "--seed", 5, "--record", other)
    assert (own.code, given.code) == (0, 0)
    reports = [json.loads(ended.out) for ended in (own, given)]  # one object each, and nothing else
    assert [report.pop("own_agents") for report in reports] == [True, False]
    for report in reports:
        report.pop("latency_ms")
        for row in report["agents"]:
            del row["address"]
    assert reports[0] == reports[1]
    assert reports[0]["fallbacks"] == 0
    assert actions_in(one) == actions_in(other)
    assert own.err.count("3 agents started, one process each") == 1
    assert "agents started" not in given.err


@pytest.mark.asyncio
async def test_every_agent_is_a_process_of_its_own_and_the_host_loads_no_model(
    model_file: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.jsonl"
    async with playing("--model", model_file, *FOREVER, "--record", record) as running:
        await lines_in(record, 1)
        parent, *agents = serving(model_file)
        assert parent.ppid() == running.process.pid
        assert [agent.ppid() for agent in agents] == [parent.pid] * 3
        for process in agents:
            (ip,) = {each.laddr.ip for each in process.net_connections() if each.status == "LISTEN"}
            assert ip.removeprefix("::ffff:") == "127.0.0.1"
        maps = {pid: Path(f"/proc/{pid}/maps").read_text() for pid in (running.process.pid, agents[0].pid)}
        assert ["onnxruntime" in text for text in maps.values()] == [False, True]
        running.signal(signal.SIGTERM)
        await running.ended()
    nobody_serves(model_file)


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129), (signal.SIGKILL, -9)],
)
@pytest.mark.asyncio
async def test_no_agent_survives_the_host_however_it_ends(
    number: signal.Signals, code: int, model_file: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.jsonl"
    async with playing("--model", model_file, *FOREVER, "--record", record) as running:
        await lines_in(record, 1)
        assert len(serving(model_file)) == 4
        running.signal(number)
        ended = await running.ended()
        assert ended.code == code
    if number == signal.SIGKILL:
        nobody_serves(model_file)  # the kernel tells them
        return
    assert not serving(model_file)
    assert json.loads(ended.out)["fallbacks"] == 0
    assert "Traceback" not in ended.err


@pytest.mark.asyncio
async def test_a_terminals_ctrl_c_lets_the_agents_end_after_the_host(
    model_file: Path, tmp_path: Path
) -> None:
    """It reaches the whole process group; agents that heard it would be missed in the battle."""
    record = tmp_path / "record.jsonl"
    words = ("--model", model_file, *FOREVER, "--record", record)
    async with playing(*words, before=("setsid",)) as running:
        await lines_in(record, 1)
        assert os.getpgid(running.process.pid) not in [os.getpgid(each.pid) for each in serving(model_file)]
        os.killpg(running.process.pid, signal.SIGINT)
        ended = await running.ended()
    assert ended.code == 130
    assert not serving(model_file)
    assert "lost" not in ended.err
    assert json.loads(ended.out)["fallbacks"] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
@pytest.mark.asyncio
async def test_a_signal_during_the_start_leaves_nobody(number: signal.Signals, model_file: Path) -> None:
    async with playing("--model", model_file, *FOREVER) as running:
        async with asyncio.timeout(30):
            while not serving(model_file):
                await asyncio.sleep(0.01)
        running.signal(number)
        ended = await running.ended()
    assert ended.code in (-number, 128 + number)
    assert ended.out == ""
    nobody_serves(model_file)


@pytest.mark.asyncio
async def test_an_agent_that_is_killed_is_started_again_and_takes_part(
    model_file: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.jsonl"
    words = ("--model", model_file, *FOREVER, "--record", record, "--deadline-ms", 30_000)
    async with playing(*words) as running:
        await lines_in(record, 1)
        before = serving(model_file)
        before[2].kill()
        async with asyncio.timeout(30):
            while set(now := serving(model_file)) <= set(before) or len(now) < 4:
                await asyncio.sleep(0.01)
        await lines_in(record, record.read_bytes().count(b"\n") + 2)
        running.signal(signal.SIGTERM)
        ended = await running.ended()
    report = json.loads(ended.out)
    assert report["fallbacks"] == 0
    assert sum(row["reconnects"] for row in report["agents"]) >= 1
    assert "lan-agents" not in ended.err
    assert not serving(model_file)


@pytest.mark.asyncio
async def test_the_end_of_their_supervisor_ends_the_agents_and_is_said(
    model_file: Path, tmp_path: Path
) -> None:
    record = tmp_path / "record.jsonl"
    words = ("--model", model_file, *FOREVER, "--record", record, "--deadline-ms", 200)
    async with playing(*words) as running:
        await lines_in(record, 1)
        serving(model_file)[0].kill()
        nobody_serves(model_file)
        await lines_in(record, record.read_bytes().count(b"\n") + 2)
        running.signal(signal.SIGTERM)
        ended = await running.ended()
    assert json.loads(ended.out)["fallbacks"] > 0
    assert "lan-agents was ended by signal 9, so nobody starts its agents again" in ended.err


def test_the_end_of_their_supervisor_is_said_while_battles_go_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    model = tmp_path / "3m.onnx"
    model.write_bytes((ROOT / "zoo" / "3m.onnx").read_bytes())
    with own_agents(model, "3m", "enemies' "):
        serving(model)[0].kill()
        said = "the enemies' lan-agents was ended by signal 9, so nobody starts its agents again"
        wait_until(lambda: said in caplog.text, "the news of their end")
    assert caplog.text.count("nobody starts its agents again") == 1


OTHERS = replace(SPEC, obs_dim=SPEC.obs_dim + 1)
FILES: dict[str, tuple[Callable[[], bytes] | None, str]] = {
    "missing": (None, "cannot be read: No such file"),
    "cut off": (lambda: model_bytes()[:-200], "is refused: "),
    "something else": (lambda: b"# a text", "is refused: "),
    "another environment": (
        lambda: model_bytes(OTHERS),
        "was trained for another environment than 'tag' here",
    ),
    "a smaller team": (lambda: model_bytes(replace(SPEC, n_agents=2)), "the model's team has the ids 0 to 1"),
    "a larger team": (lambda: model_bytes(replace(SPEC, n_agents=4)), "was trained for another environment"),
    "another contract": (lambda: model_bytes(replace(SPEC, contract_version=9)), "contract"),
}


@pytest.mark.parametrize("name", FILES)
@pytest.mark.asyncio
async def test_a_model_that_cannot_play_is_one_sentence_before_the_battles(name: str, tmp_path: Path) -> None:
    content, says = FILES[name]
    model, record = tmp_path / "agent.onnx", tmp_path / "record.jsonl"
    if content is not None:
        model.write_bytes(content())
    ended = await play_tag("--model", model, "--record", record)
    assert (ended.code, ended.out) == (2, "")
    errors = [line for line in ended.err.splitlines() if "error" in line]
    assert len(errors) == 1
    assert errors[0].startswith("lan-play: error: ")
    assert says in errors[0]
    assert "Traceback" not in ended.err
    assert not record.exists()
    assert not serving(model)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"agents": "127.0.0.1:1", "model": Path("agent.onnx")}, "give either --model FILE"),
        ({}, "give either --model FILE"),
        ({"model": Path("agent.onnx"), "tls_cert": "host.pem"}, "--tls-cert is for --agents"),
        ({"model": Path("agent.onnx"), "tls_ca": "ca.pem"}, "--tls-ca is for --agents"),
        ({"model": Path("agent.onnx"), "insecure": True}, "--insecure is for --agents"),
    ],
)
def test_flags_that_exclude_each_other_are_said(flags: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=re.escape(says)):
        resolve(PlayConfig(map="checkers", **flags))


@pytest.fixture
def checkers_file(tmp_path: Path) -> Path:
    path = tmp_path / "checkers.onnx"
    path.write_bytes(model_bytes(env_spec("checkers")))
    return path


def when_agents_start(code: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every Python that starts as lan-agents run some code first."""
    guard = "import sys, time\nif 'runtime.agent.many' in sys.orig_argv:\n    "
    (folder / "sitecustomize.py").write_text(guard + code)
    monkeypatch.setenv("PYTHONPATH", str(folder))


def test_what_agents_said_is_shown_when_they_die_at_their_start(
    checkers_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import os; print('no room for', 'a process', flush=True); os._exit(3)"
    when_agents_start(code, tmp_path, monkeypatch)
    says = "the 2 agents of checkers did not start: lan-agents ended with exit code 3"
    with pytest.raises(InputError, match=says), own_agents(checkers_file, "checkers"):
        pass
    assert caplog.messages == ["no room for a process"]


def test_agents_that_never_serve_are_given_up(
    checkers_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    when_agents_start("time.sleep(600)", tmp_path, monkeypatch)
    monkeypatch.setattr(module, "START_TIMEOUT_S", 0.5)
    start_s = time.monotonic()
    with (
        pytest.raises(InputError, match=r"did not start: not within 0\.5 s"),
        own_agents(checkers_file, "checkers"),
    ):
        pass
    assert time.monotonic() - start_s < 10.0
    assert not serving(checkers_file)


def test_agents_that_do_not_stop_are_killed(checkers_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.5)
    with own_agents(checkers_file, "checkers") as addresses:
        assert len(set(addresses)) == 2
        stopped = serving(checkers_file)
        assert len(stopped) == 3
        for process in stopped:
            process.suspend()
    nobody_serves(checkers_file)
