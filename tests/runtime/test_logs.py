"""What the serving processes write: whole JSON, or lines that nobody can forge, for a reader or none."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import pty
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from protos import policy_pb2, policy_pb2_grpc
from runtime.logs import BURST, BURST_S, Bursts, JsonFormatter, TextFormatter
from runtime.outlets import KEPT_BYTES, LineStream, Outlet
from tests.runtime.support.certificates import make_pki
from tests.runtime.support.processes import (
    ROOT,
    command,
    environment,
    free_ports,
    full_pipe,
    run,
    started,
    wait_until,
)

FORGED = "\n2026-01-01 00:00:00,000 lan.agent agent 0: all is well\r\x1b[2Jx\u2028y"


def record(
    text: str, *args: object, error: BaseException | None = None, **facts: object
) -> logging.LogRecord:
    made = logging.LogRecord("lan.agent", logging.INFO, __file__, 1, text, args, None)
    if error is not None:
        made.exc_info = (type(error), error, None)
    made.__dict__.update(facts)
    return made


@pytest.fixture
def pipe() -> Iterator[tuple[int, Outlet]]:
    read_end, write_end = os.pipe2(os.O_NONBLOCK)
    yield read_end, Outlet(write_end)
    for fd in (read_end, write_end):
        with contextlib.suppress(OSError):
            os.close(fd)


def read_all(fd: int) -> bytes:
    data = b""
    with contextlib.suppress(BlockingIOError):
        while part := os.read(fd, 1 << 20):
            data += part
    return data


def test_a_slow_reader_gets_every_line_in_order(pipe: tuple[int, Outlet]) -> None:
    read_end, outlet = pipe
    lines = [f"{number} {'x' * (number * 97 % 5000)}\n" for number in range(60)]
    got = b""
    for number, line in enumerate(lines):
        outlet.write(line)
        if number % 20 == 19:
            got += read_all(read_end)
    while not outlet.flush():
        got += read_all(read_end)
    got += read_all(read_end)
    assert got.decode() == "".join(lines)
    assert outlet.dropped == 0


def test_of_too_much_for_a_reader_the_oldest_whole_lines_are_dropped(pipe: tuple[int, Outlet]) -> None:
    read_end, outlet = pipe
    count = 3 * KEPT_BYTES // 1000
    for number in range(count):
        outlet.write(f"{number:6d}{'x' * 993}\n")
    got = b""
    while not outlet.flush():
        got += read_all(read_end)
    lines = (got + read_all(read_end)).decode().splitlines()
    assert {len(line) for line in lines} == {999}
    assert len(lines) + outlet.dropped == count
    assert int(lines[-1][:6]) == count - 1
    assert len(lines) * 1000 < KEPT_BYTES + 70_000


def test_a_reader_that_went_away_is_no_error(pipe: tuple[int, Outlet]) -> None:
    read_end, outlet = pipe
    os.close(read_end)
    for _ in range(3):
        outlet.write("line\n")
    assert outlet.flush()
    assert outlet.dropped == 3


@pytest.mark.parametrize("broken", ["closed", "full"])
def test_a_descriptor_that_takes_nothing_is_no_error(broken: str) -> None:
    fd = os.open("/dev/full" if broken == "full" else os.devnull, os.O_WRONLY)
    outlet = Outlet(fd)
    if broken == "closed":
        os.close(fd)
    outlet.write("line\n")
    assert outlet.dropped == 1
    assert outlet.flush()
    if broken == "full":
        os.close(fd)


def test_the_end_of_a_process_waits_for_its_reader_but_not_for_ever(pipe: tuple[int, Outlet]) -> None:
    _, outlet = pipe
    for _ in range(100):
        outlet.write("x" * 1000 + "\n")
    start_s = time.monotonic()
    outlet.finish(0.2)
    assert 0.15 < time.monotonic() - start_s < 2


def test_what_is_printed_becomes_whole_lines(pipe: tuple[int, Outlet]) -> None:
    lines: list[str] = []
    stream = LineStream(pipe[1], lines.append)
    stream.write("a")
    stream.write("b\nc\n\nd")
    assert lines == ["ab", "c", ""]
    stream.flush()
    assert lines == ["ab", "c", "", "d"]


@pytest.mark.parametrize("agent_id", [None, 3])
def test_foreign_text_can_forge_no_line_of_a_text_log(agent_id: int | None) -> None:
    formatter = TextFormatter(agent_id)
    for made in (record(FORGED), record("refused: %s", FORGED), record("x", error=ValueError(FORGED))):
        first, *others = formatter.format(made).split("\n")
        assert " lan.agent " in first
        assert all(line.startswith("    ") for line in others)
        assert all(c.isprintable() for line in (first, *others) for c in line)
    assert "ValueError" in formatter.format(record("x", error=ValueError("why")))
    assert len(formatter.format(record("x", error=ValueError("why"))).splitlines()) == 2


def test_foreign_text_stays_in_its_json_object() -> None:
    line = JsonFormatter(1).format(record("refused: %s", FORGED, error=ValueError(FORGED), reason="\ud800"))
    assert line.isascii()
    assert len(line.splitlines()) == 1
    assert json.loads(line)["event"] == f"refused: {FORGED}"


def test_a_burst_is_logged_in_part_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now_s = 100.0
    bursts = Bursts(lambda: now_s)
    seen = [bursts.filter(record("refused", reason="A")) for _ in range(3 * BURST)]
    assert sum(seen) == BURST
    assert seen[:BURST] == [True] * BURST
    assert bursts.filter(record("refused", reason="B"))
    bursts.report()
    assert caplog.messages == []
    now_s += BURST_S
    bursts.report()
    assert caplog.messages == [f"{2 * BURST} more within 10 s, the last: refused"]
    assert bursts.filter(record("refused", reason="A"))


def flags(model_file: Path, port: int, *more: object) -> list[str]:
    address = f"127.0.0.1:{port}"
    return command("agent", "--model", model_file, "--agent-id", 0, "--listen", address, *more)


def answers(port: int, refusals: int = 0) -> bool:
    """Whether the agent answers after so many requests that it refuses."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = policy_pb2_grpc.PolicyServiceStub(channel)
        stub.Describe(policy_pb2.DescribeRequest(), timeout=20, wait_for_ready=True)
        for _ in range(refusals):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Act(policy_pb2.ActRequest(episode_id=FORGED), timeout=5)
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        return bool(stub.Describe(policy_pb2.DescribeRequest(), timeout=5).agent_id == 0)


def unread_pipe() -> tuple[int, Callable[[], None]]:
    read_end, write_end = full_pipe()
    return write_end, lambda: os.close(read_end)


def broken_pipe() -> tuple[int, Callable[[], None]]:
    read_end, write_end = os.pipe()
    os.close(read_end)
    return write_end, lambda: None


def vanished_terminal() -> tuple[int, Callable[[], None]]:
    master, slave = pty.openpty()
    os.close(master)
    return slave, lambda: None


def full_disk() -> tuple[int, Callable[[], None]]:
    return os.open("/dev/full", os.O_WRONLY), lambda: None


def unread_socket() -> tuple[int, Callable[[], None]]:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            theirs.send(b"x" * 4096)
    theirs.setblocking(True)
    return theirs.detach(), ours.close


@pytest.mark.parametrize(
    ("broken", "log_json"),
    [
        (unread_pipe, False),
        (unread_pipe, True),
        (broken_pipe, False),
        (vanished_terminal, False),
        (full_disk, True),
        (unread_socket, False),
    ],
)
def test_an_agent_plays_on_and_stops_whatever_its_console_is(
    model_file: Path, broken: Callable[[], tuple[int, Callable[[], None]]], log_json: bool
) -> None:
    port = free_ports(1)
    fd, close = broken()
    more = ["--log-json"] if log_json else []
    process = subprocess.Popen(
        flags(model_file, port, *more), stdout=fd, stderr=fd, cwd=ROOT, env=environment()
    )
    try:
        assert answers(port, refusals=300)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()
        os.close(fd)
        close()


@pytest.mark.parametrize("closed", ["2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("name", ["agent", "agents"])
def test_an_agent_serves_with_descriptors_that_are_closed(model_file: Path, name: str, closed: str) -> None:
    port = free_ports(1)
    who = ["--agent-id", "0"] if name == "agent" else ["--agents", "0"]
    words = command(name, "--model", model_file, "--listen", f"127.0.0.1:{port}", *who)
    process = subprocess.Popen(
        ["bash", "-c", f'exec "$@" {closed}', "bash", *words],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=ROOT,
        env=environment(),
    )
    try:
        assert answers(port, refusals=3)
        process.send_signal(signal.SIGTERM)
        assert process.wait(15) == 0
    finally:
        process.kill()
        process.wait()


def test_refusals_are_logged_at_a_bounded_rate(model_file: Path, tmp_path: Path) -> None:
    port = free_ports(1)
    log = tmp_path / "log"
    with started(
        "agent", "--model", model_file, "--agent-id", 0, "--listen", f"127.0.0.1:{port}",
        until="serves", log=log,
    ) as agent:  # fmt: skip
        assert answers(port, refusals=200)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.process.wait(10) == 0
    lines = log.read_text().splitlines()
    assert len(lines) <= 3 * BURST
    counted = sum(int(line.split(": ")[1].split()[0]) for line in lines if "more within" in line)
    assert counted + sum(": refused: " in line and "more" not in line for line in lines) == 200


@pytest.mark.parametrize(
    "wrong",
    [
        ["--no-such-flag"],
        ["--agent-id", "many"],
        ["--agent-id", "99"],
        ["--agent-id", "0", "--listen", FORGED],
        ["--agent-id", "0", "--model", "/nowhere"],
    ],
)
def test_with_json_logs_what_is_wrong_at_the_start_is_json_too(model_file: Path, wrong: list[str]) -> None:
    done = run("agent", "--model", model_file, "--log-json", *wrong)
    assert done.returncode == 2
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert events
    assert all(isinstance(event, dict) for event in events)


def test_with_json_logs_every_line_is_json_refused_handshakes_too(model_file: Path, tmp_path: Path) -> None:
    pki = make_pki(tmp_path / "pki")
    port = free_ports(1)
    tls = [
        "--tls-cert",
        pki / "agent-0.pem",
        "--tls-key",
        pki / "agent-0-key.pem",
        "--tls-ca",
        pki / "ca.pem",
    ]
    log = tmp_path / "log"
    with started(
        "agents", "--model", model_file, "--agents", "0", "--listen", f"127.0.0.1:{port}", *tls,
        "--log-json", until="1 agents serve", log=log,
    ) as agents:  # fmt: skip
        with socket.create_connection(("127.0.0.1", port)) as plain:
            plain.sendall(b"GET / HTTP/1.1\r\n\r\n")
            plain.recv(10)
        nobody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        nobody.check_hostname = False
        nobody.verify_mode = ssl.CERT_NONE
        nobody.set_alpn_protocols(["h2"])
        with (
            contextlib.suppress(OSError),
            socket.create_connection(("127.0.0.1", port)) as connection,
            nobody.wrap_socket(connection) as wrapped,
        ):
            wrapped.recv(10)
        wait_until(lambda: log.read_text().count("TLS_HANDSHAKE") >= 2, "two refused handshakes")
        agents.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "the model stays as it is" in log.read_text(), "the model to be read again")
        agents.process.send_signal(signal.SIGTERM)
        assert agents.process.wait(10) == 0
    events = [json.loads(line) for line in log.read_text().splitlines()]
    refused = [event for event in events if event.get("reason") == "TLS_HANDSHAKE"]
    assert all(
        event["agent_id"] == 0 and event["event"].startswith("refused: Handshake") for event in refused
    )


@pytest.mark.parametrize("as_json", [False, True])
def test_uncaught_exceptions_warnings_and_text_of_c_are_events(as_json: bool) -> None:
    code = (
        "import os, sys, threading, warnings\n"
        "from runtime.logs import configure_logs, capture_native_text\n"
        f"configure_logs({as_json})\n"
        "capture_native_text()\n"
        "print('printed', file=sys.stderr)\n"
        "os.write(2, b'I0000 00:00:1790000000.123456    77 file.cc:12] from C\\n')\n"
        "os.write(2, b'no prefix \\xff\\x1b[2J\\n')\n"
        "warnings.warn('a warning')\n"
        "thread = threading.Thread(target=lambda: 1 / 0)\n"
        "thread.start(); thread.join()\n"
        "raise ValueError('the\\n2026-01-01 00:00:00,000 lan end')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, env=environment(), timeout=30
    )
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    for text in ("printed", "from C", "no prefix", "a warning", "ZeroDivisionError", "ValueError"):
        assert text in done.stderr
    if as_json:
        events = [json.loads(line) for line in lines]
        assert [event["level"] for event in events if event["event"] == "from C"] == ["info"]
    else:
        assert not [line for line in lines if line.startswith("2026-01-01 00:00:00")]
        assert "\x1b" not in done.stderr


def test_a_forked_process_does_not_repeat_what_its_parent_keeps(tmp_path: Path) -> None:
    code = (
        "import logging, os, sys\n"
        "from runtime.logs import configure_logs, finish_logs\n"
        "configure_logs(False)\n"
        "for number in range(200): print('x' * 1000, file=sys.stderr)\n"
        "if os.fork() == 0:\n"
        "    configure_logs(False, 7)\n"
        "    logging.getLogger('lan').warning('from the child')\n"
        "    finish_logs()\n"
        "    os._exit(0)\n"
        "os.wait()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
    )
    assert process.stderr is not None
    time.sleep(1.0)  # while nobody reads
    lines = process.stderr.read().splitlines()
    assert process.wait(20) == 0
    process.stderr.close()
    assert sum(line.endswith("agent 7: from the child") for line in lines) <= 1
    assert sum(line == "x" * 1000 for line in lines) == 200
