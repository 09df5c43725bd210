"""The API's state machine, without a socket: states, refusals, observations, queries, recordings."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

pytest.importorskip("s2clientprotocol")

from envs.battle.env import BattleEnv
from envs.sc2api.session import VALID_STATES
from envs.smac.maps import load_map
from tests.envs.sc2api.support.api_client import PARTICIPANT, Client, creation, read_recording, sc_pb


def test_states_follow_each_other() -> None:
    client = Client()
    assert client.status(ping=sc_pb.RequestPing()) == "launched"
    assert client.status(create_game=creation("3m")) == "init_game"
    join = sc_pb.RequestJoinGame(race=1, options=sc_pb.InterfaceOptions(raw=True))
    assert client.status(join_game=join) == "in_game"
    assert client.status(step=sc_pb.RequestStep(count=8)) == "in_game"
    assert client.status(restart_game=sc_pb.RequestRestartGame()) == "in_game"
    assert client.status(leave_game=sc_pb.RequestLeaveGame()) == "launched"
    assert client.status(create_game=creation("8m")) == "init_game"
    assert client.status(quit=sc_pb.RequestQuit()) == "quit"
    assert client.session.is_over


@pytest.mark.parametrize("kind", sorted(VALID_STATES))
def test_requests_out_of_order_are_errors_that_change_nothing(kind: str) -> None:
    for client in (Client(), Client("3m")):
        before = client.session.state
        if before in VALID_STATES[kind]:
            continue
        response = client.ask(**{kind: getattr(sc_pb.Request(), kind)})
        assert response.error == [f"{kind} is not valid while the game is {before}."]
        assert sc_pb.Status.Name(response.status) == before


@pytest.mark.parametrize("kind", ["quick_save", "quick_load", "start_replay", "replay_info", "map_command"])
def test_what_is_not_served_is_an_error(kind: str) -> None:
    response = Client("3m").ask(**{kind: getattr(sc_pb.Request(), kind)})
    assert response.error == [f"{kind} is not supported."]


def test_requests_without_command_and_bytes_that_are_no_request() -> None:
    client = Client("3m")
    assert client.ask().error == ["Request missing command."]
    response = sc_pb.Response.FromString(client.session.answer(b"\xff\xff\xff"))
    assert response.error
    assert response.status == sc_pb.Status.Value("in_game")


def no_players(request: Any) -> None:
    del request.player_setup[:]


def two_participants(request: Any) -> None:
    request.player_setup[1].type = PARTICIPANT


def no_computer(request: Any) -> None:
    del request.player_setup[1]


def unknown_map(request: Any) -> None:
    request.local_map.map_path = "Melee/Simple64.SC2Map"


def broken_map(request: Any) -> None:
    request.local_map.map_data = b'{"name": 3}'


def battlenet_map(request: Any) -> None:
    request.battlenet_map_name = "Abyssal Reef LE"


def no_map(request: Any) -> None:
    request.ClearField("local_map")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        (no_players, "MissingPlayerSetup"),
        (two_participants, "MultiplayerUnsupported"),
        (no_computer, "InvalidPlayerSetup"),
        (unknown_map, "InvalidMapPath"),
        (broken_map, "InvalidMapData"),
        (battlenet_map, "InvalidMapName"),
        (no_map, "MissingMap"),
    ],
)
def test_games_that_cannot_be_created(change: Any, error: str) -> None:
    request = creation("3m")
    change(request)
    response = Client().ask(create_game=request)
    assert sc_pb.ResponseCreateGame.Error.Name(response.create_game.error) == error
    assert response.create_game.error_details
    assert sc_pb.Status.Name(response.status) == "launched"


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"race": 1}, "MissingOptions"),
        ({"options": {"raw": True}}, "MissingParticipation"),
        ({"observed_player_id": 1, "options": {"raw": True}}, "InvalidObservedPlayerId"),
        ({"race": 1, "options": {"feature_layer": {}}}, "FeatureUnsupported"),
    ],
)
def test_games_that_cannot_be_joined(fields: dict[str, Any], error: str) -> None:
    client = Client()
    client.ask(create_game=creation("3m"))
    response = client.ask(join_game=sc_pb.RequestJoinGame(**fields))
    assert sc_pb.ResponseJoinGame.Error.Name(response.join_game.error) == error
    assert sc_pb.Status.Name(response.status) == "init_game"


def test_units_are_those_of_the_simulator() -> None:
    client, env = Client("MMM", seed=5), BattleEnv(load_map("MMM"), seed=5)
    env.reset()
    units = client.units()
    np.testing.assert_array_equal([u.pos.x for u in units], env.units.x[0])  # the grid makes them exact
    np.testing.assert_array_equal([u.pos.y for u in units], env.units.y[0])
    assert [u.health for u in units] == env.units.health[0].tolist()
    assert [u.owner for u in units] == [1] * 10 + [2] * 10
    assert [u.unit_type for u in units][:10] == [1970] * 2 + [1971] * 7 + [1972]
    medivacs = [u for u in units if u.unit_type in (54, 1972)]  # their energy has grown for one loop
    assert [(u.energy, u.energy_max) for u in medivacs] == [(pytest.approx(50 + 0.5625 / 16), 200)] * 2


def test_dead_units_vanish_and_an_empty_field_gets_the_next_battle() -> None:
    client = Client("3m", seed=2)
    first = client.units()
    client.kill([first[0].tag])
    assert len(client.units()) == 6  # with the next loop, as in the game
    client.step(1)
    raw = client.ask(observation=sc_pb.RequestObservation()).observation.observation.raw_data
    assert list(raw.event.dead_units) == [first[0].tag]
    assert len(raw.units) == 5
    client.kill([unit.tag for unit in raw.units])
    client.step(2)
    assert not client.units()  # some clients wait for an empty field
    client.step(1)
    second = client.units()
    assert len(second) == 6
    assert not {u.tag for u in first} & {u.tag for u in second}
    env = BattleEnv(load_map("3m"), seed=2)
    env.reset()
    env.reset()
    np.testing.assert_array_equal([u.pos.x for u in second], env.units.x[0])


@pytest.mark.parametrize("map_name", ["2s3z", "so_many_baneling"])  # zealots strike twice, 4.48 loops apart
def test_a_battle_is_the_same_however_its_loops_are_asked_for(map_name: str) -> None:
    clients = [Client(map_name, seed=6) for _ in range(2)]
    for step in range(24):
        for client in clients:
            mine = [unit.tag for unit in client.units(1)]
            if step % 6 == 0 and mine:
                client.order(23, mine, at=(23.0, 16.0))
        clients[0].step(8)
        for loops in (1, 1, 5, 1):
            clients[1].step(loops)
        one, other = (client.session.battle for client in clients)
        assert one is not None
        assert other is not None
        np.testing.assert_array_equal(one.arrays.f, other.arrays.f)
        np.testing.assert_array_equal(one.arrays.k, other.arrays.k)
    assert len(clients[0].units()) < len(Client(map_name, seed=6).units())


def test_too_many_loops_at_once_are_refused() -> None:
    assert Client("3m").ask(step=sc_pb.RequestStep(count=4_000_000_000)).error


def test_game_info_shows_the_ground_as_smac_reads_it() -> None:
    from envs.sc2.reading import pathing_grid

    info = Client("corridor").ask(game_info=sc_pb.RequestGameInfo()).game_info
    assert info.map_name == "corridor"
    np.testing.assert_array_equal(pathing_grid(info.start_raw), load_map("corridor").walkable)
    area = info.start_raw.playable_area
    assert (area.p0.x, area.p0.y, area.p1.x, area.p1.y) == (2, 2, 30, 30)


def test_data_names_types_and_abilities() -> None:
    data = Client("MMM").ask(data=sc_pb.RequestData(ability_id=True, unit_type_id=True)).data
    names = {unit.unit_id: unit.name for unit in data.units}
    assert names[48] == "Marine"
    assert names[1972] == "Medivac_RL"
    assert {16, 23, 4, 386} <= {ability.ability_id for ability in data.abilities}


def test_queries_tell_ways_and_abilities() -> None:
    client = Client("corridor")
    unit = client.units(1)[0]
    query = sc_pb.Request().query
    pathing = query.pathing.add(unit_tag=unit.tag)
    pathing.end_pos.x, pathing.end_pos.y = 4.5, 4.5
    wall = query.pathing.add(unit_tag=unit.tag)
    wall.end_pos.x, wall.end_pos.y = 31.5, 0.5
    query.abilities.add(unit_tag=unit.tag)
    answer = client.ask(query=query).query
    straight = math.dist((unit.pos.x, unit.pos.y), (4.5, 4.5))
    assert straight - 1e-4 < answer.pathing[0].distance < 1.5 * straight
    assert answer.pathing[1].distance == 0
    assert {ability.ability_id for ability in answer.abilities[0].abilities} == {16, 23, 4, 18}


def test_a_recording_plays_again_exactly() -> None:
    client = Client("2s3z", seed=9)
    client.order(23, [unit.tag for unit in client.units(1)], at=(20.0, 16.0))
    client.step(60)
    client.create(73, 2, 18, 15)
    client.step(40)
    recording = client.ask(save_replay=sc_pb.RequestSaveReplay()).save_replay.data
    again = Client()
    for request in read_recording(recording):
        assert not again.session.respond(request).error
    assert [str(unit) for unit in again.units()] == [str(unit) for unit in client.units()]


def test_maps_in_our_own_format_are_played() -> None:
    from importlib import resources

    request = creation("my_own")
    request.local_map.map_data = (resources.files("envs.smac") / "data" / "3s_vs_5z.json").read_bytes()
    client = Client()
    assert not client.ask(create_game=request).create_game.HasField("error")
    client.ask(join_game=sc_pb.RequestJoinGame(race=3, options=sc_pb.InterfaceOptions(raw=True)))
    assert len(client.units()) == 8
