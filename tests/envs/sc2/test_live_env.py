"""Sc2Env on the stand-in game: the simulator's battles, and games that crash, hang, or are not there."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import fields
from pathlib import Path

import numpy as np
import psutil
import pytest

from envs.battle.env import BattleEnv
from envs.conformance import check_env, random_actions
from envs.errors import EpisodeLostError, InputError
from envs.make import make_env, resolve_backend
from envs.sc2.client import GameSettings, LostGameError, game_seed
from envs.sc2.descriptors import protocol_module
from envs.sc2.env import Sc2Env
from envs.sc2.reading import game_tables
from envs.smac.maps import MAP_NAMES, load_map
from envs.types import IntArray, MultiAgentEnv, TimeStep

QUICK = GameSettings(deadline_s=3)


def assert_same(one: TimeStep, other: TimeStep, where: str) -> None:
    for field in fields(TimeStep):
        a, b = getattr(one, field.name), getattr(other, field.name)
        np.testing.assert_allclose(a, b, rtol=0, atol=1e-6, err_msg=f"{where}: {field.name}")


def scripted_actions(step: TimeStep, rng: np.random.Generator) -> IntArray:
    """Attack or heal whoever can be, else walk at random."""
    targets = step.avail_actions[..., 6:]
    return np.where(targets.any(-1), targets.argmax(-1) + 6, random_actions(step, rng))


def assert_plays_as_the_simulator(env: MultiAgentEnv, map_name: str, seed: int, episodes: int) -> None:
    """Step by step, random and scripted play in turns, one reset in the middle of a battle."""
    simulated = BattleEnv(load_map(map_name), seed=seed)
    rng = np.random.default_rng(seed)
    for episode in range(episodes):
        live, sim = env.reset(), simulated.reset()
        assert_same(live, sim, f"{map_name}, episode {episode}, reset")
        count = 0
        while not sim.done[0] and (episode != 1 or count < 5):
            actions = scripted_actions(sim, rng) if episode % 2 else random_actions(sim, rng)
            live, sim = env.step(actions), simulated.step(actions)
            count += 1
            assert_same(live, sim, f"{map_name}, episode {episode}, step {count}")
    env.close()


@pytest.mark.parametrize("map_name", ["3m", "MMM"])
def test_the_live_battle_is_the_simulated_one(sc2_path: Path, map_name: str) -> None:
    assert_plays_as_the_simulator(make_env(map_name, "sc2", seed=4), map_name, seed=4, episodes=3)


@pytest.mark.slow
@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_the_live_battle_is_the_simulated_one_on_every_map(sc2_path: Path, map_name: str) -> None:
    assert_plays_as_the_simulator(make_env(map_name, "sc2", seed=11), map_name, seed=11, episodes=20)


def test_positions_are_divided_by_the_playable_area_that_the_game_reports(
    sc2_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with Sc2Env(load_map("3m"), seed=1) as env:
        env.reset()
        slot = env._slots[0]
        assert (slot.tables.max_distance_x, slot.tables.max_distance_y) == (28, 28)
        assert slot._game is not None
        info = type(slot._game.info)()
        info.CopyFrom(slot._game.info)
        assert not caplog.records
        info.start_raw.playable_area.p0.x = 0
        tables = game_tables(env.smac_map, info, slot.roster)
        assert (tables.max_distance_x, tables.max_distance_y) == (30, 28)
        assert "30 x 28 cells" in caplog.text
        info.start_raw.playable_area.p1.y = 2
        with pytest.raises(LostGameError, match="the playable area is 30 x 0 cells"):
            game_tables(env.smac_map, info, slot.roster)


def test_mutual_destruction_does_not_shift_the_next_battle(sc2_path: Path) -> None:
    """A baneling takes the last marine with it: the next battle still begins at its beginning."""
    env, simulated = Sc2Env(load_map("3m"), seed=1), BattleEnv(load_map("3m"), seed=1)
    step = env.reset()
    simulated.reset()
    slot = env._slots[0]
    assert slot._game is not None
    debug = protocol_module("debug")
    roster = slot.roster
    last = roster.tags[0]
    value = debug.DebugSetUnitValue(unit_value=debug.DebugSetUnitValue.Life, value=1, unit_tag=last)
    baneling = debug.DebugCreateUnit(unit_type=9, owner=2)
    baneling.pos.x, baneling.pos.y = roster.x[0] + 0.8, roster.y[0]
    slot._game._controller.debug(
        [debug.DebugCommand(unit_value=value), debug.DebugCommand(create_unit=baneling)]
    )
    slot._game.kill_units([tag for tag in roster.tags if tag != last])
    step = env.step(random_actions(step, np.random.default_rng(1)))
    assert step.terminated[0]
    assert not slot._shown_tags
    assert not step.won[0]
    assert_same(env.reset(), simulated.reset(), "after the draw")
    env.close()


def test_two_games_side_by_side_keep_the_contract(sc2_path: Path) -> None:
    report = check_env(make_env("2m_vs_1z", "sc2", n_battles=2, seed=3), episodes=2, reproducible=False)
    assert report.episodes >= 2


def test_games_are_made_anew_before_the_end_of_time(sc2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("envs.sc2.env.END_OF_TIME_LOOPS", 60 * 8 + 100)
    env = Sc2Env(load_map("3m"), seed=1)
    step = env.reset()
    first = env.pids
    env.step(random_actions(step, np.random.default_rng(1)))
    env.reset()
    assert env.pids != first
    assert env.failures.total == 0
    env.close()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP])
def test_a_game_that_crashes_or_hangs_is_lost_and_replaced(sc2_path: Path, how: signal.Signals) -> None:
    env = Sc2Env(load_map("3m"), n_battles=2, seed=1, settings=QUICK)
    rng = np.random.default_rng(1)
    step = env.step(random_actions(env.reset(), rng))
    pid, other = env.pids
    assert pid is not None
    os.kill(pid, how)
    with pytest.raises(EpisodeLostError) as lost:
        env.step(random_actions(step, rng))
    assert lost.value.slots.tolist() == [True, False]
    assert not psutil.pid_exists(pid)
    step = env.reset()
    assert env.pids[1] == other
    assert not step.done.any()
    env.step(random_actions(step, rng))
    env.close()


def test_a_game_that_dies_between_episodes_costs_none(sc2_path: Path) -> None:
    env = Sc2Env(load_map("3m"), seed=1)
    env.reset()
    assert env.pids[0] is not None
    os.kill(env.pids[0], signal.SIGKILL)
    assert not env.reset().done.any()
    assert env.failures.total == 1
    env.close()


def test_a_game_that_never_works_stops_the_run_with_its_own_words(
    tmp_path: Path, game_tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    binary = tmp_path / "Versions/Base75689/SC2_x64"
    binary.parent.mkdir(parents=True)
    binary.write_text("#!/bin/sh\necho the dragons are missing >&2\nexit 3\n")
    binary.chmod(0o755)
    (tmp_path / "Maps").symlink_to(game_tree / "Maps")
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    env = Sc2Env(load_map("3m"), settings=QUICK)
    with pytest.raises(InputError, match=r"failed 5 times in a row on 3m.*the dragons are missing"):
        env.reset()
    env.close()


def test_no_game_outlives_a_killed_host(sc2_path: Path) -> None:
    code = (
        "import time; from envs.make import make_env; e = make_env('3m', 'sc2', n_battles=2); e.reset();"
        "print(*e.pids, flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pids = [int(pid) for pid in host.stdout.readline().split()]
        assert len(pids) == 2
        host.kill()
        host.wait(10)
    deadline_s = time.monotonic() + 10
    while any(_runs(pid) for pid in pids):
        assert time.monotonic() < deadline_s, "a game is still there"
        time.sleep(0.05)


@pytest.mark.parametrize("after_s", [0.0, 0.3])
def test_no_game_outlives_a_host_killed_while_the_game_starts(sc2_path: Path, after_s: float) -> None:
    code = "from envs.make import make_env; print(flush=True); make_env('3m', 'sc2').reset()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as host:
        assert host.stdout is not None
        host.stdout.readline()
        deadline_s = time.monotonic() + 60
        while not (games := psutil.Process(host.pid).children()):
            assert host.poll() is None
            assert time.monotonic() < deadline_s, "the host starts no game"
            time.sleep(0.001)
        time.sleep(after_s)
        host.kill()
        host.wait(10)
    deadline_s = time.monotonic() + 10
    while any(_runs(game.pid) for game in games):
        assert time.monotonic() < deadline_s, "a game is still there"
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_auto_takes_the_game_where_there_is_one(
    sc2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert resolve_backend("auto", "3m") == "sc2"
    assert resolve_backend("auto", "checkers") == "sim"
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    assert resolve_backend("auto", "3m") == "sim"


def test_what_is_missing_is_said(sc2_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SC2_VERSION", "4.6.2")
    with pytest.raises(InputError, match=r"4\.6\.2 is not installed"):
        make_env("3m", "sc2")
    monkeypatch.delenv("SC2_VERSION")
    (tmp_path / "Versions").symlink_to(sc2_path / "Versions")
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    with pytest.raises(InputError, match=r"3m\.SC2Map is missing.*SMAC_Maps"):
        make_env("3m", "sc2")
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="SC2_x64"):
        make_env("3m", "sc2")


def test_the_first_game_has_the_seed_itself_and_others_their_own() -> None:
    seeds = {game_seed(5, slot, launch) for slot in range(3) for launch in range(3)}
    assert game_seed(5, 0, 0) == 5
    assert len(seeds) == 9
    assert all(0 <= seed < 2**32 for seed in seeds)


def test_a_lost_game_is_no_bad_input() -> None:
    assert not issubclass(LostGameError, InputError)
