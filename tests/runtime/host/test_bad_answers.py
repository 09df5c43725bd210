"""Whatever an agent answers, the others play on, and it plays again as soon as it answers as it must."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from typing import Any

import grpc
import numpy as np
import pytest

from envs.errors import InputError
from protos import policy_pb2
from runtime.host.connection import AgentError, decoded
from runtime.host.fallback import fallback_action
from runtime.host.game import EpisodeResult
from tests.runtime.support.fake_agent import (
    Answer,
    FakeAgent,
    Refusal,
    choice,
    description,
    error_details,
    fake_team,
)
from tests.runtime.support.playing import hosted
from tests.runtime.support.tag_env import SPEC, TagEnv

GARBAGE = b"\xff\xff\xff"
HOSTILE = "boom\n\x1b[2J\x07 [bold]x[/y] \N{RIGHT-TO-LEFT OVERRIDE}" + "x" * 5_000


def refuse(code: grpc.StatusCode, text: str, details: bytes | None = None) -> Answer:
    def answer(request: Any) -> bytes:
        raise Refusal(code, text, details)

    return answer


def reply(**fields: Any) -> Callable[[Any], bytes]:
    return lambda request: policy_pb2.ActResponse(**{"step": request.step, **fields}).SerializeToString()


BAD_ANSWERS: dict[str, Answer] = {
    "garbage": lambda request: GARBAGE,
    "empty": lambda request: b"",
    "no answer, stream closed": lambda request: None,
    "text that is not UTF-8": lambda request: b"\x1a\x02\xff",
    "half a message": lambda request: choice(request).SerializeToString() + b"\x1a\x7f",
    "a step of the future": reply(step=99),
    "a step of the past": reply(step=1),
    "the largest step": reply(step=2**32 - 1),
    "an action out of range": reply(action=SPEC.n_actions),
    "the largest action": reply(action=2**32 - 1),
    "an action that is not available": reply(action=0),
    "an answer too large": reply(advantages=b"\0" * 100_000),
    "a hostile refusal": refuse(grpc.StatusCode.INTERNAL, HOSTILE),
    "malformed details": refuse(grpc.StatusCode.FAILED_PRECONDITION, "x", GARBAGE),
    "details of nothing": refuse(grpc.StatusCode.FAILED_PRECONDITION, "x", b""),
    "a step that never was": refuse(
        grpc.StatusCode.FAILED_PRECONDITION, "x", error_details("STEP_OUT_OF_ORDER", expected_step="9" * 10)
    ),
    "a negative step": refuse(
        grpc.StatusCode.FAILED_PRECONDITION, "x", error_details("STEP_OUT_OF_ORDER", expected_step="-1")
    ),
    "a step that is no number": refuse(
        grpc.StatusCode.FAILED_PRECONDITION,
        "x",
        error_details("STEP_OUT_OF_ORDER", expected_step="1" * 5_000),
    ),
    "no step": refuse(grpc.StatusCode.NOT_FOUND, "x", error_details("UNKNOWN_EPISODE")),
    "step 0 for ever": refuse(
        grpc.StatusCode.FAILED_PRECONDITION, "x", error_details("STEP_OUT_OF_ORDER", expected_step="0")
    ),
    "cancelled": refuse(grpc.StatusCode.CANCELLED, "x"),
    "unimplemented": refuse(grpc.StatusCode.UNIMPLEMENTED, "x"),
}


@pytest.mark.parametrize("name", BAD_ANSWERS)
@pytest.mark.asyncio
async def test_a_bad_answer_to_a_step_costs_one_unit_that_step(
    name: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Step 3 gets the bad answer as long as it is the newest; later it and all others get the right one.

    Only for that step the agent has little time; before the next one the host waits until it is back.
    """
    bad, good = FakeAgent(0), [FakeAgent(1), FakeAgent(2)]
    newest = 0

    def act(request: Any) -> bytes | None:
        nonlocal newest
        if request.step == 3 and env.steps == 3:
            return BAD_ANSWERS[name](request)
        newest = max(newest, request.step)
        return choice(request).SerializeToString()

    bad.act, env = act, ShortTag()
    async with fake_team(bad, *good) as addresses, hosted(env, addresses, deadline_ms=30_000.0) as host:
        link = host.links[0]
        act_in_time = link.act

        async def act_when_back(obs: bytes, avail_actions: bytes, deadline_s: float) -> int | None:
            if env.steps == 3:
                deadline_s = asyncio.get_running_loop().time() + 0.3
            async with asyncio.timeout(30.0):
                while link.is_lost:
                    await asyncio.sleep(0.01)
            return await act_in_time(obs, avail_actions, deadline_s)

        monkeypatch.setattr(link, "act", act_when_back)
        result = await host.play_episode()
        assert [link.counts.fallbacks for link in host.links] == [1, 0, 0]
    assert newest == result.steps - 1, "it did not join in again"
    assert bad.ended == good[0].ended, "an agent was not told to forget the episode"
    shown = "\n".join(record.getMessage() for record in caplog.records)
    assert "agent 0 at" in shown
    assert "is lost: " in shown
    assert all(line.isprintable() and len(line) < 500 for line in shown.splitlines())
    assert "Traceback" not in caplog.text


class ShortTag(TagEnv):
    """Ten steps."""

    def show(self, reward: float, won: bool) -> Any:
        return super().show(reward, won or self.steps >= 10)


BAD_DESCRIPTIONS: dict[str, tuple[Answer, str]] = {
    "garbage": (lambda request: GARBAGE, "its answer is no DescribeResponse"),
    "empty": (lambda request: b"", "trained for another environment"),
    "hostile name": (
        lambda request: description(environment=HOSTILE).SerializeToString(),
        "trained for another environment",
    ),
    "not UTF-8": (lambda request: b"\x1a\x02\xff\xff", "its answer is no DescribeResponse"),
    "another contract": (
        lambda request: description(contract_version=99).SerializeToString(),
        "contract_version: 2, not 99",
    ),
    "the old battlefield": (
        lambda request: description(contract_version=1).SerializeToString(),
        "serves a model of contract version 1, made for the old battlefield",
    ),
    "hostile refusal": (refuse(grpc.StatusCode.PERMISSION_DENIED, HOSTILE), "PERMISSION_DENIED: boom"),
    "no such rpc": (refuse(grpc.StatusCode.UNIMPLEMENTED, "x"), "UNIMPLEMENTED"),
}


@pytest.mark.parametrize("name", BAD_DESCRIPTIONS)
@pytest.mark.asyncio
async def test_a_bad_description_is_refused_at_once_in_one_sentence(name: str) -> None:
    agents = [FakeAgent(0), FakeAgent(1), FakeAgent(2)]
    agents[1].describe, says = BAD_DESCRIPTIONS[name]
    async with fake_team(*agents) as addresses:
        with pytest.raises(InputError) as caught:
            async with hosted(TagEnv(), addresses):
                pass
    text = str(caught.value)
    assert text.startswith(f"agent at {addresses.split(',')[1]}")
    assert says in text
    assert text.isprintable()
    assert len(text) < 700


@pytest.mark.parametrize("name", ["garbage", "another environment"])
@pytest.mark.asyncio
async def test_an_agent_that_describes_itself_badly_later_is_lost_until_it_does_not(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    agents = [FakeAgent(0), FakeAgent(1), FakeAgent(2)]
    right = agents[0].describe
    wrong = GARBAGE if name == "garbage" else description(environment="moon").SerializeToString()
    async with fake_team(*agents) as addresses, hosted(TagEnv(), addresses) as host:
        agents[0].describe = lambda request: wrong
        without = await host.play_episode()
        agents[0].describe = right
        again = await host.play_episode()
    assert without.fallbacks == without.steps
    assert again.fallbacks == 0
    assert "agent 0 at" in caplog.text


@pytest.mark.parametrize("answer", [lambda request: GARBAGE, refuse(grpc.StatusCode.UNAVAILABLE, "not now")])
@pytest.mark.asyncio
async def test_an_agent_that_does_not_say_that_it_forgot_an_episode_is_asked_again(answer: Answer) -> None:
    agents = [FakeAgent(0), FakeAgent(1), FakeAgent(2)]
    agents[0].end = answer
    async with fake_team(*agents) as addresses, hosted(TagEnv(), addresses) as host:
        await host.play_episode()
        agents[0].end = lambda request: b""
        await host.play_episode()
    first, second = agents[1].ended
    assert agents[0].ended[-2:] == [first, second]


@pytest.mark.asyncio
async def test_a_refusal_names_full_agents_and_how_that_passes() -> None:
    """A host that was killed leaves its episodes behind: the next one must not call it a played battle."""
    agents = [FakeAgent(0), FakeAgent(1), FakeAgent(2)]
    details = error_details("TOO_MANY_EPISODES")
    agents[2].act = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "3 episodes are running", details)
    async with fake_team(*agents) as addresses, hosted(TagEnv(), addresses, deadline_ms=200.0) as host:
        with pytest.raises(InputError, match=r"agent 2 at .* has no room .*--max-episodes.*--episode-idle-s"):
            await host.play(1, lambda result: None)
    assert len(agents[0].ended) == 1


@pytest.mark.asyncio
async def test_an_agent_that_fills_up_later_costs_its_unit_alone() -> None:
    agents = [FakeAgent(0), FakeAgent(1), FakeAgent(2)]
    details = error_details("TOO_MANY_EPISODES")
    full = refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "3 episodes are running", details)

    def on_episode(result: EpisodeResult) -> None:
        agents[2].act = full

    async with fake_team(*agents) as addresses, hosted(TagEnv(), addresses, deadline_ms=100.0) as host:
        results = await host.play(2, on_episode)
    assert [result.fallbacks for result in results] == [0, results[1].steps]


@pytest.mark.asyncio
async def test_a_lost_agent_is_told_to_forget_the_episode_when_it_is_back() -> None:
    """Or its --max-episodes fill up with battles that it missed the end of."""
    agents = [FakeAgent(0), FakeAgent(1), FakeAgent(2)]
    right = agents[0].act
    async with fake_team(*agents) as addresses, hosted(TagEnv(), addresses, deadline_ms=50.0) as host:
        agents[0].describe, described = lambda request: GARBAGE, agents[0].describe
        agents[0].act = lambda request: GARBAGE
        await host.play_episode()
        assert agents[0].ended == []
        agents[0].describe, agents[0].act = described, right
        await host.play_episode()
        assert agents[0].ended == agents[1].ended


BAD_ADVANTAGES = {
    "none": b"",
    "too short": struct.pack("<4f", 1, 2, 3, 4),
    "too long": struct.pack("<6f", 1, 2, 3, 4, 5, 6),
    "no whole number": b"\0" * 19,
    "not a number": struct.pack("<5f", 1, 2, 3, 4, float("nan")),
    "infinite": struct.pack("<5f", 1, 2, 3, 4, float("-inf")),
}


class Watcher:
    """Keeps the advantages that it is shown, [N, A] by step."""

    def __init__(self) -> None:
        self.advantages: list[np.ndarray] = []

    def begin(self, step: Any) -> None: ...

    def step(self, step: Any, actions: Any, advantages: np.ndarray) -> None:
        self.advantages.append(advantages[0])


@pytest.mark.parametrize("name", BAD_ADVANTAGES)
@pytest.mark.asyncio
async def test_advantages_that_cannot_be_shown_are_left_out_and_the_action_counts(name: str) -> None:
    def act(request: Any) -> bytes:
        answer = choice(request)
        answer.advantages = BAD_ADVANTAGES[name]
        return answer.SerializeToString()

    agents, watcher = [FakeAgent(0), FakeAgent(1), FakeAgent(2)], Watcher()
    agents[0].act = act
    async with fake_team(*agents) as addresses, hosted(TagEnv(), addresses) as host:
        host.watchers, host.links[0].asks_advantages = [watcher], True
        result = await host.play_episode()
    assert result.fallbacks == 0
    assert all(np.isnan(shown[0]).all() for shown in watcher.advantages)


@pytest.mark.parametrize("realtime", [False, True])
@pytest.mark.asyncio
async def test_advantages_of_an_earlier_step_are_never_shown_for_a_fallback(
    realtime: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In real time the agent is found again before the watcher looks."""
    monkeypatch.setattr("runtime.host.game.REALTIME_STEP_S", 0.1)

    def act(request: Any) -> bytes:
        if request.step == 2 and env.steps == 2:
            return GARBAGE
        answer = choice(request)
        answer.advantages = np.full(SPEC.n_actions, request.step, "<f4").tobytes()
        return answer.SerializeToString()

    agents, watcher, env = [FakeAgent(0), FakeAgent(1), FakeAgent(2)], Watcher(), ShortTag()
    agents[0].act = act
    async with fake_team(*agents) as addresses, hosted(env, addresses) as host:
        host.watchers, host.links[0].asks_advantages, host.realtime = [watcher], True, realtime
        result = await host.play_episode()
    assert 1 <= result.fallbacks < result.steps
    shown = [advantages[0, 0] for advantages in watcher.advantages]
    assert np.isnan(shown[2])
    assert all(np.isnan(value) or value == step for step, value in enumerate(shown))
    assert sum(map(np.isnan, shown)) == result.fallbacks


def test_a_call_that_ends_well_without_an_answer_is_a_bad_answer() -> None:
    """For such a call gRPC hands out None; a server written with its libraries never makes one."""
    with pytest.raises(AgentError, match="holds no DescribeResponse"):
        decoded(policy_pb2.DescribeResponse, None)


def test_what_a_unit_without_its_agent_does_is_the_environments_to_say() -> None:
    smac = TagEnv.idle_actions
    assert fallback_action(np.array([False, True, True, True, False]), smac) == 1
    assert fallback_action(np.array([True, False, False, False, False]), smac) == 0
    assert fallback_action(np.array([False, False, True]), smac) == 2
    assert fallback_action(np.array([True, True, True]), (2,)) == 2
    assert fallback_action(np.array([False, True, True]), ()) == 1
