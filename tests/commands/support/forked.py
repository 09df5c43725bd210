"""Runs commands in forks of one process that has imported all of them, so that a start costs milliseconds.

`python -m tests.commands.support.forked` is that process: one request per line, one line in answer.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import resource
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from envs.start import COMMANDS
from tests.paths import ROOT

HANG_S = 40.0
"""A command that still runs this long after SIGTERM hangs."""
MEMORY_BYTES = 12 << 30


@dataclass(frozen=True)
class Ended:
    """The end of a command: exit code (negative: a signal), text, whether SIGTERM and SIGKILL were needed."""

    code: int
    out: str
    err: str
    was_stopped: bool
    hung: bool

    def complaints(self, allowed: tuple[int, ...] = (0, 2)) -> list[str]:
        """What no command may do, whatever it was given."""
        found = []
        if self.hung:
            found.append("it did not end")
        elif self.code not in allowed and not (self.was_stopped and self.code in (130, 143, -signal.SIGTERM)):
            found.append(f"exit code {self.code}")
        signs = ("Traceback", "Exception ignored", "Warning:", "Segmentation", "Fatal Python")
        found += [sign for sign in signs if sign in self.err or sign in self.out]
        if self.code == 2 and not self.err.strip():
            found.append("it does not say why it refuses")
        said_by_us = "" if "For full helptext" in self.err else self.err  # tyro shows the words as they are
        if any(not (c.isprintable() or c == "\n") for c in said_by_us):
            found.append("control characters on stderr")
        return found


class Forks:
    """The process that forks, as the tests see it."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.commands.support.forked"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"},
        )  # fmt: skip

    def run(self, words: list[str], folder: Path, limit_s: float = 20.0) -> Ended:
        """Run `lan-…` in `folder`; after `limit_s` it is sent SIGTERM."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([words, str(folder), limit_s]) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)
        assert self._process.stdout is not None
        self._process.stdout.close()


def main() -> None:
    """Answer requests until stdin ends."""
    modules = {name: importlib.import_module(module) for name, module in COMMANDS.items()}
    for heavy in ("torch", "numba", "onnx", "onnxruntime", "grpc", "tyro", "rich.console", "rich.table"):
        importlib.import_module(heavy)
    for line in sys.stdin:
        words, folder, limit_s = json.loads(line)
        print(json.dumps(asdict(fork(modules[words[0]].main, words, folder, limit_s))), flush=True)


def fork(command: object, words: list[str], folder: str, limit_s: float) -> Ended:
    """One command in a process group that is gone afterwards."""
    said = [Path(folder) / name for name in (".stdout", ".stderr")]
    pid = os.fork()
    if pid == 0:
        run_in_child(command, words, folder, said)
    with contextlib.suppress(PermissionError):
        os.setpgid(pid, pid)
    code = wait(pid, limit_s)
    was_stopped = code is None
    if code is None:
        os.kill(pid, signal.SIGTERM)
        code = wait(pid, HANG_S)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
    hung = code is None
    if hung:
        os.waitpid(pid, 0)
    texts = [path.read_text(errors="backslashreplace") for path in said]
    for path in said:
        path.unlink()
    return Ended(-9 if code is None else code, *texts, was_stopped, hung)


def run_in_child(command: object, words: list[str], folder: str, said: list[Path]) -> None:
    code = 70
    try:
        os.setpgid(0, 0)
        os.chdir(folder)
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, path in enumerate(said, start=1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600), descriptor)
        sys.stdout = open(1, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
        sys.stderr = open(2, "w", closefd=False, errors="backslashreplace")  # noqa: SIM115
        sys.argv = list(words)
        try:
            assert callable(command)
            code = command() or 0
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(Exception):
                stream.flush()
        os._exit(code)


def wait(pid: int, limit_s: float) -> int | None:
    """The exit code once the process has ended; None when it has not by then."""
    end = time.monotonic() + limit_s
    pause_s = 0.002
    while time.monotonic() < end:
        done, status = os.waitpid(pid, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status)
        time.sleep(pause_s)
        pause_s = min(pause_s * 1.5, 0.1)
    return None


if __name__ == "__main__":
    main()
