"""However a run ends, its agents forget their episodes, and what was played is written and reported."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from envs.stopping import SIGNALS, StopWish, stop_wish
from envs.types import TimeStep
from runtime.host.interruptible import InterruptibleEnv
from tests.paths import ROOT
from tests.runtime.support.fake_agent import FakeAgent, fake_team
from tests.runtime.support.processes import (
    PID_1,
    RUN_TIMEOUT_S,
    can_be_pid_1,
    environment,
    free_ports,
    full_pipe,
)
from tests.runtime.support.tag_env import TagEnv
from tests.runtime.support.tag_play import Ended, lines_in, play_tag, playing


@pytest.fixture(autouse=True)
def _signals_as_before() -> Iterator[None]:
    """After a wish `stop_wish` has signals ignored, since the process is about to end; this one is not."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def team() -> list[FakeAgent]:
    return [FakeAgent(0), FakeAgent(1), FakeAgent(2)]


def check_partial(ended: Ended, record: Path, agents: list[FakeAgent], wanted: int) -> None:
    """The report, the record and the agents agree on what was played."""
    report = json.loads(ended.out)
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["episode"] for line in lines] == list(range(report["episodes"]))
    assert report["episodes"] < report["episodes_wanted"] == wanted
    assert f"{report['episodes']} of {wanted} battles were played" in ended.err
    assert "the environment is closed" in ended.err
    assert "Traceback" not in ended.err
    for agent in agents:
        assert {request.episode_id for request in agent.asked} <= set(agent.ended)


@pytest.mark.parametrize(
    ("signals", "code"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
        ([signal.SIGHUP], 129),
        ([signal.SIGTERM, signal.SIGTERM], 143),  # the supervisor's, and the process group's
        ([signal.SIGINT, signal.SIGTERM, signal.SIGINT], 130),
    ],
)
@pytest.mark.asyncio
async def test_a_signal_ends_a_run_in_order(signals: list[signal.Signals], code: int, tmp_path: Path) -> None:
    agents, record = team(), tmp_path / "record.jsonl"
    agents[0].delay_s = 0.005
    async with (
        fake_team(*agents) as addresses,
        playing("--agents", addresses, "--episodes", 9_999, "--record", record) as running,
    ):
        await lines_in(record, 2)
        for number in signals:
            running.signal(number)
            await asyncio.sleep(0.05)
        start_s = time.monotonic()
        ended = await running.ended()
    assert ended.code == code
    assert time.monotonic() - start_s < 10.0
    assert "lan-play: interrupted" in ended.err
    check_partial(ended, record, agents, 9_999)


@pytest.mark.skipif(not can_be_pid_1(), reason="this system lets nobody make a pid namespace")
@pytest.mark.asyncio
async def test_sigterm_reaches_process_1_of_a_container(tmp_path: Path) -> None:
    agents, record = team(), tmp_path / "record.jsonl"
    agents[0].delay_s = 0.005
    async with (
        fake_team(*agents) as addresses,
        playing("--agents", addresses, "--episodes", 9_999, "--record", record, before=PID_1) as running,
    ):
        await lines_in(record, 1)
        children = Path(f"/proc/{running.process.pid}/task/{running.process.pid}/children").read_text()
        os.kill(int(children), signal.SIGTERM)
        ended = await running.ended()
    assert ended.code == 143
    check_partial(ended, record, agents, 9_999)


@pytest.mark.asyncio
async def test_an_agent_that_hangs_does_not_hold_up_the_end(tmp_path: Path) -> None:
    agents, record = team(), tmp_path / "record.jsonl"
    async with (
        fake_team(*agents) as addresses,
        playing(
            "--agents", addresses, "--episodes", 9_999, "--record", record, "--deadline-ms", 3_600_000
        ) as running,
    ):
        await lines_in(record, 1)
        agents[1].delay_s = 3_600.0
        await asyncio.sleep(0.3)
        running.signal(signal.SIGTERM)
        async with asyncio.timeout(10.0):
            ended = await running.ended()
    assert ended.code == 143
    assert json.loads(ended.out)["episodes"] == len(record.read_text().splitlines())


@pytest.mark.asyncio
async def test_a_host_that_waits_for_its_agents_can_be_stopped() -> None:
    async with playing("--agents", f"127.0.0.1:{free_ports(1)}", "--connect-timeout-s", 600) as running:
        assert running.process.stderr is not None
        line = b""
        while b"waiting for" not in line:
            line = await running.process.stderr.readline()
            assert line
        running.signal(signal.SIGTERM)
        ended = await running.ended()
    assert ended.code == 143
    assert ended.out == ""
    assert "0 of 32 battles were played" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.asyncio
async def test_what_was_played_before_an_error_is_reported_and_kept(tmp_path: Path) -> None:
    """As after a live game that was lost too often."""
    agents, record = team(), tmp_path / "record.jsonl"
    async with fake_team(*agents) as addresses:
        ended = await play_tag("--agents", addresses, "--episodes", 5, "--record", record, fails_in=3)
    assert ended.code == 2
    assert json.loads(ended.out)["episodes"] == 3
    assert ended.err.splitlines()[-1] == "lan-play: error: the game of tag was lost 5 times in a row"
    check_partial(ended, record, agents, 5)


@pytest.mark.asyncio
async def test_a_run_without_one_answer_of_an_agent_is_no_success() -> None:
    agents = team()
    agents[1].act = lambda request: b"\xff"
    async with fake_team(*agents) as addresses:
        ended = await play_tag("--agents", addresses, "--episodes", 1)
    assert ended.code == 1
    assert json.loads(ended.out)["episodes"] == 1
    last = ended.err.splitlines()[-1]
    assert last.startswith("lan-play: error: agent 1 at ")
    assert "never answered a step: its answer is no ActResponse" in last


@pytest.mark.asyncio
async def test_an_environment_without_an_idle_action_says_what_silent_agents_play() -> None:
    agents = team()
    async with fake_team(*agents) as addresses:
        ended = await play_tag("--agents", addresses, "--episodes", 1, idle_actions=())
    assert ended.code == 0
    assert "tag has no action that does nothing" in ended.err


@pytest.mark.asyncio
async def test_the_report_is_not_lost_with_the_reader_of_stdout() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    async with fake_team(*team()) as addresses:
        try:
            ended = await play_tag("--agents", addresses, "--episodes", 1, stdout=writer)
        finally:
            os.close(writer)
    assert ended.code == 1
    assert "stdout cannot be written: Broken pipe" in ended.err
    report = next(line for line in ended.err.splitlines() if line.startswith("{"))
    assert json.loads(report)["episodes"] == 1
    assert "Traceback" not in ended.err


@pytest.mark.parametrize("end", ["read by nobody", "closed", "full"])
@pytest.mark.asyncio
async def test_a_run_does_not_depend_on_its_console(end: str) -> None:
    """The log of an agent that is lost and found at every step goes to a stderr that takes nothing."""
    agents = team()
    agents[0].act = lambda request: b"\xff" if request.step % 2 else agents[1].act(request)
    reader, writer = full_pipe() if end == "full" else os.pipe()
    if end == "closed":
        os.close(reader)
    async with fake_team(*agents) as addresses:
        try:
            ended = await play_tag("--agents", addresses, "--episodes", 30, stderr=writer, says_closed=False)
        finally:
            os.close(writer)
            if end != "closed":
                os.close(reader)
    assert ended.code == 0
    assert json.loads(ended.out)["episodes"] == 30


class SleepyEnv(TagEnv):
    """An environment that blocks, as a live game does that does not start."""

    def reset(self, mask: Any = None) -> TimeStep:
        time.sleep(60.0)
        return super().reset(mask)


def after(seconds: float, *signals: signal.Signals) -> None:
    """Send signals to this process."""

    def send() -> None:
        for number in signals:
            time.sleep(seconds)
            os.kill(os.getpid(), number)

    threading.Thread(target=send, daemon=True).start()


def test_an_environment_that_blocks_is_interrupted() -> None:
    said: list[str] = []

    async def play(stop: StopWish) -> None:
        try:
            InterruptibleEnv(SleepyEnv(), stop).reset()
        finally:
            await asyncio.sleep(0.1)
            said.append("good-bye")

    start_s = time.monotonic()
    after(0.2, signal.SIGTERM)
    with stop_wish() as stop, pytest.raises(KeyboardInterrupt):
        stop.run(lambda: play(stop))
    assert stop.exit_code(130) == 143
    assert stop.exit_code(2) == 2
    assert said == ["good-bye"]
    assert time.monotonic() - start_s < 10.0


@pytest.mark.parametrize(("pause_s", "hurries"), [(0.1, False), (0.6, True)])
def test_the_same_wish_twice_lets_the_good_bye_end_and_one_a_second_later_does_not(
    pause_s: float, hurries: bool
) -> None:
    said: list[str] = []

    async def play() -> None:
        try:
            await asyncio.sleep(60.0)
        finally:
            await asyncio.sleep(60.0 if hurries else 0.5)
            said.append("good-bye")

    after(pause_s, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    start_s = time.monotonic()
    with stop_wish() as stop, pytest.raises(KeyboardInterrupt):
        stop.run(play)
    assert said == ([] if hurries else ["good-bye"])
    assert stop.number == signal.SIGTERM
    assert time.monotonic() - start_s < 10.0


def test_plain_code_is_interrupted_and_a_report_is_not_until_the_second_wish() -> None:
    after(0.1, signal.SIGHUP)
    with stop_wish() as stop:
        stop.listen()
        with pytest.raises(KeyboardInterrupt):
            time.sleep(60.0)
    with stop_wish() as stop:
        stop.listen()
        stop.settle()
        stop.hear(signal.SIGTERM)
        stop.hear(signal.SIGTERM)
        stop._heard_s -= 2.0
        with pytest.raises(KeyboardInterrupt):
            stop.hear(signal.SIGTERM)


def test_signals_are_as_before_afterwards_and_ignored_ones_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup does
    try:
        with stop_wish() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
            assert signal.getsignal(signal.SIGTERM) == stop.hear
        assert signal.getsignal(signal.SIGTERM) != stop.hear
        assert stop.number == 0
    finally:
        signal.signal(signal.SIGHUP, before)


EVALUATION = """
import os, signal, sys
from envs.battle.teams import TEAMS
from exporters.evaluate import main

class Leaving:
    def __init__(self, env, seed):
        self.team, self.calls = TEAMS["random"](env, seed), 0

    def __call__(self, step):
        self.calls += 1
        if self.calls == 200:  # rounds have at most 60 steps
            os.kill(os.getpid(), signal.SIGTERM)
        return self.team(step)

TEAMS["leaving"] = Leaving
sys.exit(main(["--team", "leaving", "--map", "3m", "--episodes", "9999", "--json"]))
"""


def test_an_evaluation_is_interrupted_in_order_too() -> None:
    line = [sys.executable, "-c", EVALUATION]
    done = subprocess.run(
        line, cwd=ROOT, env=environment(), capture_output=True, timeout=RUN_TIMEOUT_S, check=False
    )
    assert done.returncode == 143, done.stderr
    assert b"lan-eval: interrupted" in done.stderr
    assert b"Traceback" not in done.stderr
    evaluation = json.loads(done.stdout)
    assert 0 < evaluation["episodes"] < evaluation["episodes_wanted"] == 9_999
