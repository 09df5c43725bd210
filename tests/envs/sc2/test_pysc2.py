"""Unmodified pysc2 launches, plays and ends what stands in for the game."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("s2clientprotocol")


@pytest.fixture
def run_config(sc2_path: Path) -> Any:
    from envs.sc2.client import run_config

    return run_config("4.10")


def creation(run_config: Any, map_name: str = "3m") -> Any:
    from envs.sc2.descriptors import sc2_protocol

    sc_pb: Any = sc2_protocol()
    path = f"SMAC_Maps/{map_name}.SC2Map"
    create = sc_pb.RequestCreateGame(
        local_map=sc_pb.LocalMap(map_path=path, map_data=run_config.map_data(path)), random_seed=1
    )
    create.player_setup.add(type=sc_pb.Participant)
    create.player_setup.add(type=sc_pb.Computer, race=1, difficulty=sc_pb.VeryHard)
    return create


def test_remote_controller_plays_a_game_from_launch_to_quit(run_config: Any) -> None:
    from pysc2.lib import protocol, remote_controller
    from s2clientprotocol import debug_pb2, sc2api_pb2

    sc_pb: Any = sc2api_pb2
    status = protocol.Status
    process = run_config.start(want_rgb=False)
    try:
        controller = process.controller
        assert controller.status == status.launched
        with pytest.raises(protocol.ProtocolError):
            controller.step(1)
        bad = creation(run_config)
        del bad.player_setup[:]
        with pytest.raises(remote_controller.RequestError, match="MissingPlayerSetup"):
            controller.create_game(bad)
        controller.create_game(creation(run_config))
        assert controller.status == status.init_game
        join = sc_pb.RequestJoinGame(race=1, options=sc_pb.InterfaceOptions(raw=True, score=False))
        controller.join_game(join)
        assert controller.status == status.in_game
        assert controller.data().units[48] == "Marine"
        assert controller.game_info().start_raw.map_size.x == 32
        assert "SMAC_Maps/3m.SC2Map" in controller.available_maps().local_map_paths

        units = controller.observe().observation.raw_data.units
        assert [unit.owner for unit in units] == [1, 1, 1, 2, 2, 2]
        action = sc_pb.Action()
        command = action.action_raw.unit_command
        command.ability_id, command.target_world_space_pos.x, command.target_world_space_pos.y = 16, 9, 20
        top = max(range(3), key=lambda u: units[u].pos.y)  # nobody stands in its way
        command.unit_tags.append(units[top].tag)
        assert controller.act(action).result == [1]
        assert controller.step(8).simulation_loop == 8
        moved = controller.observe().observation.raw_data.units[top]
        assert moved.pos.y - units[top].pos.y == pytest.approx(1.125, abs=0.3)

        everybody = [unit.tag for unit in controller.observe().observation.raw_data.units]
        controller.debug(debug_pb2.DebugCommand(kill_unit=debug_pb2.DebugKillUnit(tag=everybody)))
        controller.step(2)
        assert not controller.observe().observation.raw_data.units
        controller.step(1)
        fresh = controller.observe().observation.raw_data.units
        assert len(fresh) == 6
        assert not {unit.tag for unit in fresh} & set(everybody)
        saved = run_config.save_replay(controller.save_replay(), "tests", "3m")
        assert Path(saved).read_bytes().startswith(b"LANREC1")
        controller.restart()
        assert controller.status == status.in_game
        controller.leave()
        assert controller.status == status.launched
        controller.quit()
        assert controller.status == status.quit
        process._proc.wait(10)
    finally:
        process.close()


def test_versions_that_are_not_installed_are_named(sc2_path: Path) -> None:
    from envs.errors import InputError
    from envs.sc2.client import run_config

    for version in ("4.6.2", "9.9"):
        with pytest.raises(InputError, match="SC2_VERSION"):
            run_config(version)
