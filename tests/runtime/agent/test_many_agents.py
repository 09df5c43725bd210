"""lan-agents, from its start to its end, whatever it was started with and whoever has left."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.support.processes import (
    ROOT,
    command,
    environment,
    free_ports,
    full_pipe,
    started,
    wait_until,
)


def test_with_port_0_each_agent_takes_a_free_one_and_its_successor_the_same(
    model_file: Path, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", "127.0.0.1:0",
        until="3 agents serve", log=log,
    ) as agents:  # fmt: skip
        ports = [int(port) for port in re.findall(r"agent \d 127\.0\.0\.1:(\d+) ", agents.said)]
        assert len(set(ports)) == 3
        assert min(ports) >= 1024
        os.kill(agents.pids()[1], signal.SIGKILL)
        wait_until(lambda: "agent 1 serves again" in log.read_text(), "a new agent 1")
        assert all(map(answers, ports))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_signals_during_the_start_stop_the_agents_or_are_kept(
    model_file: Path, tmp_path: Path, number: int
) -> None:
    """Until the interpreter has come to our code, a signal ends it as it ends every program."""
    port = free_ports(2)
    words = command("agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}")
    for delay_s in (0.0, 0.1, 0.3):
        with starting(words, tmp_path / "log") as process:
            wait_until(lambda process=process: keeps(process.pid, number), "the signals to be kept")
            time.sleep(delay_s)
            process.send_signal(number)
            if number == signal.SIGHUP:
                wait_until(lambda: answers(port) and answers(port + 1), "both agents")
                process.terminate()
            assert process.wait(20) == 0
        assert "Traceback" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_agents_serve_without_standard_streams(model_file: Path, tmp_path: Path, closed: str) -> None:
    port = free_ports(2)
    words = command("agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}")
    with starting(["bash", "-c", f'exec "$@" {closed}', "-", *words], tmp_path / "log") as process:
        wait_until(lambda: answers(port) and answers(port + 1), "both agents")
        for pid in (process.pid, *children_of(process.pid)):
            targets = [str(Path(f"/proc/{pid}/fd/{fd}").readlink()) for fd in range(3)]
            assert not any(target.startswith(("socket:", "pipe:", "anon_inode")) for target in targets)
        process.terminate()
        assert process.wait(20) == 0


def test_agents_serve_on_when_the_reader_of_their_output_has_left(model_file: Path, tmp_path: Path) -> None:
    port = free_ports(2)
    words = command("agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}")
    read_end, write_end = os.pipe()
    os.close(read_end)
    with starting(words, tmp_path / "log", write_end) as process:
        os.close(write_end)
        wait_until(lambda: answers(port) and answers(port + 1), "both agents")
        os.kill(children_of(process.pid)[0], signal.SIGKILL)
        wait_until(lambda: "serves again" in (tmp_path / "log").read_text(), "a successor")
        process.terminate()
        assert process.wait(20) == 0


def test_a_log_that_nobody_reads_keeps_no_agent_from_its_restart(model_file: Path) -> None:
    port = free_ports(2)
    words = command("agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}")
    read_end, write_end = full_pipe()
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=write_end,
    )
    os.close(write_end)
    try:
        assert process.stdout is not None
        while b"2 agents serve" not in process.stdout.readline():  # else its end ends all
            assert process.poll() is None
        for _ in range(2):
            before = set(children_of(process.pid))
            os.kill(min(before), signal.SIGKILL)
            wait_until(lambda before=before: set(children_of(process.pid)) - before, "a successor")
            wait_until(lambda: answers(port) and answers(port + 1), "both agents")
        process.terminate()
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.communicate()
        os.close(read_end)


@contextlib.contextmanager
def starting(
    words: list[str], log: Path, stdout: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A process that has just been started; it logs to a file, and is killed at the end."""
    with log.open("w") as stderr:
        process = subprocess.Popen(
            words, cwd=ROOT, env=environment(), stdin=subprocess.DEVNULL, stdout=stdout, stderr=stderr
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def keeps(pid: int, number: int) -> bool:
    """Whether a process handles a signal, and SIGCHLD, which Python itself never does."""
    caught = re.search(r"SigCgt:\s*([0-9a-f]+)", Path(f"/proc/{pid}/status").read_text())
    mask = 0 if caught is None else int(caught[1], 16)
    return all(mask >> (each - 1) & 1 for each in (number, signal.SIGCHLD))


def answers(port: int) -> bool:
    """Whether anybody accepts connections on a port of this machine."""
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
