"""Malformed requests and model files: no crash, no hang, no memory advanced, nothing told, bounded memory."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import numpy as np
import psutil
import pytest

from envs.errors import ModelError
from runtime.model_file.loader import load_model_bytes
from tests.runtime.agent.test_agent_server import Served, act, served
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC

ACT = "/lan.policy.v1.PolicyService/Act"
ACT_STREAM = "/lan.policy.v1.PolicyService/ActStream"
ALLOWED = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


def malformed(rng: np.random.Generator) -> bytes:
    """Bytes that are no request, or a request that must not be taken."""
    good = act(7, "elsewhere").SerializeToString()
    kind = rng.integers(0, 9)
    if kind == 0:
        return rng.bytes(int(rng.integers(0, 300)))
    if kind == 1:  # cut off within the observation
        return good[: int(rng.integers(10, 60))]
    if kind == 2:
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 6))):
            data[int(rng.integers(len(data)))] = int(rng.integers(256))
        return bytes(data)
    changes: dict[str, Any] = {
        3: {"observation": rng.bytes(int(rng.integers(0, 100)))},
        4: {"observation": np.where(rng.random(SPEC.obs_dim) < 0.2, np.nan, 1e30).astype("<f4").tobytes()},
        5: {"available_actions": rng.bytes(int(rng.integers(0, 12)))},
        6: {"available_actions": bytes(SPEC.n_actions)},
        7: {"observation": rng.bytes(40_000)},
        8: {},
    }[int(kind)]
    episode_id = str(rng.choice(["held", "", "x" * 65, "new"]))
    step = int(rng.choice([0, 1, 2, 5, 2**31, 2**32 - 1]))
    if not changes and episode_id == "new":
        step = 5
    return act(step, episode_id, **changes).SerializeToString()


async def over_a_call(call: Any, data: bytes) -> grpc.aio.AioRpcError | None:
    try:
        await call(data, timeout=10)
    except grpc.aio.AioRpcError as error:
        return error
    return None


async def over_a_stream(call: Any, data: bytes) -> grpc.aio.AioRpcError | None:
    stream = call(timeout=10)
    try:
        await stream.write(data)
        await stream.read()
    except grpc.aio.AioRpcError as error:
        return error
    stream.cancel()
    return None


async def bombard(test: Served, count: int, seed: int) -> int:
    """Send so many malformed requests over both rpcs, moving no episode; how many were refused."""
    rng = np.random.default_rng(seed)
    one = test.channel.unary_unary(ACT)
    many = test.channel.stream_stream(ACT_STREAM)
    for step in range(4):
        await test.stub.Act(act(step, "held"))
    held = test.table._live["held"].episode
    refused = 0
    for index in range(count):
        data = malformed(rng)
        error = await (over_a_call(one, data) if index % 2 else over_a_stream(many, data))
        if error is not None:
            refused += 1
            assert error.code() in ALLOWED, error
            assert not any(word in f"{error.details()}" for word in ("Traceback", "class", "/", "Error"))
        assert test.table._live["held"].episode is held, data
        for name in set(test.table._live) - {"held"}:  # a mutation that is a good request, or nearly
            test.table.end(name)
    assert (await test.stub.Act(act(4, "held"))).step == 4
    return refused


@pytest.mark.asyncio
async def test_malformed_requests_are_refused_and_move_nothing(small_model_bytes: bytes) -> None:
    async with served(small_model_bytes) as test:
        assert await bombard(test, 600, seed=0) > 570


@pytest.mark.slow
def test_100_000_malformed_requests_leave_memory_bounded(small_model_bytes: bytes) -> None:
    async def run() -> tuple[int, float]:
        async with served(small_model_bytes, idle_s=1e6) as test:
            await bombard(test, 4_000, seed=1)
            test.table.end("held")
            before = psutil.Process().memory_info().rss
            refused = await bombard(test, 100_000, seed=2)
            return refused, (psutil.Process().memory_info().rss - before) / 1e6

    refused, grown_mb = asyncio.run(run())
    print(f"{refused} of 100000 refused; memory grew by {grown_mb:.1f} MB")
    assert refused > 95_000
    assert grown_mb < 20


@pytest.mark.slow
def test_5_000_mutated_model_files_load_or_are_refused() -> None:
    good = model_bytes()
    rng = np.random.default_rng(3)
    before = psutil.Process().memory_info().rss
    refused = 0
    for _ in range(5_000):
        data = bytearray(good)
        for _ in range(int(rng.integers(1, 5))):
            data[int(rng.integers(0, 3_000 if rng.random() < 0.7 else len(data)))] = int(rng.integers(256))
        try:
            load_model_bytes(bytes(data), "mutated")
        except ModelError:
            refused += 1
    grown_mb = (psutil.Process().memory_info().rss - before) / 1e6
    print(f"{refused} of 5000 refused; memory grew by {grown_mb:.1f} MB")
    assert refused > 2_500
    assert grown_mb < 100
