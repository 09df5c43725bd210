"""The websocket: TEXT frames, BINARY answers, a game of its own for every client, no frame that kills."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

pytest.importorskip("s2clientprotocol")
pytest.importorskip("websocket")
pytest.importorskip("websockets")

import websocket

from envs.errors import InputError
from envs.sc2.descriptors import sc2_protocol
from envs.sc2api.server import DEADLINE_S, MAX_CLIENTS, MAX_MESSAGE_BYTES, Server

sc_pb: Any = sc2_protocol()
TEXT, BINARY = websocket.ABNF.OPCODE_TEXT, websocket.ABNF.OPCODE_BINARY

HANDSHAKE = (
    b"GET /sc2api HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@contextlib.contextmanager
def serving(deadline_s: float = DEADLINE_S, server: Server | None = None) -> Iterator[Server]:
    server = server or Server(deadline_s=deadline_s)
    thread = threading.Thread(target=server.serve)
    thread.start()
    try:
        yield server
    finally:  # or a test that fails would never end
        server.close()
        thread.join(10)
    assert not thread.is_alive()


@pytest.fixture
def server() -> Iterator[Server]:
    with serving() as server:
        yield server


def connect(server: Server, **options: Any) -> Any:
    return websocket.create_connection(f"ws://127.0.0.1:{server.port}/sc2api", timeout=20, **options)


def ask(client: Any, opcode: int = TEXT, **request: Any) -> Any:
    client.send(sc_pb.Request(**request).SerializeToString(), opcode)
    kind, data = client.recv_data()
    assert kind == BINARY
    return sc_pb.Response.FromString(data)


def until_refused(call: Callable[[], object]) -> Exception:
    """Call again and again, until the server ends the connection."""
    while True:
        try:
            call()
        except (OSError, websocket.WebSocketException) as error:
            return error


def start_game(client: Any, map_name: str = "3m", seed: int = 0) -> None:
    create = sc_pb.RequestCreateGame(random_seed=seed)
    create.local_map.map_path = f"SMAC_Maps/{map_name}.SC2Map"
    create.player_setup.add(type=1)
    create.player_setup.add(type=2, race=1, difficulty=7)
    ask(client, create_game=create)
    ask(client, join_game=sc_pb.RequestJoinGame(race=1, options=sc_pb.InterfaceOptions(raw=True)))


def tags(client: Any) -> list[int]:
    response = ask(client, observation=sc_pb.RequestObservation())
    return [unit.tag for unit in response.observation.observation.raw_data.units]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
def test_text_and_binary_frames_are_answered_in_binary(server: Server, opcode: int) -> None:
    client = connect(server)
    assert ask(client, opcode, ping=sc_pb.RequestPing(), id=200).id == 200  # 200 is no UTF-8 in its bytes
    client.close()


def test_websocket_pings_are_answered(server: Server) -> None:
    client = connect(server)
    client.ping(b"here?")
    assert client.recv_data(control_frame=True) == (websocket.ABNF.OPCODE_PONG, b"here?")
    client.close()


def test_messages_may_come_in_parts(server: Server) -> None:
    client = connect(server)
    data = sc_pb.Request(ping=sc_pb.RequestPing(), id=5).SerializeToString()
    client.send_frame(websocket.ABNF.create_frame(data[:2], TEXT, fin=0))
    client.send_frame(websocket.ABNF.create_frame(data[2:], websocket.ABNF.OPCODE_CONT, fin=1))
    assert sc_pb.Response.FromString(client.recv_data()[1]).id == 5
    client.close()


def test_other_paths_are_not_found(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(HANDSHAKE.replace(b"/sc2api", b"/other"))
        assert client.recv(1000).startswith(b"HTTP/1.1 404")


def test_pages_of_other_origins_are_refused(server: Server) -> None:
    for origin in ("https://evil.example", "null", f"http://127.0.0.1:{server.port + 1}"):
        with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
            connect(server, origin=origin)
    for options in ({}, {"suppress_origin": True}):  # pysc2's client names the address that it asks
        client = connect(server, **options)
        assert ask(client, ping=sc_pb.RequestPing()).HasField("ping")
        client.close()


def test_half_a_handshake_is_dropped_at_its_deadline() -> None:
    with serving(deadline_s=0.5) as server, socket.create_connection(("127.0.0.1", server.port)) as client:
        client.settimeout(0.1)
        start = time.monotonic()
        is_open = True
        while is_open and time.monotonic() - start < 20:
            try:
                client.sendall(b"G")  # every byte comes soon after the last
                is_open = client.recv(1000) != b""
            except TimeoutError:
                continue
            except ConnectionError:
                is_open = False
        assert 0.4 < time.monotonic() - start < 5


def test_who_does_not_take_answers_is_dropped_at_the_deadline() -> None:
    with serving(deadline_s=0.5) as server:
        bystander, client = connect(server), connect(server)
        start_game(client, "27m_vs_30m")
        request = sc_pb.Request(observation=sc_pb.RequestObservation()).SerializeToString()
        end = until_refused(lambda: client.send(request, TEXT))
        assert not isinstance(end, websocket.WebSocketTimeoutException)
        client.shutdown()
        assert ask(bystander, ping=sc_pb.RequestPing()).HasField("ping")
        bystander.close()


def test_clients_beyond_the_most_are_refused(server: Server) -> None:
    clients = [connect(server) for _ in range(MAX_CLIENTS - 1)]
    with socket.create_connection(("127.0.0.1", server.port), timeout=20):  # half a handshake counts
        until_refused(lambda: clients.append(connect(server)))
        assert len(clients) <= MAX_CLIENTS
    clients.pop().close()
    for client in clients:
        client.close()
    again = connect(server)
    assert ask(again, ping=sc_pb.RequestPing()).HasField("ping")
    again.close()


def test_close_ends_every_connection_and_each_leave_is_noted() -> None:
    left = []
    with serving() as server:
        server.on_leave = lambda: left.append(server.n_requests)
        clients = [connect(server) for _ in range(2)]
        for client in clients:
            assert ask(client, ping=sc_pb.RequestPing()).HasField("ping")
        server.close()
        assert [client.recv_data()[0] for client in clients] == [websocket.ABNF.OPCODE_CLOSE] * 2
        for client in clients:
            client.shutdown()
    assert left == [2, 2]


def test_close_waits_for_all_silent_clients_at_once() -> None:
    with serving(deadline_s=0.5) as server:
        clients = [connect(server) for _ in range(30)]
        for client in clients:
            assert ask(client, ping=sc_pb.RequestPing()).HasField("ping")
        start = time.monotonic()
    assert time.monotonic() - start < 1.5
    for client in clients:
        client.shutdown()


def test_refused_and_broken_handshakes_take_no_place(server: Server) -> None:
    for request in (HANDSHAKE.replace(b"/sc2api", b"/other"), b"GET") * MAX_CLIENTS:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
            client.sendall(request)
            client.shutdown(socket.SHUT_WR)
            client.recv(1000)
    client = connect(server)
    assert ask(client, ping=sc_pb.RequestPing()).HasField("ping")
    client.close()


def test_quit_ends_the_connection(server: Server) -> None:
    client = connect(server)
    assert ask(client, quit=sc_pb.RequestQuit()).status == sc_pb.Status.Value("quit")
    assert client.recv_data()[0] == websocket.ABNF.OPCODE_CLOSE
    client.shutdown()


def test_clients_do_not_see_each_other(server: Server) -> None:
    one, other = connect(server), connect(server)
    start_game(one, "3m")
    assert ask(other, observation=sc_pb.RequestObservation()).error
    start_game(other, "8m")
    ask(one, step=sc_pb.RequestStep(count=8))
    assert (len(tags(one)), len(tags(other))) == (6, 16)
    one.close()
    assert len(tags(other)) == 16
    other.close()


def test_a_taken_port_is_named(server: Server) -> None:
    with pytest.raises(InputError, match=f"port {server.port} of 127.0.0.1 is taken"):
        Server("127.0.0.1", server.port)


def test_too_long_a_frame_closes_its_connection_only(server: Server) -> None:
    bystander = connect(server)
    start_game(bystander)
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    client.sendall(HANDSHAKE)
    assert b"101" in client.recv(1000)
    client.sendall(b"\x81\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + b"\0\0\0\0")
    assert b"\x03\xf1" in client.recv(1000)  # close 1009
    client.close()
    assert len(tags(bystander)) == 6
    bystander.close()


def fuzz(server: Server, frames: int, seed: int) -> None:
    """Random and mutated frames; a bystander's battle must not notice."""
    rng = random.Random(seed)
    bystander = connect(server)
    start_game(bystander, "2s3z", seed=3)
    mine = tags(bystander)
    samples = _samples(mine)
    client = connect(server)
    in_game = False
    for number in range(frames):
        if not in_game:
            start_game(client, "3m")
            in_game = True
        try:
            client.send(_mutated(rng, samples), TEXT)
            kind, data = client.recv_data()
            assert kind == BINARY
            status = sc_pb.Response.FromString(data).status
            in_game = status == sc_pb.Status.Value("in_game")
            if status == sc_pb.Status.Value("quit"):
                raise ConnectionError
        except (OSError, AssertionError, websocket.WebSocketException):
            client.shutdown()
            client, in_game = connect(server), False
        if number % 500 == 0:
            assert tags(bystander) == mine
    client.close()
    assert tags(bystander) == mine
    bystander.close()


def _samples(foreign_tags: list[int]) -> list[bytes]:
    """Well-formed requests of every kind, some with what they should not hold."""
    nan = float("nan")
    requests = [sc_pb.Request(id=number) for number in (0, 2**32 - 1)]
    for field in sc_pb.Request.DESCRIPTOR.oneofs[0].fields:
        request = sc_pb.Request()
        getattr(request, field.name).SetInParent()
        requests.append(request)
    for x, y in ((nan, 1.0), (float("inf"), -1e38), (1e9, 16.0)):
        order = sc_pb.Request()
        command = order.action.actions.add().action_raw.unit_command
        command.ability_id, command.queue_command = 16, x != 1e9
        command.unit_tags.extend([1 << 32, *foreign_tags, 2**64 - 1])
        command.target_world_space_pos.x, command.target_world_space_pos.y = x, y
        created = sc_pb.Request()
        unit = created.debug.debug.add().create_unit
        unit.unit_type, unit.owner, unit.quantity, unit.pos.x, unit.pos.y = 48, 2, 3, x, y
        asked = sc_pb.Request()
        asked.query.pathing.add(unit_tag=1 << 32).end_pos.x = x
        requests += [order, created, asked]
    for count in (0, 1, 3, 2**32 - 1):
        requests.append(sc_pb.Request(step=sc_pb.RequestStep(count=count)))
    kill = sc_pb.Request()
    kill.debug.debug.add().kill_unit.tag.extend(foreign_tags)
    text = [b"", b"GET / HTTP/1.1\r\n\r\n", b"\xff" * 40, b'{"ping": 1}', b"\x0a\xff\xff\xff\xff\x0f"]
    return [request.SerializeToString() for request in [*requests, kill]] + text


def _mutated(rng: random.Random, samples: list[bytes]) -> bytes:
    data = bytearray(rng.choice(samples))
    for _ in range(rng.choice((0, 0, 1, 1, 2, 5))):
        kind = rng.randrange(5)
        at = rng.randrange(len(data) + 1)
        if kind == 0:
            del data[at:]
        elif kind == 1:
            data[at:at] = rng.randbytes(rng.randrange(1, 8))
        elif kind == 2 and at < len(data):
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 3:
            data += rng.choice(samples)
        else:
            data[at:at] = b"\xfa\xff\xff\xff\x7f"  # a length that is not there
    return bytes(data)


def test_a_thousand_bad_frames_harm_nobody(server: Server) -> None:
    fuzz(server, 1_000, seed=1)


@pytest.mark.slow
def test_a_hundred_thousand_bad_frames_harm_nobody(server: Server) -> None:
    fuzz(server, 100_000, seed=2)
