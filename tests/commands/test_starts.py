"""A signal while a command starts, and a full disk under what it prints, get one line and an exit code."""

import os
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path

import pytest

from envs.start import COMMANDS, SERVING
from tests.paths import ROOT
from tests.runtime.support.processes import PID_1, can_be_pid_1

MARK = (
    "import importlib; load = importlib.import_module; "
    "importlib.import_module = lambda name: os.write(1, b'.') and load(name)"
)
"""Says when a command begins to be imported."""
ENTRIES = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
HELP = {"lan-sc2 install": ["lan-sc2", "install", "--help"], **{name: [name, "--help"] for name in COMMANDS}}


def installed(name: str, *words: str, first: str = "pass") -> list[str]:
    """The command line of a command as pip installs it, after a statement `first`."""
    module, _, function = ENTRIES[name].partition(":")
    code = f"import os, sys; from {module} import {function}; {first}; sys.exit({function}())"
    return [sys.executable, "-c", code, *words]


@pytest.mark.parametrize(
    ("name", "moment_s"),
    [*((name, 0.0) for name in COMMANDS), ("lan-eval", 0.2), ("lan-export", 0.2), ("lan-inspect", 0.2)],
)
def test_a_signal_while_a_command_starts_ends_it_in_one_line(name: str, moment_s: float) -> None:
    """Unless it has ended, since `--help` takes no longer."""
    number = (signal.SIGINT, signal.SIGTERM)[len(name) % 2]
    process = subprocess.Popen(
        installed(name, "--help", first=MARK),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stdout.read(1) == b"."
    time.sleep(moment_s)
    process.send_signal(number)
    help_text, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors
    if not help_text or moment_s == 0.0:
        assert process.returncode == (0 if name in SERVING else 128 + number)
        assert errors.decode() == ("" if name in SERVING else f"{name}: interrupted\n")


@pytest.mark.skipif(not can_be_pid_1(), reason="this system lets nobody make a pid namespace")
@pytest.mark.parametrize(("name", "code"), [("lan-agent", 0), ("lan-play", 143)])
def test_sigterm_reaches_process_1_of_a_container_that_starts(name: str, code: int) -> None:
    """Linux gives process 1 only the signals that it handles."""
    line = [*PID_1, *installed(name, "--help", first=MARK)]
    process = subprocess.Popen(line, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT)
    assert process.stdout is not None
    assert process.stdout.read(1) == b"."
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(child), signal.SIGTERM)
    help_text, _ = process.communicate(timeout=60)
    assert (process.returncode, help_text) == (code, b"")


@pytest.mark.parametrize("words", HELP.values(), ids=HELP)
def test_help_that_cannot_be_written_is_no_success(words: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            installed(*words), stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, timeout=60
        )
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) <= 1
