"""Checks requests to create and to join a game, and finds the map."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any, Final

from envs.errors import InputError, LanError
from envs.sc2.descriptors import sc2_protocol
from envs.smac.maps import MAP_NAMES, SmacMap, load_map, read_map
from envs.smac.scenarios import FIELD, flat_field
from envs.text import one_line

MAX_MAP_BYTES: Final = 1 << 20


class ApiError(LanError):
    """A request that can only be answered by `error` of the Response; the client gets its text."""


class RefusedError(LanError):
    """Creating or joining is refused: `name` of the response's Error, and details in a sentence."""

    def __init__(self, name: str, details: str) -> None:
        super().__init__(details)
        self.name, self.details = name, details


def find_map(request: Any) -> SmacMap:
    """The map of a RequestCreateGame, whose players must be one participant and one computer.

    Data in our own map format is that map; any other data stands for the SMAC map that the path names.
    """
    _check_players(request)
    kind = request.WhichOneof("Map")
    if kind == "battlenet_map_name":
        raise RefusedError("InvalidMapName", "only local maps can be played")
    if kind is None or not (request.local_map.map_path or request.local_map.map_data):
        raise RefusedError("MissingMap", "the request names no map")
    data: bytes = request.local_map.map_data
    if data.lstrip()[:1] == b"{":
        return _own_map(data, one_line(request.local_map.map_path, 100) or "the map data")
    name = re.split(r"[/\\]", request.local_map.map_path)[-1]
    stem = PurePosixPath(name).stem
    if stem == FIELD:
        return flat_field()
    if stem not in MAP_NAMES:
        known = ", ".join((*MAP_NAMES, FIELD))
        raise RefusedError("InvalidMapPath", f"{one_line(stem, 60)!r} is no SMAC map; known are {known}")
    return load_map(stem)


def _own_map(data: bytes, where: str) -> SmacMap:
    if len(data) > MAX_MAP_BYTES:
        raise RefusedError("InvalidMapData", f"{where}: more than {MAX_MAP_BYTES} bytes")
    try:
        return read_map(data.decode("utf-8"), where)
    except (InputError, UnicodeDecodeError) as error:
        raise RefusedError("InvalidMapData", str(error)) from None


def _check_players(request: Any) -> None:
    kinds = sc2_protocol().PlayerType
    types = [setup.type for setup in request.player_setup]
    if not types:
        raise RefusedError("MissingPlayerSetup", "the request sets up no players")
    if types.count(kinds.Value("Participant")) > 1:
        raise RefusedError("MultiplayerUnsupported", "one participant plays against the computer")
    if sorted(types) != [kinds.Value("Participant"), kinds.Value("Computer")]:
        raise RefusedError("InvalidPlayerSetup", "one participant and one computer are needed")


def check_join(request: Any) -> None:
    """RefusedError unless a RequestJoinGame is of a participant that wants the raw interface alone."""
    kind = request.WhichOneof("participation")
    if kind == "observed_player_id":
        raise RefusedError("InvalidObservedPlayerId", "observers cannot join")
    if kind is None:
        raise RefusedError("MissingParticipation", "the request names no race")
    if not request.HasField("options"):
        raise RefusedError("MissingOptions", "the request has no interface options")
    options = request.options
    if options.HasField("feature_layer") or options.HasField("render"):
        raise RefusedError("FeatureUnsupported", "there are no feature layers and no pictures, only raw data")
    if request.HasField("server_ports") or request.client_ports:
        raise RefusedError("FeatureUnsupported", "there are no games of several clients")
