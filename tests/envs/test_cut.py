"""A process that hangs in a library in C, which holds the interpreter's lock, ends nevertheless."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from tests.paths import ROOT
from tests.runtime.support.processes import PID_1, can_be_pid_1, environment, full_pipe

HANG = "import ctypes\ndef hang():\n    ctypes.PyDLL(None).sleep(600)\n"
"""No handler of a signal, and no other thread of Python, runs in the meantime."""
CUT = HANG + "from envs.stopping import cut_after\ncut_after(0.2)\nhang()\n"
MOST_S = 60.0
"""A tenth of what the library sleeps; a start on a busy machine takes seconds."""


def ended(code: str, before: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run a program to its end."""
    return subprocess.run(
        [*before, sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(),
        timeout=MOST_S, check=False,
    )  # fmt: skip


@pytest.mark.parametrize("before", [(), PID_1], ids=["a process", "process 1 of a container"])
def test_it_is_cut_with_exit_code_1_and_says_where_it_stood(before: tuple[str, ...]) -> None:
    if before and not can_be_pid_1():
        pytest.skip("no pid namespace may be made here")
    done = ended(CUT, before)
    assert done.returncode == 1
    assert done.stderr.startswith("Timeout (")
    assert "in hang" in done.stderr


def test_it_is_cut_also_where_nobody_reads_its_stderr() -> None:
    reader, writer = full_pipe()
    os.set_blocking(writer, True)
    try:
        process = subprocess.Popen([sys.executable, "-c", CUT], stderr=writer, cwd=ROOT, env=environment())
        try:
            assert process.wait(MOST_S) == 1
        finally:
            process.kill()
            process.wait()
    finally:
        os.close(reader)
        os.close(writer)


def test_it_is_cut_while_a_coroutine_that_was_interrupted_says_good_bye() -> None:
    code = HANG + (
        "import asyncio, os, signal\n"
        "from envs import stopping\n"
        "stopping.GOOD_BYE_S = 0.2\n"
        "async def play():\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    try:\n"
        "        await asyncio.sleep(600)\n"
        "    finally:\n"
        "        hang()\n"
        "with stopping.stop_wish() as stop:\n"
        "    stop.run(play)\n"
    )
    done = ended(code)
    assert done.returncode == 1
    assert "in play" in done.stderr


def test_what_ends_in_time_is_not_cut() -> None:
    code = (
        "import time\n"
        "from envs.stopping import cut_if_longer\n"
        "with cut_if_longer(0.2):\n"
        "    pass\n"
        "time.sleep(0.5)\n"
    )
    begun_s = time.monotonic()
    done = ended(code)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun_s > 0.5
