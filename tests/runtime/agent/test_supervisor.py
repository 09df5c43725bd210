"""What fails while one child is started, changed or ended is tried again, and no other child notices."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.support.processes import PID_1, ROOT, Started, can_be_pid_1, environment, wait_until


@contextlib.contextmanager
def supervised(log: Path, *words: str, before: tuple[str, ...] = ()) -> Iterator[Started]:
    """A supervisor with two ready children that do what a scenario says; it logs to the file `log`."""
    command = [*before, sys.executable, "-m", "tests.runtime.support.supervised", *words]
    with log.open("w") as stderr:
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=stderr, text=True, cwd=ROOT, env=environment()
        )
    assert process.stdout is not None
    try:
        said = process.stdout.readline()
        assert said.startswith("ready"), log.read_text()
        yield Started(process, said)
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def log_says(log: Path, pattern: str) -> None:
    wait_until(lambda: re.search(pattern, log.read_text()), f"{pattern!r} in the log")


@pytest.mark.parametrize("failure", ["fork", "descriptor", "watch", "memory"])
def test_a_child_that_cannot_be_started_is_tried_again_while_the_others_go_on(
    tmp_path: Path, failure: str
) -> None:
    log = tmp_path / "log"
    with supervised(log, "serve", failure) as team:
        first, second = team.pids()
        os.kill(first, signal.SIGKILL)
        log_says(log, "agent 0 cannot be started: .*; next try in")
        log_says(log, "agent 0 serves again")
        assert is_running(second)
        assert log.read_text().count("cannot be started") == 3
        assert "Traceback" not in log.read_text()
        team.process.send_signal(signal.SIGTERM)
        assert team.process.wait(10) == 0


def test_a_fork_that_fails_at_the_start_is_tried_again(tmp_path: Path) -> None:
    with supervised(tmp_path / "log", "serve", "first fork") as team:
        assert len(set(team.pids())) == 2


def test_nothing_needs_pidfds(tmp_path: Path) -> None:
    with supervised(tmp_path / "log", "serve", "no pidfd") as team:
        os.kill(team.pids()[0], signal.SIGKILL)
        log_says(tmp_path / "log", "agent 0 serves again")


def test_a_child_that_hangs_in_its_start_is_named_killed_and_started_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with supervised(log, "hang_once") as team:
        os.kill(team.pids()[0], signal.SIGKILL)
        log_says(log, r"agent 0 \(process \d+\) is not ready after 1 s and is killed")
        log_says(log, "agent 0 serves again")


def test_a_child_that_does_not_take_an_offer_is_named_and_asked_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with supervised(log, "refuse_twice") as team:
        first, second = team.pids()
        team.process.send_signal(signal.SIGHUP)
        log_says(log, rf"agent 0 \(process {first}\) goes on with what it had before, and is asked again")
        wait_until(lambda: log.read_text().count("asked again") == 2, "the third offer")
        assert f"process {second}" not in log.read_text()
        time.sleep(0.5)
        assert log.read_text().count("asked again") == 2
        assert is_running(first)


@pytest.mark.parametrize("failure", ["", "no prctl"])
def test_children_end_with_a_parent_that_is_killed(tmp_path: Path, failure: str) -> None:
    with supervised(tmp_path / "log", "serve", *[failure] * bool(failure)) as team:
        first, second = team.pids()
        os.kill(first, signal.SIGKILL)  # its successor is forked later, and may hold nobody's line open
        log_says(tmp_path / "log", "agent 0 serves again")
        pids = [*children_of(team.process.pid), second]
        team.process.kill()
        for pid in pids:
            wait_until(lambda pid=pid: not is_running(pid), f"process {pid} to end")


def test_children_that_ignore_sigterm_are_killed_after_the_grace_period(tmp_path: Path) -> None:
    with supervised(tmp_path / "log", "ignore_sigterm") as team:
        for _ in range(3):  # the same wish again changes nothing
            team.process.send_signal(signal.SIGTERM)
        assert team.process.wait(20) == 1
        assert not any(map(is_running, team.pids()))
        assert "agents that did not stop are killed" in (tmp_path / "log").read_text()


@pytest.mark.parametrize("failure", ["slow fork", ""])
def test_sigterm_during_a_restart_ends_the_new_child_too(tmp_path: Path, failure: str) -> None:
    """A child that lost the signal, between its fork and its first instruction, would need SIGKILL."""
    for pause_s in (0.0, 0.001, 0.004):
        with supervised(tmp_path / "log", "serve", *[failure] * bool(failure)) as team:
            os.kill(team.pids()[0], signal.SIGKILL)
            deadline_s = time.monotonic() + 10
            while set(children_of(team.process.pid)) <= set(team.pids()):
                assert time.monotonic() < deadline_s, "no new child"
            time.sleep(pause_s)
            team.process.send_signal(signal.SIGTERM)
            assert team.process.wait(20) == 0


def test_sighups_at_any_moment_end_nobody(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with supervised(log, "serve") as team:
        for _ in range(20):
            for pid in children_of(team.process.pid)[:1]:
                os.kill(pid, signal.SIGKILL)
            for _ in range(5):
                team.process.send_signal(signal.SIGHUP)
                for pid in children_of(team.process.pid):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGHUP)  # as when a terminal goes away
                time.sleep(0.003)
        assert "SIGHUP" not in log.read_text()
        assert team.process.poll() is None


@pytest.mark.skipif(not can_be_pid_1(), reason="no right to make process namespaces")
def test_as_process_1_it_reaps_orphans_and_stops_at_sigterm(tmp_path: Path) -> None:
    with supervised(tmp_path / "log", "leave_an_orphan", before=PID_1) as team:
        (first,) = children_of(team.process.pid)
        time.sleep(3)  # several orphans have ended by now
        for pid in children_of(first):
            assert is_running(pid), "a zombie"
        os.kill(first, signal.SIGTERM)
        assert team.process.wait(10) == 0


def test_agents_that_are_not_ready_in_time_are_named() -> None:
    code = (
        "import time\n"
        "from tests.runtime.support import supervised\n"
        "supervised.AGENTS['serve'] = lambda agent_id, address, line: time.sleep(60)\n"
        "from envs.errors import InputError\n"
        "try:\n    supervised.main('serve')\nexcept InputError as error:\n    print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=30
    )
    assert re.fullmatch(
        r"not ready within 1 s: agent 0 \(process \d+\); agent 1 \(process \d+\)\n", done.stdout
    ), done.stderr
