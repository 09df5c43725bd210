"""A command whose standard streams are closed opens nothing in their place, and goes on without a reader."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.paths import ROOT

SHOW = (
    "import os, sys\n"
    "from envs.streams import hold_standard_streams\n"
    "hold_standard_streams()\n"
    "opened = os.open('/', os.O_RDONLY)\n"
    "print('to nobody'); print('to nobody', file=sys.stderr); sys.stdin.read()\n"
    "devices = [os.fstat(fd).st_rdev == os.stat(os.devnull).st_rdev for fd in range(3)]\n"
    "kept = [os.get_inheritable(fd) for fd in range(3)]\n"
    "os.write(int(sys.argv[1]), repr((opened > 2, devices, kept)).encode())\n"
)


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-", ">&- 2>&-"])
def test_closed_standard_streams_become_dev_null(closed: str) -> None:
    read_end, write_end = os.pipe()
    with os.fdopen(read_end) as answer:
        command = ["bash", "-c", f'exec "$@" {closed}', "-", sys.executable, "-c", SHOW, str(write_end)]
        subprocess.run(
            command, check=True, pass_fds=[write_end], cwd=ROOT, timeout=60, input=b"", capture_output=True
        )
        os.close(write_end)
        held = ["<&-" in closed, ">&-" in closed.replace("2>&-", ""), "2>&-" in closed]
        assert answer.read() == repr((True, held, [True] * 3))
