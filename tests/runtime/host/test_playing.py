from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.types import MultiAgentEnv
from runtime.host.cli import play_env
from runtime.host.flags import PlayConfig, resolve
from runtime.host.game import EpisodeResult, GameHost
from runtime.host.team import connect_team
from runtime.identity.addresses import parse_addresses
from runtime.model_file.loader import load_model, load_model_bytes
from tests.runtime.support.playing import hosted, play_in_process, same_actions, team, unsupervised_team
from tests.runtime.support.processes import started
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC, TagEnv


def test_processes_take_the_actions_of_one_process_step_by_step(model_file: Path) -> None:
    async def play() -> list[EpisodeResult]:
        async with hosted(TagEnv(seed=3), addresses) as host:
            return await host.play(20, lambda result: None)

    with team(model_file) as (addresses, _):
        results = asyncio.run(play())
    assert same_actions(results, play_in_process(load_model(model_file), TagEnv(seed=3), 20))
    assert any((result.actions == 0).any() for result in results), "nobody fell: dead agents were not tried"
    assert sum(result.fallbacks for result in results) == 0


def test_the_report_counts_what_was_played(model_file: Path) -> None:
    results: list[EpisodeResult] = []
    with team(model_file) as (addresses, _):
        backwards = ",".join(reversed(addresses.split(",")))  # the order of the addresses does not matter
        config = PlayConfig(map="tag", agents=backwards, episodes=6)
        report = asyncio.run(play_env(TagEnv(seed=4), resolve(config), results.append))
    assert report["episodes"] == len(results) == 6
    assert report["won"] == sum(result.won for result in results)
    assert report["win_rate"] == report["won"] / 6
    assert report["return_mean"] == pytest.approx(np.mean([result.episode_return for result in results]))
    assert report["episode_steps_mean"] == pytest.approx(np.mean([result.steps for result in results]))
    assert report["fallbacks"] == 0
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
    assert [row["agent_id"] for row in report["agents"]] == [0, 1, 2]
    assert all(row["availability"] == 1.0 for row in report["agents"])


def test_a_killed_agent_is_played_without_and_the_battle_goes_on(
    model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> tuple[EpisodeResult, GameHost]:
        async with hosted(KillingEnv(), addresses, deadline_ms=300.0) as host:
            return await host.play_episode(), host

    class KillingEnv(TagEnv):
        def step(self, actions: np.ndarray) -> Any:
            if self.steps == 5:
                os.kill(pids[1], signal.SIGKILL)
            return super().step(actions)

    with unsupervised_team(model_file) as (addresses, pids):
        result, host = asyncio.run(play())
    assert result.steps > 6
    assert result.fallbacks == result.steps - 6
    assert [link.counts.fallbacks for link in host.links] == [0, result.fallbacks, 0]
    assert set(result.actions[6:, 1]) <= {0, 1}
    assert "agent 1 at" in caplog.text
    assert "is lost" in caplog.text
    # what waiting costs is one deadline, not one for every step that is left
    assert sum(ms > 150 for ms in result.latency_ms) == 1


def test_a_restarted_agent_joins_in_again_and_is_said_to_be_back(
    model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def play() -> list[EpisodeResult]:
        async with hosted(TagEnv(seed=5), addresses, deadline_ms=300.0) as host:
            first = await host.play_episode()
            os.kill(pids[0], signal.SIGKILL)
            without = await host.play_episode()
            with started(
                "agent", "--model", model_file, "--agent-id", 0, "--listen", addresses.split(",")[0],
                until="serves",
            ):  # fmt: skip
                return [first, without, *await host.play(2, lambda result: None)]

    with unsupervised_team(model_file) as (addresses, pids):
        first, without, *again = asyncio.run(play())
    assert first.fallbacks == 0
    assert without.fallbacks == without.steps
    assert sum(result.fallbacks for result in again) == 0
    assert "agent 0 at" in caplog.text
    assert "is back" in caplog.text
    env = TagEnv(seed=5)
    env.next_episode = 2
    assert same_actions(again, play_in_process(load_model(model_file), env, 2))


def test_a_supervised_agent_is_killed_and_not_a_step_is_lost(
    model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its successor knows nothing, says so, and is sent the episode from its start within the step's time."""

    async def play() -> tuple[EpisodeResult, GameHost]:
        async with hosted(KillingEnv(seed=6), addresses, deadline_ms=10_000.0) as host:
            return await host.play_episode(), host

    class KillingEnv(TagEnv):
        def step(self, actions: np.ndarray) -> Any:
            if self.steps == 5:
                os.kill(pids[1], signal.SIGKILL)
            return super().step(actions)

    with team(model_file) as (addresses, pids):
        result, host = asyncio.run(play())
    assert result.fallbacks == 0
    assert host.links[1].counts.reconnects == 1
    assert host.links[1].counts.replayed_steps == 6
    assert "agent 1 at" in caplog.text
    assert same_actions([result], play_in_process(load_model(model_file), TagEnv(seed=6), 1))


def test_a_stopped_process_costs_its_unit_only_the_steps_it_missed(model_file: Path) -> None:
    """SIGSTOP: the agent is there but silent, misses a deadline, and catches up with what it has missed."""

    class StoppingEnv(TagEnv):
        def step(self, actions: np.ndarray) -> Any:
            if self.steps == 4:
                os.kill(pids[2], signal.SIGSTOP)
            if self.steps == 8:
                os.kill(pids[2], signal.SIGCONT)
            if self.steps > 8:
                time.sleep(0.05)  # a game that leaves the link time to find the agent again
            return super().step(actions)

    async def play() -> tuple[EpisodeResult, GameHost]:
        async with hosted(StoppingEnv(seed=8), addresses, deadline_ms=300.0) as host:
            return await host.play_episode(), host

    with team(model_file) as (addresses, pids):
        result, host = asyncio.run(play())
    assert result.steps > 20
    missed = host.links[2].counts.fallbacks
    assert 4 <= missed < result.steps - 10
    assert host.links[0].counts.fallbacks == host.links[1].counts.fallbacks == 0


def test_a_model_is_changed_between_episodes_and_not_within_one(
    tmp_path: Path, model_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """SIGHUP in the middle of the second of four battles; then a file that nobody may load."""

    class ChangingEnv(TagEnv):
        def step(self, actions: np.ndarray) -> Any:
            if self.next_episode == 2 and self.steps == 3:
                model_file.write_bytes(model_bytes(seed=2))
                os.kill(parent, signal.SIGHUP)
                time.sleep(0.3)
            if self.next_episode == 3 and self.steps == 3:
                model_file.write_bytes(b"no model")
                os.kill(parent, signal.SIGHUP)
                time.sleep(0.3)
                os.kill(pids[0], signal.SIGHUP)  # the parent alone decides
            return super().step(actions)

    async def play() -> list[EpisodeResult]:
        async with hosted(ChangingEnv(seed=7), addresses) as host:
            return await host.play(4, lambda result: None)

    first, second = load_model(model_file), load_model_bytes(model_bytes(seed=2), "second")
    log = tmp_path / "log"
    with team(model_file, log=log) as (addresses, pids):
        parent = int(Path(f"/proc/{pids[0]}/stat").read_text().rpartition(")")[2].split()[1])
        results = asyncio.run(play())
    env = TagEnv(seed=7)
    wanted = play_in_process(first, env, 2) + play_in_process(second, env, 2)
    assert same_actions(results, wanted)
    assert sum(result.fallbacks for result in results) == 0
    assert f"has model {second.digest[:12]} now" in caplog.text
    assert log.read_text().count("new episodes are played by") == 3
    assert log.read_text().count("the model stays as it is") == 1


def test_a_team_of_two_models_plays_without_those_that_differ(
    model_file: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.host.asked_team.MODEL_CHANGE_TIMEOUT_S", 0.3)

    async def play() -> EpisodeResult:
        async with hosted(TagEnv(seed=7), addresses) as host:
            model_file.write_bytes(model_bytes(seed=2))
            os.kill(pids[2], signal.SIGHUP)
            await asyncio.sleep(0.3)
            return await host.play_episode()

    with unsupervised_team(model_file) as (addresses, pids):
        result = asyncio.run(play())
    assert result.fallbacks == result.steps
    assert "agent 2 at" in caplog.text
    assert "another model than the rest of the team" in caplog.text


async def only_this_task() -> None:
    """Wait until no other task runs: gRPC ends its own a moment after a channel is closed."""
    async with asyncio.timeout(5.0):
        while asyncio.all_tasks() != {asyncio.current_task()}:
            await asyncio.sleep(0.01)


def test_a_host_that_is_left_leaves_nothing_running(model_file: Path) -> None:
    """Also when a battle fails while a lost agent is looked for; and a team that is refused is let go."""

    class BrokenEnv(TagEnv):
        def step(self, actions: np.ndarray) -> Any:
            raise RuntimeError("the game broke")

    async def play() -> None:
        async with hosted(BrokenEnv(), addresses, deadline_ms=300.0) as host:
            os.kill(pids[0], signal.SIGKILL)
            with pytest.raises(RuntimeError, match="the game broke"):
                await host.play(1, lambda result: None)
            assert host.links[0].is_lost
            assert len(asyncio.all_tasks()) > 1
        await only_this_task()
        with pytest.raises(InputError, match="does not answer"):
            await connect_team(parse_addresses(addresses), SPEC, 1.0)
        await only_this_task()

    with unsupervised_team(model_file) as (addresses, pids):
        asyncio.run(play())


def test_in_real_time_a_step_takes_as_long_as_the_game_gives_it(model_file: Path) -> None:
    class ShortEnv(TagEnv):
        def show(self, reward: float, won: bool) -> Any:
            return super().show(reward, won or self.steps == 4)

    async def play() -> EpisodeResult:
        links = await connect_team(parse_addresses(addresses), SPEC, 10.0)
        async with GameHost(ShortEnv(), links, 10_000.0, realtime=True) as host:
            os.kill(pids[1], signal.SIGSTOP)
            try:
                return await host.play_episode()
            finally:
                os.kill(pids[1], signal.SIGCONT)

    with team(model_file) as (addresses, pids):
        start_s = time.monotonic()
        result = asyncio.run(play())
        took_s = time.monotonic() - start_s
    assert took_s >= result.steps * 8 / 22.4
    assert result.fallbacks == result.steps  # the silent agent; its deadline is the game's
    assert max(result.latency_ms) < 600


def test_a_record_holds_the_actions_that_were_played(model_file: Path, tmp_path: Path) -> None:
    results: list[EpisodeResult] = []
    record = tmp_path / "record.jsonl"
    with team(model_file) as (addresses, _):
        config = PlayConfig(map="tag", agents=addresses, episodes=3, record=record)
        asyncio.run(play_env(TagEnv(seed=4), resolve(config), results.append))
    lines = [json.loads(line) for line in record.read_text().splitlines()]
    assert [line["episode"] for line in lines] == [0, 1, 2]
    assert all(
        np.array_equal(line["actions"], result.actions) for line, result in zip(lines, results, strict=True)
    )
    assert [line["won"] for line in lines] == [result.won for result in results]


def refusal(addresses: str, env: MultiAgentEnv) -> str:
    """What `play_env` refuses the agents with."""
    config = PlayConfig(map="tag", agents=addresses, episodes=1, connect_timeout_s=1.0)
    with pytest.raises(InputError) as caught:
        asyncio.run(play_env(env, resolve(config), lambda result: None))
    return str(caught.value)


def test_a_team_that_is_not_whole_or_not_one_team_is_refused(tmp_path: Path, model_file: Path) -> None:
    other = tmp_path / "other.onnx"
    other.write_bytes(model_bytes(seed=2))
    with team(model_file) as (addresses, _), team(other) as (others, _), socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        nobody = f"127.0.0.1:{deaf.getsockname()[1]}"
        first, second, third = addresses.split(",")
        assert "nobody serves agent [2]" in refusal(f"{first},{second}", TagEnv())
        assert f"agent at {nobody} does not answer" in refusal(f"{first},{second},{nobody}", TagEnv())
        mixed = f"{first},{second},{others.split(',')[2]}"
        assert "serve different models" in refusal(mixed, TagEnv())
        with started(
            "agent", "--model", model_file, "--agent-id", 1, "--listen", "127.0.0.1:0", until="serves"
        ) as twin:
            address = twin.said.split()[-1]
            assert "both say that they are agent 1" in refusal(f"{addresses},{address}", TagEnv())

        class OtherEnv(TagEnv):
            spec = type(SPEC)(**{**vars(SPEC), "obs_dim": 14, "episode_limit": 31})

        text = refusal(f"{first},{second},{third}", OtherEnv())
        assert "trained for another environment" in text
        assert "obs_dim: 14, not 13; episode_limit: 31, not 30" in text


def test_a_listener_that_never_answers_is_refused_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        text = refusal(f"127.0.0.1:{silent.getsockname()[1]}", TagEnv())
    assert "does not answer" in text
