"""Printing goes on, or is left out, whatever becomes of the reader; the exit code says what was done."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from envs.console import KEPT_BYTES, PatientStream
from tests.paths import ROOT


def stream_to(descriptor: int) -> PatientStream:
    stream = PatientStream(descriptor, "utf-8", is_terminal=False)
    os.close(descriptor)
    return stream


def read_all(descriptor: int) -> bytes:
    with os.fdopen(descriptor, "rb") as file:
        return file.read()


def test_what_is_read_arrives_whole_and_in_order() -> None:
    reader, writer = os.pipe()
    stream = stream_to(writer)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(read_all(reader)))
    thread.start()
    lines = [f"line {n} é\n" for n in range(20_000)]  # more than a pipe holds
    for line in lines:
        print(line, end="", file=stream)
    print("no newline", end="", file=stream)
    assert stream.finish() is None
    thread.join(timeout=10)
    assert got[0].decode() == "".join(lines) + "no newline"


def test_a_reader_that_is_gone_costs_nothing() -> None:
    reader, writer = os.pipe()
    stream = stream_to(writer)
    os.close(reader)
    start = time.monotonic()
    for _ in range(1_000):
        print("line", file=stream)
    assert stream.finish() == "Broken pipe"
    assert time.monotonic() - start < 5


def test_a_reader_that_does_not_read_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.console.FAREWELL_S", 0.1)
    reader, writer = os.pipe()
    stream = stream_to(writer)
    start = time.monotonic()
    for _ in range(3 * KEPT_BYTES // 1_000):
        print("x" * 999, file=stream)
    assert len(stream._waiting) <= KEPT_BYTES  # memory does not grow either
    assert stream.finish() == "nobody reads it"
    assert time.monotonic() - start < 5
    os.close(reader)


def test_a_reader_that_reads_again_gets_what_it_missed() -> None:
    reader, writer = os.pipe()
    stream = stream_to(writer)
    lines = [f"{n:0>1000}\n" for n in range(200)]
    for line in lines:
        print(line, end="", file=stream)
    got: list[bytes] = []
    thread = threading.Thread(target=lambda: got.append(read_all(reader)))
    thread.start()
    assert stream.finish() is None
    thread.join(timeout=10)
    assert got[0].decode() == "".join(lines)


def test_a_full_disk_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write, is_full = tmp_path / "log", os.write, threading.Event()

    def write_or_fail(descriptor: int, data: bytes) -> int:
        if is_full.is_set():
            raise OSError(28, "No space left on device")
        return write(descriptor, data)

    monkeypatch.setattr("envs.console.os.write", write_or_fail)
    stream = stream_to(os.open(path, os.O_WRONLY | os.O_CREAT))
    print("before", file=stream)
    is_full.set()
    print("while it is full", file=stream)
    assert path.read_text() == "before\n"
    is_full.clear()
    print("after", file=stream)
    assert stream.finish() is None
    assert path.read_text() == "before\nwhile it is full\nafter\n"


def command(body: str, listing: bool = False) -> list[str]:
    """A program that runs `body` as a command of the project."""
    code = (
        "import sys\nfrom dataclasses import dataclass\nfrom envs.command import run_command\n"
        "from envs.console import patient_output\n@dataclass(frozen=True)\nclass Config:\n    pass\n"
        f"def run(config):\n{body}\n"
        "def main():\n"
        f"    return run_command(Config, run, prog='it', description='', argv=[], listing={listing})\n"
        "sys.exit(main())"
    )
    return [sys.executable, "-c", code]


UNWRITTEN = "it: error: its output could not be written: "
FILES_ERROR = "    open('/dev/full', 'w', 1).write('text\\n')"
LISTING = "    for n in range(50000): print(n)"
LONG_WORK = """    with patient_output('it'):
        for n in range(20000): print(n)
    print('done', file=sys.stderr)"""


@pytest.mark.parametrize(
    ("words", "redirected", "code", "said"),
    [
        (command(LISTING, listing=True), "| head -1", 0, ""),
        (command(LISTING), "| head -1", 1, f"{UNWRITTEN}[Errno 32] Broken pipe"),
        (command("    print('short')", listing=True), "| true", 0, ""),
        (command(LISTING, listing=True), "> /dev/full", 1, f"{UNWRITTEN}[Errno 28] No space left on device"),
        (command("    print('short')", listing=True), "> /dev/full", 1, "No space left on device"),
        (command(LISTING, listing=True), ">&-", 0, ""),
        (command("    print('short')", listing=True), "> /dev/full", 1, UNWRITTEN),
        (command(FILES_ERROR), "> /dev/full", 1, "it: error: [Errno 28] No space left on device\n"),
        (command(LONG_WORK), "| head -1", 0, "it: not all output could be written: Broken pipe\ndone"),
        (command(LONG_WORK), "> /dev/full", 0, "No space left on device\ndone"),
        (command(LONG_WORK), ">&-", 0, "done"),
        (command(LONG_WORK), "1< /dev/null", 0, "Bad file descriptor\ndone"),
        (command("    raise OSError(5, 'Input/output error', 'disk')"), "", 1, "it: error: [Errno 5]"),
        (command("    open('missing')"), "2>&-", 1, ""),
        (command("    print('\\udce4 é …')"), "", 0, ""),
    ],
)  # fmt: skip
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_exit_codes_where_nobody_reads(
    words: list[str], redirected: str, code: int, said: str, unbuffered: str
) -> None:
    done = subprocess.run(
        ["bash", "-c", f'"$@" {redirected}; exit "${{PIPESTATUS[0]}}"', "bash", *words],
        capture_output=True, text=True, timeout=120,
        env={
            **os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": "ascii", "PYTHONUNBUFFERED": unbuffered
        },
    )  # fmt: skip
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    assert "Exception ignored" not in done.stderr
    if not said:
        assert done.stderr == ""
