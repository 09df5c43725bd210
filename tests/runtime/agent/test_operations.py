"""Metrics, logs and status, as an operator sees them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.request
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import policy_pb2_grpc
from runtime.identity.addresses import Address
from tests.runtime.agent.test_agent_server import act, served
from tests.runtime.support.processes import free_ports, run, started


def scrape(port: int) -> dict[str, float]:
    """The samples at a metrics port by name and labels, as Prometheus would read them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        lines = answer.read().decode().splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(value) for name, value in pairs}


@pytest.mark.asyncio
async def test_metrics_count_calls_steps_and_refusals(small_model_bytes: bytes) -> None:
    port = free_ports(1)
    async with served(small_model_bytes, metrics=Address("127.0.0.1", port)) as test:
        for request in (act(0), act(0), act(1)):
            await test.stub.Act(request)
        with pytest.raises(grpc.aio.AioRpcError):
            await test.stub.Act(act(7))
        stream = test.stub.ActStream()
        await stream.write(act(2))
        await stream.read()
        await stream.done_writing()
        assert await stream.read() is grpc.aio.EOF
        bad = test.stub.ActStream()
        await bad.write(act(3, observation=b""))
        with pytest.raises(grpc.aio.AioRpcError):
            await bad.read()
        samples = await asyncio.to_thread(scrape, port)
    assert samples["lan_steps_total"] == 3
    assert samples["lan_duplicate_steps_total"] == 1
    assert samples["lan_live_episodes"] == 1
    assert samples['lan_rejected_total{reason="STEP_OUT_OF_ORDER"}'] == 1
    assert samples['lan_rejected_total{reason="INVALID_FIELD"}'] == 1

    def calls(kind: str, method: str, more: str = "") -> str:
        service = "lan.policy.v1.PolicyService"
        return f'{more}grpc_method="{method}",grpc_service="{service}",grpc_type="{kind}"}}'

    assert samples["grpc_server_started_total{" + calls("unary", "Act")] == 4
    assert samples["grpc_server_started_total{" + calls("bidi_stream", "ActStream")] == 2
    handled = "grpc_server_handled_total{"
    assert samples[handled + calls("unary", "Act", 'grpc_code="OK",')] == 3
    assert samples[handled + calls("unary", "Act", 'grpc_code="FAILED_PRECONDITION",')] == 1
    assert samples[handled + calls("bidi_stream", "ActStream", 'grpc_code="OK",')] == 1
    assert samples[handled + calls("bidi_stream", "ActStream", 'grpc_code="INVALID_ARGUMENT",')] == 1
    assert samples["grpc_server_handling_seconds_count{" + calls("unary", "Act")] == 4


def test_every_agent_has_its_own_metrics_and_says_events_as_json(model_file: Path, tmp_path: Path) -> None:
    async def refused_call() -> None:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port + 1}") as channel:
            stub: Any = policy_pb2_grpc.PolicyServiceStub(channel)
            with pytest.raises(grpc.aio.AioRpcError):
                await stub.Act(act(0, observation=b"short"))

    port = free_ports(4)
    with started(
        "agents", "--model", model_file, "--agents", "0-1", "--listen", f"127.0.0.1:{port}",
        "--metrics", f"127.0.0.1:{port + 2}", "--log-json", until="2 agents serve", log=tmp_path / "log",
    ) as agents:  # fmt: skip
        asyncio.run(refused_call())
        assert "lan_rejected_total" not in "".join(scrape(port + 2))
        assert scrape(port + 3)['lan_rejected_total{reason="INVALID_FIELD"}'] == 1
        os.kill(agents.pids()[0], signal.SIGKILL)
        agents.process.send_signal(signal.SIGTERM)
        agents.process.wait(10)
    events = [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    (refusal,) = (event for event in events if event.get("reason") == "INVALID_FIELD")
    assert refusal["agent_id"] == 1
    assert refusal["code"] == "INVALID_ARGUMENT"
    assert refusal["field"] == "observation"
    assert refusal["event"].startswith("refused: observation: 5 bytes")
    assert refusal["time"].endswith("+00:00")
    assert refusal["level"] == "info"


def test_a_metrics_port_in_use_is_refused(model_file: Path) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        metrics = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run(
            "agent", "--model", model_file, "--agent-id", 0, "--listen", "127.0.0.1:0", "--metrics", metrics
        )
    assert done.returncode == 2
    assert f"--metrics {metrics} cannot be listened on" in done.stderr
    assert "Traceback" not in done.stderr
