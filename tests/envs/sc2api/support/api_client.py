"""Asks a session as a transport would, without a socket."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

pytest.importorskip("s2clientprotocol")

from envs.sc2.descriptors import protocol_module, sc2_protocol
from envs.sc2api.recording import MAGIC
from envs.sc2api.session import Session

sc_pb: Any = sc2_protocol()
RESULT = protocol_module("error").ActionResult
PARTICIPANT, COMPUTER = 1, 2


class Client:
    """Asks a session as a transport would, bytes for bytes."""

    def __init__(self, map_name: str | None = None, seed: int = 0) -> None:
        self.session = Session()
        if map_name is not None:
            assert not self.ask(create_game=creation(map_name, seed)).error
            options = sc_pb.InterfaceOptions(raw=True)
            self.ask(join_game=sc_pb.RequestJoinGame(race=1, options=options))

    def ask(self, **request: Any) -> Any:
        frame = sc_pb.Request(id=7, **request).SerializeToString()
        response = sc_pb.Response.FromString(self.session.answer(frame))
        assert response.id == 7
        return response

    def status(self, **request: Any) -> str:
        return str(sc_pb.Status.Name(self.ask(**request).status))

    def units(self, owner: int | None = None) -> list[Any]:
        raw = self.ask(observation=sc_pb.RequestObservation()).observation.observation.raw_data
        return [unit for unit in raw.units if owner in (None, unit.owner)]

    def step(self, loops: int) -> None:
        assert not self.ask(step=sc_pb.RequestStep(count=loops)).error

    def order(self, ability: int, tags: list[int], **more: Any) -> list[str]:
        command = protocol_module("raw").ActionRawUnitCommand(ability_id=ability, unit_tags=tags)
        for name, value in more.items():
            if name == "at":
                command.target_world_space_pos.x, command.target_world_space_pos.y = value
            else:
                setattr(command, name, value)
        action = sc_pb.Action(action_raw=protocol_module("raw").ActionRaw(unit_command=command))
        answer = self.ask(action=sc_pb.RequestAction(actions=[action]))
        return [RESULT.Name(number) for number in answer.action.result]

    def debug(self, **command: Any) -> Any:
        message = protocol_module("debug").DebugCommand(**command)
        return self.ask(debug=sc_pb.RequestDebug(debug=[message]))

    def kill(self, tags: list[int]) -> None:
        assert not self.debug(kill_unit=protocol_module("debug").DebugKillUnit(tag=tags)).error

    def create(self, unit_type: int, owner: int, x: float, y: float, quantity: int = 1) -> Any:
        unit = protocol_module("debug").DebugCreateUnit(unit_type=unit_type, owner=owner, quantity=quantity)
        unit.pos.x, unit.pos.y = x, y
        return self.debug(create_unit=unit)


def creation(map_name: str, seed: int = 0) -> Any:
    request = sc_pb.RequestCreateGame(random_seed=seed)
    request.local_map.map_path = f"SMAC_Maps/{map_name}.SC2Map"
    request.player_setup.add(type=PARTICIPANT)
    request.player_setup.add(type=COMPUTER, race=1, difficulty=7)
    return request


def read_recording(data: bytes) -> list[Any]:
    """The Requests of what `save_replay` answers: `MAGIC`, then gzip of each after its length."""
    assert data.startswith(MAGIC)
    body, requests = gzip.decompress(data[len(MAGIC) :]), []
    while body:
        end = 4 + int.from_bytes(body[:4], "little")
        requests.append(sc_pb.Request.FromString(body[4:end]))
        body = body[end:]
    return requests
