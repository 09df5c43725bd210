"""The host may start first: it waits for agents that are not there yet, and for nothing else."""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from pathlib import Path

import grpc
import pytest

from envs.errors import InputError
from runtime.host.connection import AgentError
from runtime.host.team import connect_team, is_definite
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.certs import Authority
from runtime.identity.tls import HOST_URI, HostTls
from tests.runtime.support.certificates import DAY, files
from tests.runtime.support.fake_agent import FakeAgent, description, fake_team
from tests.runtime.support.processes import free_ports, run, started
from tests.runtime.support.tag_env import SPEC


@pytest.mark.asyncio
async def test_agents_that_start_later_are_waited_for(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runtime.host.team.NOTICE_S", 0.2)
    port = free_ports(3)
    first, *late = [FakeAgent(agent_id) for agent_id in range(3)]
    begun_s = time.monotonic()

    def notices() -> list[str]:
        return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]

    async with first.listening(port):
        joining = asyncio.create_task(
            connect_team(parse_addresses(f"127.0.0.1:{port}-{port + 2}"), SPEC, 30.0)
        )
        expected = f"waiting for 2 of 3: agent at 127.0.0.1:{port + 1} does not answer: "
        while not (seen := [text for text in notices() if text.startswith(expected)]):
            assert not joining.done()
            await asyncio.sleep(0.05)
        async with late[0].listening(port + 1), late[1].listening(port + 2):
            links = await joining
            for link in links:
                await link.close()
    assert f"agent at 127.0.0.1:{port} " not in seen[0]
    assert 0.2 * (2 ** len(notices()) - 1) <= time.monotonic() - begun_s, "each pause is twice the last one"


@pytest.mark.asyncio
async def test_at_the_deadline_every_missing_agent_is_named_with_the_reason() -> None:
    port = free_ports(2)
    async with FakeAgent(0).listening() as address:
        addresses = parse_addresses(f"{address},127.0.0.1:{port},nosuch.invalid:1")
        start_s = time.monotonic()
        with pytest.raises(InputError) as caught:
            await connect_team(addresses, SPEC, 1.5)
    assert 1.4 < time.monotonic() - start_s < 5.0
    text = str(caught.value)
    assert f"agent at 127.0.0.1:{port} does not answer: is there one running? (Connection refused" in text
    assert "agent at nosuch.invalid:1 does not answer" in text
    assert f"agent at {address} does" not in text
    assert text.endswith("(waited 1.5 s)")


@pytest.mark.asyncio
async def test_a_definite_no_is_not_waited_for_although_others_are_missing() -> None:
    stranger = FakeAgent(1)
    stranger.describe = lambda request: description(1, environment="moon").SerializeToString()
    async with fake_team(stranger) as address:
        addresses = parse_addresses(f"127.0.0.1:{free_ports(1)},{address}")
        start_s = time.monotonic()
        with pytest.raises(InputError, match="trained for another environment"):
            await connect_team(addresses, SPEC, 30.0)
    assert time.monotonic() - start_s < 5.0


@pytest.mark.asyncio
async def test_agents_in_the_middle_of_changing_their_model_are_given_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    agents = [FakeAgent(agent_id) for agent_id in range(3)]
    asked = 0

    def describe(request: object) -> bytes:
        nonlocal asked
        asked += 1
        return description(2, model_sha256=("1" if asked < 3 else "0") * 64).SerializeToString()

    agents[2].describe = describe
    async with fake_team(*agents) as addresses:
        for link in await connect_team(parse_addresses(addresses), SPEC, 10.0):
            assert link.model_sha256 == "0" * 64
            await link.close()
        monkeypatch.setattr("runtime.host.team.MODEL_CHANGE_TIMEOUT_S", 0.3)
        agents[2].describe = lambda request: description(2, model_sha256="1" * 64).SerializeToString()
        with pytest.raises(InputError, match="serve different models"):
            await connect_team(parse_addresses(addresses), SPEC, 10.0)


def tls_error(kind: type[ssl.SSLError], verify_code: int = 0, reason: str = "") -> ssl.SSLError:
    error = kind(1, "text")
    error.verify_code, error.reason = verify_code, reason
    return error


def refused(code: grpc.StatusCode) -> grpc.aio.AioRpcError:
    return grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(), "text")


@pytest.mark.parametrize(
    ("error", "definite"),
    [
        (ConnectionRefusedError(111, "refused"), False),
        (ConnectionResetError(104, "reset"), False),
        (TimeoutError(), False),
        (OSError(-2, "Name or service not known"), False),
        (OSError(113, "No route to host"), False),
        (tls_error(ssl.SSLCertVerificationError, 9), False),  # not yet valid
        (tls_error(ssl.SSLCertVerificationError, 10), False),  # expired: it may be renewed
        (tls_error(ssl.SSLCertVerificationError, 19), True),  # another authority
        (tls_error(ssl.SSLEOFError), False),
        (tls_error(ssl.SSLError, reason="WRONG_VERSION_NUMBER"), True),
        (AgentError("another agent"), True),
        (refused(grpc.StatusCode.UNAVAILABLE), False),
        (refused(grpc.StatusCode.DEADLINE_EXCEEDED), False),
        (refused(grpc.StatusCode.RESOURCE_EXHAUSTED), False),
        (refused(grpc.StatusCode.PERMISSION_DENIED), True),
        (refused(grpc.StatusCode.UNIMPLEMENTED), True),
    ],
)
def test_not_yet_is_not_no(error: Exception, definite: bool) -> None:
    assert is_definite(error) is definite


@pytest.mark.asyncio
async def test_a_name_that_cannot_be_a_name_is_one_sentence() -> None:
    with pytest.raises(InputError, match="does not answer"):
        await connect_team([Address("a" * 70 + ".invalid", 1)], SPEC, 0.5)


@pytest.mark.asyncio
async def test_a_name_that_cannot_be_a_name_is_not_said_to_be_a_certificates(tmp_path: Path) -> None:
    authority = Authority(DAY)
    authority.write(tmp_path)
    authority.issue(tmp_path, "host", HOST_URI, "host.lan")
    tls = HostTls(files(tmp_path, "host"))
    with pytest.raises(InputError, match="cannot be the name of a machine"):
        await connect_team([Address("a" * 70 + ".invalid", 1)], SPEC, 0.5, tls)


def test_a_real_host_plays_agents_that_start_after_it(tmp_path: Path) -> None:
    import subprocess

    from envs.make import env_spec
    from tests.paths import ROOT
    from tests.runtime.support.processes import RUN_TIMEOUT_S, command, environment
    from tests.runtime.support.small_models import model_bytes

    model, port = tmp_path / "3m.onnx", free_ports(3)
    model.write_bytes(model_bytes(env_spec("3m")))
    flags = ["--map", "3m", "--env", "sim", "--agents", f"127.0.0.1:{port}-{port + 2}", "--episodes", "1"]
    early = run("play", *flags, "--connect-timeout-s", "0.5")
    assert early.returncode == 2
    assert early.stderr.count("agent at 127.0.0.1") == 3
    assert "Traceback" not in early.stderr
    with subprocess.Popen(
        command("play", *flags, "--connect-timeout-s", "60"),
        cwd=ROOT,
        env=environment(),
        stderr=subprocess.PIPE,
    ) as host:
        time.sleep(1.0)
        with started(
            "agents",
            "--model",
            model,
            "--agents",
            "0-2",
            "--listen",
            f"127.0.0.1:{port}",
            until="agents serve",
        ):
            assert host.wait(RUN_TIMEOUT_S) == 0
