"""Blizzard's SC2 API without I/O: one client's game as a state machine, a Response for every Request.

A session owns its game: nothing of it is shared with other sessions. Errors are answered as the API does: a
request that is not understood or not valid in this state by `error` of the Response, a refusal to create or
join by the error of that response.
"""

from __future__ import annotations

import logging
import secrets
from collections import deque
from collections.abc import Callable
from typing import Any, Final

from envs.errors import InputError
from envs.sc2.descriptors import sc2_protocol
from envs.sc2api.battle import Battle
from envs.sc2api.debug import carry_out_debug, check_debug, check_room
from envs.sc2api.empty_field import battle_on
from envs.sc2api.game_setup import ApiError, RefusedError, check_join, find_map
from envs.sc2api.ids import BASE_BUILD, COMPUTER, PLAYER
from envs.sc2api.observation import UnitWriter, write_game_info
from envs.sc2api.orders import carry_out
from envs.sc2api.recording import Recording
from envs.sc2api.unit_data import answer_query, write_data
from envs.smac.maps import MAP_NAMES
from envs.smac.scenarios import FIELD
from envs.text import one_line

log = logging.getLogger(__name__)

GAME_VERSION: Final = f"4.10.0.{BASE_BUILD}"
MAX_STEP_LOOPS: Final = 1 << 14
MAX_PARTS: Final = 4096
"""Actions, tags, queries or commands in one request."""
MAX_ECHO_BYTES: Final = 1 << 20
MAX_ACTION_ERRORS: Final = 4096
"""An observation tells what happened since the one before; where nobody asks, the oldest is forgotten."""
_ACTION_BYTES: Final = 512
"""An action's place in memory, beside its own length."""
MAX_ERROR_CHARS: Final = 1000
_IN_GAME: Final = frozenset({"in_game"})
VALID_STATES: Final[dict[str, frozenset[str]]] = {
    "create_game": frozenset({"launched", "init_game", "in_game", "ended"}),
    "join_game": frozenset({"init_game"}),
    "restart_game": _IN_GAME,
    "leave_game": _IN_GAME,
    "game_info": _IN_GAME,
    "observation": _IN_GAME,
    "action": _IN_GAME,
    "step": _IN_GAME,
    "data": _IN_GAME,
    "query": _IN_GAME,
    "debug": _IN_GAME,
    "save_replay": _IN_GAME,
    "available_maps": frozenset({"launched", "init_game", "in_game"}),
    "ping": frozenset({"launched", "init_game", "in_game"}),
    "quit": frozenset({"launched", "init_game", "in_game"}),
}
"""Every request that is understood, and the states in which it is valid."""


class Session:
    """One client. `answer` is all that a transport needs; `is_over` after the client has quit."""

    def __init__(self) -> None:
        self._sc_pb: Any = sc2_protocol()
        self._status = dict(self._sc_pb.Status.items())
        self._units = UnitWriter()
        self.state = "launched"
        self.battle: Battle | None = None
        self._create: Any = None
        self._join: Any = None
        self._echo: deque[Any] = deque()
        self._echo_bytes = 0
        self._action_errors: deque[Any] = deque(maxlen=MAX_ACTION_ERRORS)
        self._recording: Recording | None = None

    @property
    def is_over(self) -> bool:
        return self.state == "quit"

    def answer(self, frame: bytes) -> bytes:
        """The serialized Response to a serialized Request, whatever the bytes are."""
        from google.protobuf.message import DecodeError

        try:
            request = self._sc_pb.Request.FromString(frame)
        except DecodeError:
            response = self._sc_pb.Response(error=["The message is no Request that can be read."])
        else:
            response = self.respond(request)
        response.status = self._status[self.state]
        serialized: bytes = response.SerializeToString()
        return serialized

    def respond(self, request: Any) -> Any:
        """The Response to a Request, without its status; it never raises. The session keeps the request."""
        kind = request.WhichOneof("request")
        response = self._sc_pb.Response()
        if request.HasField("id"):
            response.id = request.id
        try:
            if kind is None:
                raise ApiError("Request missing command.")
            if kind not in VALID_STATES:
                raise ApiError(f"{kind} is not supported.")
            if self.state not in VALID_STATES[kind]:
                raise ApiError(f"{kind} is not valid while the game is {self.state}.")
            handler: Callable[[Any, Any], None] = getattr(self, f"_{kind}")
            answer = getattr(response, kind)
            answer.SetInParent()
            handler(getattr(request, kind), answer)
        except ApiError as error:
            response.ClearField("response")
            response.error.append(one_line(error, MAX_ERROR_CHARS))
        except Exception:
            log.exception("a %s request failed", kind)
            response.ClearField("response")
            response.error.append(f"{kind} failed inside the server.")
        else:
            if self._recording is not None:
                self._recording.add(kind, request)
        return response

    @property
    def _game(self) -> Battle:
        assert self.battle is not None
        return self.battle

    def _ping(self, request: Any, answer: Any) -> None:
        answer.game_version, answer.data_version = GAME_VERSION, ""
        answer.data_build = answer.base_build = BASE_BUILD

    def _quit(self, request: Any, answer: Any) -> None:
        self.state, self.battle = "quit", None

    def _available_maps(self, request: Any, answer: Any) -> None:
        answer.local_map_paths.extend(f"SMAC_Maps/{name}.SC2Map" for name in (*MAP_NAMES, FIELD))

    def _create_game(self, request: Any, answer: Any) -> None:
        if request.realtime:
            raise ApiError("create_game: realtime is not supported.")
        try:
            smac_map = find_map(request)
        except RefusedError as refusal:
            return refuse(answer, refusal.name, refusal)
        if not request.HasField("random_seed"):  # the game draws one then, another one every time
            request.random_seed = secrets.randbits(32)
        try:
            self.battle = battle_on(smac_map, request.random_seed)
        except InputError as error:
            return refuse(answer, "InvalidMapData", error)
        self._create, self.state = request, "init_game"
        self._begin()

    def _begin(self) -> None:
        self._forget()
        self._recording = Recording(self._create)

    def _join_game(self, request: Any, answer: Any) -> None:
        try:
            check_join(request)
        except RefusedError as refusal:
            return refuse(answer, refusal.name, refusal)
        self._join, self.state = request, "in_game"
        answer.player_id = PLAYER

    def _restart_game(self, request: Any, answer: Any) -> None:
        self.battle = battle_on(self._game.smac_map, self._game.seed)
        self._begin()
        assert self._recording is not None
        self._recording.add("join_game", self._sc_pb.Request(join_game=self._join))

    def _leave_game(self, request: Any, answer: Any) -> None:
        self.state, self.battle, self._recording = "launched", None, None

    def _game_info(self, request: Any, answer: Any) -> None:
        computer = next(setup for setup in self._create.player_setup if setup.type == COMPUTER)
        races = (self._join.race, computer.race)
        write_game_info(answer, self._game, self._join.options, computer.difficulty, races)

    def _observation(self, request: Any, answer: Any) -> None:
        battle = self._game
        answer.actions.extend(self._echo)
        answer.action_errors.extend(self._action_errors)
        self._forget()
        observation = answer.observation
        observation.game_loop = battle.game_loop
        observation.player_common.player_id = PLAYER
        raw = observation.raw_data
        raw.player.SetInParent()
        self._units.write(battle, raw.units)
        observation.player_common.army_count = sum(unit.owner == PLAYER for unit in raw.units)
        if dead := battle.take_dead_tags():
            raw.event.dead_units.extend(dead)
        if self._join.options.score:
            observation.score.SetInParent()

    def _forget(self) -> None:
        """What has been told is not told again."""
        self._echo.clear()
        self._echo_bytes = 0
        self._action_errors.clear()

    def _action(self, request: Any, answer: Any) -> None:
        tags = sum(len(action.action_raw.unit_command.unit_tags) for action in request.actions)
        check_number("action", "actions and tags", len(request.actions) + tags)
        results, refusals = carry_out(self._game, list(request.actions))
        for action in request.actions:
            echo = self._sc_pb.Action()
            echo.CopyFrom(action)
            echo.game_loop = self._game.game_loop
            self._echo.append(echo)
            self._echo_bytes += echo.ByteSize() + _ACTION_BYTES
        while self._echo_bytes > MAX_ECHO_BYTES:
            self._echo_bytes -= self._echo.popleft().ByteSize() + _ACTION_BYTES
        self._action_errors.extend(
            self._sc_pb.ActionError(unit_tag=r.tag, ability_id=r.ability_id, result=r.result)
            for r in refusals
        )
        answer.result.extend(results)

    def _step(self, request: Any, answer: Any) -> None:
        count = request.count if request.HasField("count") else 1
        if count > MAX_STEP_LOOPS:
            raise ApiError(f"step: {count} loops at once are too many; at most {MAX_STEP_LOOPS}.")
        if count:
            self._game.step(count)
        answer.simulation_loop = self._game.game_loop

    def _data(self, request: Any, answer: Any) -> None:
        write_data(answer, self._game, request)

    def _query(self, request: Any, answer: Any) -> None:
        count = len(request.pathing) + len(request.abilities) + len(request.placements)
        check_number("query", "queries", count)
        answer_query(answer, self._game, request)

    def _save_replay(self, request: Any, answer: Any) -> None:
        assert self._recording is not None
        answer.data = self._recording.to_bytes()

    def _debug(self, request: Any, answer: Any) -> None:
        """Create and kill units, set their values: all commands, or none when one cannot be carried out.

        Drawings are accepted and change nothing.
        """
        check_number("debug", "commands", len(request.debug))
        for command in request.debug:
            check_debug(self._game, command)
        check_room(self._game, request.debug)
        for command in request.debug:
            carry_out_debug(self._game, command)


def check_number(kind: str, parts: str, count: int) -> None:
    """ApiError when a request has more parts than fit into one."""
    if count > MAX_PARTS:
        raise ApiError(f"{kind}: {count} {parts} at once are too many; at most {MAX_PARTS}.")


def refuse(answer: Any, name: str, details: Exception) -> None:
    """Fill in the response to a game that is not created or joined: `name` of its Error, and a sentence."""
    answer.error = answer.Error.Value(name)
    answer.error_details = one_line(details, MAX_ERROR_CHARS)
