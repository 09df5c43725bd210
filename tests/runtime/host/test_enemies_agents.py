"""Battles between two teams of agents: the enemies' agents are processes too."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from envs.battle.env import BattleEnv
from envs.battle.mirror import turn_of
from envs.battle.opponent import TwoSidedEnv
from envs.smac.maps import load_map
from envs.types import IntArray, TimeStep
from exporters.contestants import onnx_contestant
from exporters.evaluate import EvaluateConfig, evaluate
from exporters.opponents import with_model_opponent
from runtime.host.game import EpisodeResult, GameHost
from runtime.host.team import connect_team
from runtime.identity.addresses import parse_addresses
from runtime.model_file.loader import load_model
from tests.paths import ROOT
from tests.runtime.support.playing import play_in_process, same_actions, team, unsupervised_team
from tests.runtime.support.processes import run

ZOO_3M = ROOT / "zoo" / "3m.onnx"
SEED = 5


class Battles(TwoSidedEnv):
    """Battles on 3m; a process may be killed after the third step."""

    victim: int | None = None

    def __init__(self) -> None:
        smac_map = load_map("3m")
        super().__init__(BattleEnv(smac_map, seed=SEED), turn_of(smac_map))
        self.n_steps = 0

    def step(self, actions: IntArray) -> TimeStep:
        self.n_steps += 1
        if self.n_steps == 3 and self.victim is not None:
            os.kill(self.victim, signal.SIGKILL)
        return super().step(actions)


@asynccontextmanager
async def two_teams(env: TwoSidedEnv, ours: str, theirs: str) -> AsyncIterator[GameHost]:
    links = await connect_team(parse_addresses(ours), env.spec, 30.0)
    enemies = await connect_team(parse_addresses(theirs), env.spec, 30.0, called="enemies' agent")
    async with GameHost(env, links, 1000.0, enemies=enemies) as host:
        yield host


def test_two_teams_of_processes_play_the_battles_of_one_process() -> None:
    async def play() -> list[EpisodeResult]:
        async with two_teams(Battles(), ours, theirs) as host:
            return await host.play(5, lambda result: None)

    with team(ZOO_3M) as (ours, _), team(ZOO_3M) as (theirs, _):
        results = asyncio.run(play())
    with with_model_opponent(BattleEnv(load_map("3m"), seed=SEED), ZOO_3M, "sim", 0) as env:
        assert same_actions(results, play_in_process(load_model(ZOO_3M), env, 5))
    against_the_map = play_in_process(load_model(ZOO_3M), BattleEnv(load_map("3m"), seed=SEED), 5)
    assert not same_actions(results, against_the_map), "the enemies did not obey their agents"


def test_an_enemys_agent_that_is_killed_is_missed_by_the_enemies_only(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def play() -> tuple[EpisodeResult, GameHost]:
        env = Battles()
        env.victim = pids[1]
        async with two_teams(env, ours, theirs) as host:
            return await host.play_episode(), host

    with team(ZOO_3M) as (ours, _), unsupervised_team(ZOO_3M) as (theirs, pids):
        result, host = asyncio.run(play())
    assert result.fallbacks == 0
    missed = [link.counts.fallbacks for link in host.enemies.links]
    assert missed == [0, result.steps - 3, 0]
    assert "enemies' agent 1 at" in caplog.text


def test_the_command_starts_both_teams_and_plays_as_lan_eval_does() -> None:
    words = ("play", "--model", ZOO_3M, "--opponent", ZOO_3M, "--env", "sim", "--episodes", 8, "--seed", 2)
    done = run(*words, "--json")
    assert done.returncode == 0, done.stderr
    assert "3 agents started" in done.stderr
    assert "3 enemies' agents started" in done.stderr
    report = json.loads(done.stdout)
    assert report["enemies"]["model_sha256"] == report["model_sha256"]
    assert report["enemies"]["fallbacks"] == 0
    by_lan_eval = EvaluateConfig(model=ZOO_3M, opponent=str(ZOO_3M), env="sim", episodes=8, seed=2)
    evaluated = evaluate(onnx_contestant(ZOO_3M), by_lan_eval)
    assert (report["won"], report["return_mean"]) == (evaluated.won, evaluated.return_mean)
    table = run(*words).stdout
    assert "3 agents, started by lan-play" in table
    assert "enemies' fallbacks" in table


@pytest.mark.parametrize(
    ("ours", "opponent", "says"),
    [
        (
            "3m",
            "zoo/8m.onnx",
            "--opponent zoo/8m.onnx was made for another environment: name: '3m', not '8m'",
        ),
        ("5m_vs_6m", "zoo/5m_vs_6m.onnx", "learned the other side: 5m_vs_6m is not symmetric"),
        ("3m", "nosuch.onnx", "model file nosuch.onnx cannot be read"),
        ("3m", "README.md", "model file README.md is refused"),
        ("3m", "zoo", "--opponent zoo is no model file but a folder; lan-export makes one"),
        ("3m", "focuss", "did you mean 'focus'"),
    ],
)
def test_what_cannot_command_the_enemies_is_said_before_anything_starts(
    ours: str, opponent: str, says: str
) -> None:
    done = run("play", "--model", f"zoo/{ours}.onnx", "--env", "sim", "--opponent", opponent)
    assert done.returncode == 2
    assert says in done.stderr
    assert "started" not in done.stderr
    assert "Traceback" not in done.stderr
