"""Starting the runtime's commands as processes, as a person would."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from envs.start import COMMANDS
from tests.paths import ROOT

TIMEOUT_S = 30.0
RUN_TIMEOUT_S = 300.0
"""Long enough for the simulator to compile on a machine that is busy."""


def command(name: str, *flags: object, python: str = sys.executable) -> list[str]:
    """The command line of `lan-NAME`, which `python` need not have installed."""
    return [python, "-m", COMMANDS[f"lan-{name}"], *map(str, flags)]


def run(name: str, *flags: object) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command(name, *flags),
        capture_output=True,
        text=True,
        timeout=RUN_TIMEOUT_S,
        cwd=ROOT,
        env=environment(),
    )


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200"}


class Started:
    """A running command; `said` is what it has printed so far."""

    def __init__(self, process: subprocess.Popen[str], said: str) -> None:
        self.process = process
        self.said = said

    def pids(self) -> list[int]:
        """The processes that serve agents, in the order in which they were named."""
        return [int(pid) for pid in re.findall(r"process (\d+)", self.said)] or [self.process.pid]


@contextlib.contextmanager
def started(
    name: str,
    *flags: object,
    until: str,
    python: str = sys.executable,
    log: Path | None = None,
    before: tuple[str, ...] = (),
) -> Iterator[Started]:
    """Run a command in the background once it has printed `until`; it is stopped at the end.

    What it says on stderr goes to the file `log`; `before` are words before the command line.
    """
    with contextlib.ExitStack() as stack:
        stderr = None if log is None else stack.enter_context(log.open("w"))
        process = subprocess.Popen(
            [*before, *command(name, *flags, python=python)],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            cwd=ROOT,
            env=environment(),
        )
    assert process.stdout is not None
    said = ""
    try:
        while until not in said:
            line = process.stdout.readline()
            assert line, f"lan-{name} ended with {process.wait(TIMEOUT_S)} after saying {said!r}"
            said += line
        yield Started(process, said)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()


def free_ports(count: int) -> int:
    """The first of `count` consecutive free ports, below those that Linux hands out by itself."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    start = 10_000 + 7_000 * (worker % 3)  # tests that run side by side never try the same port
    for first in range(start + os.getpid() % 3_500, start + 7_000, count):
        with contextlib.ExitStack() as stack:
            try:
                for port in range(first, first + count):
                    stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
            return first
    raise AssertionError("no free ports")


PID_1 = ("unshare", "--map-root-user", "--pid", "--fork", "--kill-child=KILL")
"""Before a command line: it is process 1 of a pid namespace, as in a container."""


def can_be_pid_1() -> bool:
    """Whether this user may make a pid namespace."""
    if shutil.which("unshare") is None:
        return False
    return subprocess.run([*PID_1, "true"], capture_output=True, check=False).returncode == 0


def full_pipe() -> tuple[int, int]:
    """The reading and the writing end of a pipe that takes no byte more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with contextlib.suppress(BlockingIOError):
        while True:
            os.write(writer, b"x" * 4096)
    os.set_blocking(writer, True)
    return reader, writer


def wait_until(condition: object, what: str) -> None:
    """Poll a function until it is true."""
    assert callable(condition)
    deadline = time.monotonic() + TIMEOUT_S
    while not condition():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.01)
