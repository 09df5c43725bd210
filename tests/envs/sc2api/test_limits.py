"""What a client may leave behind in the server has an end: memory, time, connections, units."""

from __future__ import annotations

import contextlib
import errno
import json
import logging
import random
import resource
import socket
import struct
import threading
import time
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s2clientprotocol")
pytest.importorskip("websocket")
pytest.importorskip("websockets")

import websocket

from envs.sc2.descriptors import protocol_module
from envs.sc2api import recording
from envs.sc2api.battle import MAX_DEAD_TAGS
from envs.sc2api.server import MAX_CLIENTS, MAX_MESSAGE_BYTES, Listener, Server
from envs.sc2api.session import MAX_ACTION_ERRORS, MAX_PARTS
from tests.envs.sc2api.support.api_client import Client, creation, read_recording, sc_pb
from tests.envs.sc2api.test_server import BINARY, HANDSHAKE, ask, connect, serving, start_game

raw_pb: Any = protocol_module("raw")
debug_pb: Any = protocol_module("debug")


def memory_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def orders(client: Client, count: int, tags: list[int], padding: int = 0) -> Any:
    """The answer to `count` orders to `tags`; each has `padding` bytes that mean nothing."""
    command = raw_pb.ActionRawUnitCommand(ability_id=4, unit_tags=tags)
    action = sc_pb.Action(action_raw=raw_pb.ActionRaw(unit_command=command))
    action.action_chat.message = "x" * padding
    return client.ask(action=sc_pb.RequestAction(actions=[action] * count))


def test_what_nobody_asks_for_is_forgotten() -> None:
    client = Client("3m")
    before = memory_mib()
    for _ in range(30):
        assert not orders(client, 1000, [1, 2, 3], padding=3000).error  # 3 MB that no observation fetches
    assert memory_mib() - before < 100
    told = client.ask(observation=sc_pb.RequestObservation()).observation
    assert 0 < len(told.actions) < 1000
    assert len(told.action_errors) == MAX_ACTION_ERRORS
    again = client.ask(observation=sc_pb.RequestObservation()).observation
    assert not again.actions
    assert not again.action_errors


def test_an_observation_still_tells_the_actions_since_the_last() -> None:
    client = Client("3m")
    for _ in range(2):
        client.order(4, [unit.tag for unit in client.units(1)])
        orders(client, 2, [7])
        told = client.ask(observation=sc_pb.RequestObservation()).observation
        assert [list(action.action_raw.unit_command.unit_tags) for action in told.actions][1:] == [[7], [7]]
        assert [error.unit_tag for error in told.action_errors] == [7, 7]


def test_deaths_that_nobody_asks_for_are_forgotten() -> None:
    client = Client("3m")
    for _ in range(MAX_DEAD_TAGS // 6 + 10):
        assert client.session.battle is not None
        client.kill(client.session.battle.tags)
        client.step(1)
        client.step(1)
    raw = client.ask(observation=sc_pb.RequestObservation()).observation.observation.raw_data
    assert len(raw.event.dead_units) == MAX_DEAD_TAGS


def test_a_recording_has_a_limit_and_then_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "MAX_RECORDED_BYTES", 3000)
    client = Client("3m")
    client.step(1)
    assert len(read_recording(client.ask(save_replay=sc_pb.RequestSaveReplay()).save_replay.data)) == 3
    rng = random.Random(0)
    for _ in range(200):
        orders(client, 1, [rng.getrandbits(64) for _ in range(20)])
    assert client.session._recording is not None
    assert len(client.session._recording._packed) == 0
    assert read_recording(client.ask(save_replay=sc_pb.RequestSaveReplay()).save_replay.data) == []


PART = {
    "action": sc_pb.Request(action=sc_pb.RequestAction(actions=[sc_pb.Action()] * (MAX_PARTS + 1))),
    "action with tags": sc_pb.Request(
        action=sc_pb.RequestAction(
            actions=[
                sc_pb.Action(
                    action_raw=raw_pb.ActionRaw(
                        unit_command=raw_pb.ActionRawUnitCommand(unit_tags=range(MAX_PARTS))
                    )
                )
            ]
        )
    ),
    "query": sc_pb.Request(),
    "debug": sc_pb.Request(
        debug=sc_pb.RequestDebug(debug=[debug_pb.DebugCommand(draw=debug_pb.DebugDraw())] * (MAX_PARTS + 1))
    ),
}
for _ in range(MAX_PARTS + 1):
    PART["query"].query.pathing.add().end_pos.x = 3


@pytest.mark.parametrize("kind", sorted(PART))
def test_a_request_of_too_many_parts_is_refused_and_changes_nothing(kind: str) -> None:
    client = Client("3m")
    answer = client.session.respond(PART[kind])
    assert len(answer.error) == 1
    assert f"at once are too many; at most {MAX_PARTS}" in answer.error[0]
    assert not client.ask(observation=sc_pb.RequestObservation()).observation.actions


def test_errors_do_not_repeat_what_a_client_sent_at_length() -> None:
    client = Client()
    request = creation("y" * 1_000_000)
    assert len(client.ask(create_game=request).create_game.error_details) <= 1000
    request.local_map.map_data = json.dumps({"\ud800" * 100_000: 1}).encode()
    answer = client.ask(create_game=request)
    assert not answer.error
    assert 0 < len(answer.create_game.error_details) <= 1000


# The same for every door -----------------------------------------------------------------------------------


def crowd(units: int) -> Any:
    """A game on a map of one's own: 8 marines against `units` zealots."""
    data = json.loads((resources.files("envs.smac") / "data" / "8m.json").read_text())
    data["enemies"] = [{"unit": "zealot", "count": units, "x": 23.0, "y": 16.0}]
    data["enemy_race"] = "P"
    request = creation("8m")
    request.local_map.map_data = json.dumps(data).encode()
    return request


def test_a_map_with_more_units_than_a_side_has_is_refused() -> None:
    assert not Client().ask(create_game=crowd(64)).create_game.HasField("error")
    refused = Client().ask(create_game=crowd(300)).create_game
    assert refused.error == refused.Error.Value("InvalidMapData")
    assert "enemies: has 300 units; a side has at most 64" in refused.error_details


def test_units_beyond_a_side_are_refused_altogether() -> None:
    client = Client("3m")
    commands = []
    for owner, quantity in ((1, 1), (2, 60), (2, 2)):
        unit = debug_pb.DebugCreateUnit(unit_type=48, owner=owner, quantity=quantity)
        commands.append(debug_pb.DebugCommand(create_unit=unit))
    answer = client.ask(debug=sc_pb.RequestDebug(debug=commands))
    assert list(answer.error) == ["debug: player 2 would have 65 units; a side has at most 64."]
    assert len(client.units()) == 6
    assert not client.ask(debug=sc_pb.RequestDebug(debug=commands[:2])).error
    assert len(client.units()) == 67


# Seeds -----------------------------------------------------------------------------------------------------


def places(seed: int | None) -> list[float]:
    request = creation("3m", 0 if seed is None else seed)
    if seed is None:
        request.ClearField("random_seed")
    client = Client()
    client.ask(create_game=request)
    client.ask(join_game=sc_pb.RequestJoinGame(race=1, options=sc_pb.InterfaceOptions(raw=True)))
    client.step(200)
    saved = read_recording(client.ask(save_replay=sc_pb.RequestSaveReplay()).save_replay.data)
    again = Client()
    for request in saved:
        assert not again.session.respond(request).error
    assert [str(unit) for unit in again.units()] == [str(unit) for unit in client.units()]
    return [unit.pos.x for unit in client.units()]


def test_a_game_without_a_seed_draws_one_and_records_it() -> None:
    assert places(5) == places(5)
    drawn = [places(None) for _ in range(4)]
    assert len({tuple(xs) for xs in drawn}) > 1


# Connections -----------------------------------------------------------------------------------------------


def ended(client: Any) -> bool:
    """Whether the server has ended this connection."""
    try:
        return bool(client.recv_data()[0] != BINARY)
    except (OSError, websocket.WebSocketException):
        return True


def test_clients_with_nothing_to_ask_are_let_go_sooner_without_a_game() -> None:
    server = Server(deadline_s=0.5, idle_s=(0.5, 60.0))
    with serving(server=server):
        playing = connect(server)
        start_game(playing)
        start = time.monotonic()
        idle = connect(server)
        assert ended(idle)
        idle.shutdown()
        assert 0.3 < time.monotonic() - start < 10
        assert ask(playing, ping=sc_pb.RequestPing()).HasField("ping")
        playing.close()


def test_half_a_message_does_not_hold_a_place() -> None:
    server = Server(deadline_s=0.5, idle_s=(0.5, 0.5))
    with serving(server=server), socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        client.sendall(HANDSHAKE)
        assert b"101" in client.recv(1000)
        start = time.monotonic()
        with contextlib.suppress(OSError):
            for _ in range(100):
                client.sendall(b"\x01\x80\0\0\0\0" if not _ else b"\x00\x80\0\0\0\0")  # parts without an end
                time.sleep(0.1)
        assert time.monotonic() - start < 8


@pytest.mark.parametrize(
    "sent",
    [
        b"\x81\xff" + (MAX_MESSAGE_BYTES + 1).to_bytes(8, "big") + b"\0\0\0\0",
        b"\xff" * 6,
        b"\x88\x80\0\0\0\0",
    ],
    ids=["too long a frame", "no frame", "a goodbye"],
)
@pytest.mark.parametrize("stopped", [False, True])
def test_who_breaks_the_protocol_and_stays_is_let_go_at_the_deadline(sent: bytes, stopped: bool) -> None:
    left, server = threading.Event(), Server(deadline_s=0.5, idle_s=(60.0, 60.0))
    server.on_leave = left.set
    client = socket.create_connection(("127.0.0.1", server.port), timeout=20)
    start = time.monotonic()
    with serving(server=server):
        client.sendall(HANDSHAKE)
        assert b"101" in client.recv(1000)
        client.sendall(sent)
        assert client.recv(1000)
        if not stopped:
            assert left.wait(10)
    client.close()
    assert left.is_set()
    assert time.monotonic() - start < 8


def test_a_server_outlives_errors_of_accept(monkeypatch: pytest.MonkeyPatch) -> None:
    """As when it has no descriptor left, or when a client is gone before it is accepted."""
    failures = [errno.EMFILE, errno.ECONNABORTED, errno.ENFILE]
    accept = socket.socket.accept

    def failing(self: socket.socket) -> Any:
        if failures and isinstance(self, Listener):
            raise OSError(failures.pop(), "no")
        return accept(self)

    monkeypatch.setattr(socket.socket, "accept", failing)
    with serving() as server:
        client = connect(server)
        assert ask(client, ping=sc_pb.RequestPing()).HasField("ping")
        assert not failures
        client.close()


def test_a_storm_of_connections_leaves_a_place_when_it_is_over() -> None:
    with serving() as server:
        storm = [
            socket.create_connection(("127.0.0.1", server.port), timeout=20) for _ in range(MAX_CLIENTS * 4)
        ]
        for client in storm:
            client.close()
        deadline, answer = time.monotonic() + 20, b""
        while b"101" not in answer:
            assert time.monotonic() < deadline
            with (
                socket.create_connection(("127.0.0.1", server.port), timeout=20) as client,
                contextlib.suppress(OSError),
            ):
                client.sendall(HANDSHAKE)
                answer = client.recv(1000)


def test_what_strangers_send_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    without_key = HANDSHAKE.replace(b"Sec-WebSocket-Key", b"Another-Key")
    with serving() as server, caplog.at_level(logging.WARNING):
        for sent in (b"nonsense\r\n\r\n", without_key, HANDSHAKE, HANDSHAKE + b"\x81") * 30:
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # reset
                client.sendall(sent)
    assert [record.getMessage() for record in caplog.records] == []


@pytest.mark.slow
def test_twenty_thousand_steps_leave_nothing_behind() -> None:
    client = Client("8m", seed=3)
    memory = []
    for step in range(20_000):
        if step % 100 == 0:
            client.kill([unit.tag for unit in client.units()])
            client.step(2)
            client.step(1)
            mine, foe = [unit.tag for unit in client.units(1)], client.units(2)[0].tag
        client.order(23, mine, target_unit_tag=foe)
        client.step(8)
        if step % 2000 == 1999:
            memory.append(memory_mib())
    assert max(memory[1:]) - memory[0] < 8
