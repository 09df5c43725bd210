from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import socket
import struct
import threading
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import policy_pb2
from protos.contract import SERVICE_NAME
from runtime.host import status
from runtime.identity.addresses import Address, parse_address, parse_addresses
from tests.runtime.support.processes import free_ports, run, started


def test_status_shows_a_team_and_fails_when_it_is_none(model_file: Path) -> None:
    port = free_ports(4)
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}",
        until="3 agents serve",
    ):  # fmt: skip
        done = run("status", "--agents", f"127.0.0.1:{port}-{port + 2}")
        assert done.returncode == 0
        assert done.stdout.count(" tag ") == 3
        assert "3 agents answer, all of one team" in done.stdout
        with started(
            "agent", "--model", model_file, "--agent-id", 1, "--listen", f"127.0.0.1:{port + 3}",
            until="agent 1 serves",
        ):  # fmt: skip
            again = run("status", "--agents", f"127.0.0.1:{port}-{port + 3}")
            assert again.returncode == 1
            assert "agent 1 is there twice" in again.stdout
    done = run("status", "--agents", f"127.0.0.1:{port},127.0.0.1:{port + 1}")
    assert done.returncode == 1
    assert done.stdout.count("is there one running?") == 2
    assert "2 of 2 do not answer" in done.stdout


@pytest.mark.parametrize(
    ("name", "flags", "code"), [("status", (), 1), ("play", ("--map", "3m", "--connect-timeout-s", 2), 2)]
)
def test_grpc_writes_nothing_of_its_own_when_a_connection_breaks(
    name: str, flags: tuple[object, ...], code: int
) -> None:
    """An agent that is taken down in the middle of a call sends such a frame."""
    text = struct.pack(">II", 0, 2) + b"Cancelling all calls"
    settings, goaway = bytes(3) + b"\x04\x00" + bytes(4), struct.pack(">I", len(text))[1:] + b"\x07\x00"

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # until the socket is closed
            while True:
                connection, _ = server.accept()
                with connection:
                    connection.sendall(settings)
                    connection.recv(4096)
                    connection.sendall(goaway + bytes(4) + text)
                    connection.recv(4096)

    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
        threads = [threading.Thread(target=serve, args=(server,), daemon=True) for server in servers]
        for thread in threads:
            thread.start()
        addresses = ",".join(f"127.0.0.1:{server.getsockname()[1]}" for server in servers)
        done = run(name, "--agents", addresses, *flags)
        for server in servers:
            server.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(10)
    assert done.returncode == code
    assert (done.stdout + done.stderr).count("Cancelling all calls") >= 3, "the frames have arrived"
    assert "chttp2" not in done.stderr


def answering(answer: bytes | Exception | None) -> Any:
    """A server whose Describe gives these bytes, fails, or (None) never answers, and its address."""

    def describe(request: bytes, context: Any) -> bytes:
        if isinstance(answer, Exception):
            context.abort(grpc.StatusCode.INTERNAL, str(answer))
        if answer is None:
            stopped.wait(30)
        return answer or b""

    stopped = threading.Event()
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2))
    handler = {"Describe": grpc.unary_unary_rpc_method_handler(describe)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE_NAME, handler)])
    address = parse_address(f"127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}")
    server.start()

    def stop() -> None:
        stopped.set()
        server.stop(0).wait()

    return address, stop


HOSTILE = policy_pb2.DescribeResponse(
    environment="[red]3m[/nonsense]\n\x1b[2J\x1b]0;x\x07",
    model_sha256="\x1b[1m" * 999,
    server_version="\u202e[/]",
).SerializeToString()


def test_no_answer_and_no_silence_hides_the_other_agents() -> None:
    answers = (b"\xff\xff\xff", b"", HOSTILE, RuntimeError("boom\n\x1b[2J[/red]"), None)
    with contextlib.ExitStack() as stack:
        addresses = []
        for answer in answers:
            address, stop = answering(answer)
            stack.callback(stop)
            addresses.append(str(address))
        silent = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        addresses += [f"127.0.0.1:{silent.getsockname()[1]}", "nosuch.invalid:1", "unix:1"]
        start_s = time.monotonic()
        done = run("status", "--agents", ",".join(addresses))
        assert time.monotonic() - start_s < 20
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert all(sum(line.startswith(f"│ {address} ") for line in lines) == 1 for address in addresses)
    assert not set(done.stdout) & {"\x1b", "\x07", "\u202e"}
    assert "[red]3m" in done.stdout


def test_many_addresses_are_asked_a_few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    at_once, most = 0, 0

    async def ask(address: Address, tls: None) -> str:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return str(address)

    monkeypatch.setattr(status, "ask", ask)
    addresses = parse_addresses("h:1-1000")
    assert asyncio.run(status.ask_all(addresses, None)) == list(map(str, addresses))
    assert most <= status.MOST_AT_ONCE
