"""A guarded command becomes its program, and is killed when the process that started it ends."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.processes import guarded
from tests.paths import ROOT


def script(path: Path, body: str) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def test_paths_and_arguments_with_spaces_and_exit_codes_pass(tmp_path: Path) -> None:
    game = script(tmp_path / "a folder" / "my game", 'printf "%s|" "$@"; exit 7')
    done = subprocess.run(guarded([game, "a b", ""]), capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (7, "a b||", "")


def test_the_guard_may_lie_under_a_path_with_spaces(tmp_path: Path) -> None:
    copy = tmp_path / "a folder" / "processes.py"
    copy.parent.mkdir()
    copy.write_bytes((ROOT / "envs/processes.py").read_bytes())
    command = guarded([script(tmp_path / "game", "echo plays")])
    command[command.index(str(ROOT / "envs/processes.py"))] = str(copy)
    assert subprocess.run(command, capture_output=True, text=True, timeout=60).stdout == "plays\n"


def test_a_program_that_is_missing_is_named(tmp_path: Path) -> None:
    done = subprocess.run(guarded([str(tmp_path / "missing")]), capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr


def test_a_guarded_program_does_not_outlive_the_process_that_started_it(tmp_path: Path) -> None:
    game = script(tmp_path / "game", "echo plays; exec sleep 600")
    host = (
        "import subprocess, os\nfrom envs.processes import guarded\n"
        f"game = subprocess.Popen(guarded([{game!r}]), stdout=subprocess.PIPE)\n"
        "game.stdout.readline()\nprint(game.pid, flush=True)\nos.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", host], cwd=ROOT, capture_output=True, text=True, timeout=60)
    deadline = time.monotonic() + 20
    while runs(int(done.stdout)):
        assert time.monotonic() < deadline, "the game still runs"
        time.sleep(0.02)


def runs(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False


ORPHAN = (
    "import os, signal, sys, time\n"
    "import envs.processes\n"
    "{missing}\n"
    "envs.processes.LOOK_EVERY_S = 0.05\n"
    "parent = os.getpid()\n"
    "pid = os.fork()\n"
    "if pid == 0:\n"
    "    assert envs.processes.end_with_parent(parent, signal.SIGTERM)\n"
    "    print(os.getpid(), flush=True)\n"
    "    time.sleep(600)\n"
    "time.sleep(600)\n"
)
MISSING = {
    "nothing": "",
    "ctypes": "sys.modules['ctypes'] = None",
    "libc": "import ctypes; ctypes.CDLL = lambda name: (_ for _ in ()).throw(OSError('no such library'))",
    "prctl": "import ctypes; ctypes.CDLL = lambda name: object()",
    "permission": (
        "import ctypes, types; ctypes.CDLL = lambda name: types.SimpleNamespace(prctl=lambda *given: -1)"
    ),
}


@pytest.mark.parametrize("missing", MISSING)
def test_a_process_ends_with_its_parent_whatever_the_system_lacks(missing: str) -> None:
    code = ORPHAN.format(missing=MISSING[missing])
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    assert runs(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while runs(child):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.02)


def test_a_guarded_program_runs_where_nothing_can_guard_it() -> None:
    code = (
        "import os, sys; sys.modules['ctypes'] = None\n"
        "from envs.processes import main\n"
        "main(os.getppid(), ['/bin/echo', 'plays'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "plays\n"
    assert done.stderr == "this system has no prctl: /bin/echo may outlive its parent if that is killed\n"
