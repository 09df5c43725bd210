from __future__ import annotations

import asyncio
import contextlib
import datetime
import shutil
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from envs.errors import InputError
from protos import policy_pb2, policy_pb2_grpc
from runtime.agent.guard import names_the_host
from runtime.host.game import EpisodeResult, GameHost
from runtime.host.team import connect_team
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.certs import Authority
from runtime.identity.tls import HOST_URI, HostTls, TlsFiles, agent_dns_name, agent_uri, server_credentials
from runtime.model_file.loader import load_model
from tests.runtime.agent.test_agent_server import act, served
from tests.runtime.support.certificates import DAY, files, issue_expired, make_pki, read
from tests.runtime.support.playing import play_in_process, same_actions
from tests.runtime.support.processes import free_ports, run, started
from tests.runtime.support.tag_env import TagEnv


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pki(tmp_path_factory.mktemp("certs"))


def agent_config(pki: Path, agent_id: int = 2) -> dict[str, Any]:
    return {"credentials": server_credentials(files(pki, f"agent-{agent_id}"), agent_id)}


def channel(address: Address, ca: bytes, key: bytes | None, cert: bytes | None, agent_id: int = 2) -> Any:
    options = (("grpc.ssl_target_name_override", agent_dns_name(agent_id)),)
    credentials = grpc.ssl_channel_credentials(ca, key, cert)
    return grpc.aio.secure_channel(str(address), credentials, options=options)


async def status_of(open_channel: Any) -> grpc.StatusCode:
    async with open_channel as opened:
        stub: Any = policy_pb2_grpc.PolicyServiceStub(opened)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Describe(policy_pb2.DescribeRequest(), timeout=5)
        return caught.value.code()


@pytest.mark.asyncio
async def test_intruders_are_refused_and_the_running_episode_does_not_notice(
    small_model_bytes: bytes, pki: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ca = (pki / "ca.pem").read_bytes()
    issue_expired(pki, tmp_path)
    async with served(small_model_bytes, **agent_config(pki)) as test:
        async with channel(test.address, ca, *read(pki, "host")) as opened:
            stub: Any = policy_pb2_grpc.PolicyServiceStub(opened)
            stream = stub.ActStream()
            step = 0

            async def one_more_step() -> None:
                nonlocal step
                await stream.write(act(step))
                assert (await stream.read()).step == step
                step += 1

            await one_more_step()
            intruders = {
                "no certificate": channel(test.address, ca, None, None),
                "a foreign authority": channel(test.address, ca, *read(pki / "foreign", "host")),
                "an expired certificate": channel(test.address, ca, *read(tmp_path, "expired")),
                "no TLS": grpc.aio.insecure_channel(str(test.address)),
            }
            for intruder in intruders.values():
                assert await status_of(intruder) is grpc.StatusCode.UNAVAILABLE
                await one_more_step()
            another_agent = channel(test.address, ca, *read(pki, "agent-1"))
            assert await status_of(another_agent) is grpc.StatusCode.PERMISSION_DENIED
            assert "only the host may call, not spiffe://lan/agent/1" in caplog.text
            await one_more_step()
            stream.cancel()
        assert test.table.steps == step == 6


@pytest.mark.asyncio
async def test_renewed_certificates_are_shown_from_the_next_handshake_on(
    small_model_bytes: bytes, pki: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def install(source: Path) -> None:
        for name in ("agent-2.pem", "agent-2-key.pem", "ca.pem"):
            shutil.copyfile(source / name, tmp_path / f"{name}.new")
        for name in ("agent-2.pem", "agent-2-key.pem", "ca.pem"):
            (tmp_path / f"{name}.new").replace(tmp_path / name)

    async def answers(directory: Path) -> bool:
        ca = (directory / "ca.pem").read_bytes()
        async with channel(test.address, ca, *read(directory, "host")) as opened:
            stub: Any = policy_pb2_grpc.PolicyServiceStub(opened)
            try:
                await stub.Describe(policy_pb2.DescribeRequest(), timeout=5)
            except grpc.aio.AioRpcError as error:
                return error.code() is not grpc.StatusCode.UNAVAILABLE
            return True

    caplog.set_level("WARNING")
    install(pki)
    async with served(small_model_bytes, **agent_config(tmp_path)) as test:
        ca = (pki / "ca.pem").read_bytes()
        async with channel(test.address, ca, *read(pki, "host")) as opened:
            stub: Any = policy_pb2_grpc.PolicyServiceStub(opened)
            stream = stub.ActStream()
            await stream.write(act(0))
            assert (await stream.read()).step == 0
            (tmp_path / "agent-2.pem").write_bytes((pki / "agent-1.pem").read_bytes())
            assert await answers(pki)
            assert "the certificate stays as it is" in caplog.text
            install(pki / "foreign")
            assert await answers(pki / "foreign")
            assert not await answers(pki)
            await stream.write(act(1))
            assert (await stream.read()).step == 1
            stream.cancel()


@pytest.mark.asyncio
async def test_every_rpc_and_service_is_for_the_host_only(small_model_bytes: bytes, pki: Path) -> None:
    from grpc_health.v1 import health_pb2, health_pb2_grpc
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    def calls(opened: Any) -> dict[str, Callable[[], Awaitable[Any]]]:
        policy: Any = policy_pb2_grpc.PolicyServiceStub(opened)
        health: Any = health_pb2_grpc.HealthStub(opened)
        reflection: Any = reflection_pb2_grpc.ServerReflectionStub(opened)
        asked = reflection_pb2.ServerReflectionRequest(list_services="")

        async def stream(call: Any, request: Any) -> Any:
            with contextlib.suppress(grpc.aio.AioRpcError):  # refused before the message left
                await call.write(request)
            return await call.read()

        return {
            "Describe": lambda: policy.Describe(policy_pb2.DescribeRequest()),
            "Act": lambda: policy.Act(act(0)),
            "ActStream": lambda: stream(policy.ActStream(), act(0)),
            "EndEpisode": lambda: policy.EndEpisode(policy_pb2.EndEpisodeRequest(episode_id="e")),
            "Check": lambda: health.Check(health_pb2.HealthCheckRequest()),
            "Watch": lambda: health.Watch(health_pb2.HealthCheckRequest()).read(),
            "Reflection": lambda: stream(reflection.ServerReflectionInfo(), asked),
        }

    ca = (pki / "ca.pem").read_bytes()
    async with served(small_model_bytes, reflection=True, **agent_config(pki)) as test:
        async with channel(test.address, ca, *read(pki, "agent-2")) as opened:
            for name, call in calls(opened).items():
                with pytest.raises(grpc.aio.AioRpcError) as caught:
                    await call()
                assert caught.value.code() is grpc.StatusCode.PERMISSION_DENIED, name
        assert test.table.steps == 0
        async with channel(test.address, ca, *read(pki, "host")) as opened:
            for call in calls(opened).values():
                assert await call() is not None


@pytest.mark.asyncio
async def test_the_host_takes_an_agent_from_its_own_name_only(small_model_bytes: bytes, pki: Path) -> None:
    async def refusal(**config: Any) -> str:
        async with served(small_model_bytes, **config) as test:
            with pytest.raises(InputError) as caught:
                await connect_team([test.address], TagEnv.spec, 2.0, tls)
            return str(caught.value)

    tls = HostTls(files(pki, "host"))
    # the server in these tests is agent 2
    assert "its certificate is agent 1's, yet it serves 2" in await refusal(**agent_config(pki, 1))
    assert "CERTIFICATE_VERIFY_FAILED" in await refusal(**agent_config(pki / "foreign", 2))
    key, cert = read(pki, "host")
    ca = (pki / "ca.pem").read_bytes()
    as_host = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
    assert "shows the certificate of spiffe://lan/host" in await refusal(credentials=as_host)
    assert "does not answer" in await refusal()  # plaintext
    async with served(small_model_bytes, **agent_config(pki)) as test:
        with pytest.raises(InputError, match=r"nobody serves agent \[0, 1\]"):
            await connect_team([test.address], TagEnv.spec, 2.0, tls)


def test_refused_handshakes_are_logged(pki: Path, model_file: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    flags = ["--tls-cert", pki / "agent-{id}.pem", "--tls-key", pki / "agent-{id}-key.pem"]
    with started(
        "agent", "--model", model_file, "--agent-id", 2, "--listen", "127.0.0.1:0",
        *flags, "--tls-ca", pki / "ca.pem", until="serves", log=log,
    ) as agent:  # fmt: skip
        address = parse_addresses(agent.said.split()[-1])[0]
        ca = (pki / "ca.pem").read_bytes()

        async def intrude() -> None:
            for intruder in (
                channel(address, ca, None, None),
                channel(address, ca, *read(pki / "foreign", "host")),
                grpc.aio.insecure_channel(str(address)),
                channel(address, ca, *read(pki, "agent-0")),
            ):
                await status_of(intruder)

        asyncio.run(intrude())
    text = log.read_text()
    assert "PEER_DID_NOT_RETURN_A_CERTIFICATE" in text
    assert "unable to get local issuer certificate" in text
    assert "WRONG_VERSION_NUMBER" in text
    assert "only the host may call, not spiffe://lan/agent/0" in text


def test_a_team_plays_over_mutual_tls_as_without(pki: Path, model_file: Path) -> None:
    async def play() -> list[EpisodeResult]:
        tls = HostTls(files(pki, "host"))
        links = await connect_team(parse_addresses(addresses), TagEnv.spec, 10.0, tls)
        async with GameHost(TagEnv(seed=9), links, 2000.0) as host:
            return await host.play(5, lambda result: None)

    port = free_ports(3)
    addresses = ",".join(f"127.0.0.1:{port + index}" for index in range(3))
    flags = ["--tls-cert", pki / "agent-{id}.pem", "--tls-key", pki / "agent-{id}-key.pem"]
    with started(
        "agents", "--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}",
        *flags, "--tls-ca", pki / "ca.pem", until="3 agents serve",
    ):  # fmt: skip
        results = asyncio.run(play())
    assert same_actions(results, play_in_process(load_model(model_file), TagEnv(seed=9), 5))
    assert sum(result.fallbacks for result in results) == 0


def test_only_the_given_authority_is_trusted(pki: Path) -> None:
    for protocol in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER):
        (trusted,) = files(pki, "host").context(protocol).get_ca_certs()
        assert ("commonName", "LAN development authority") in [pair for (pair,) in trusted["subject"]]


def test_files_that_do_not_belong_together_are_refused(pki: Path, model_file: Path) -> None:
    good = files(pki, "agent-1")
    good.check_own_name(agent_uri(1))
    for bad, says in [
        (TlsFiles(good.cert, pki / "agent-2-key.pem", good.ca), "cannot be used"),
        (TlsFiles(good.cert, good.key, pki / "foreign" / "ca.pem"), "is not accepted under"),
        (TlsFiles(pki / "missing.pem", good.key, good.ca), "missing.pem cannot be read"),
        (TlsFiles(good.key, good.key, good.ca), "cannot be used"),
        (files(pki, "agent-2"), "is the certificate of spiffe://lan/agent/2, not of spiffe://lan/agent/1"),
    ]:
        with pytest.raises(InputError, match=says):
            bad.check_own_name(agent_uri(1))
    done = run("agent", "--model", model_file, "--agent-id", 0, "--tls-cert", pki / "agent-0.pem")
    assert (done.returncode, "belong together" in done.stderr) == (2, True)
    flags = ["--tls-cert", good.cert, "--tls-key", good.key, "--tls-ca", good.ca]
    done = run("agent", "--model", model_file, "--agent-id", 0, *flags)
    assert done.returncode == 2
    assert "not of spiffe://lan/agent/0" in done.stderr


def test_without_tls_nothing_leaves_the_machine_unasked(model_file: Path) -> None:
    done = run("agent", "--model", model_file, "--agent-id", 0, "--listen", "0.0.0.0:0")
    assert (done.returncode, "--insecure" in done.stderr) == (2, True)
    done = run("play", "--map", "3m", "--env", "sim", "--agents", "192.0.2.1:50051")
    assert (done.returncode, "--insecure" in done.stderr) == (2, True)
    with started(
        "agent", "--model", model_file, "--agent-id", 0, "--listen", "0.0.0.0:0", "--insecure", until="serves"
    ):
        pass


def test_lan_certs_makes_what_openssl_accepts_and_overwrites_nothing(tmp_path: Path) -> None:
    done = run("certs", "--out", tmp_path / "pki", "--agents", 2)
    assert done.returncode == 0
    names = {path.stem for path in (tmp_path / "pki").iterdir()}
    owners = {"ca", "host", "agent-0", "agent-1"}
    assert names == owners | {f"{owner}-key" for owner in owners}
    for path in (tmp_path / "pki").glob("*-key.pem"):
        assert path.stat().st_mode & 0o777 == 0o600
    context = ssl.create_default_context(cafile=tmp_path / "pki" / "ca.pem")
    context.load_cert_chain(tmp_path / "pki" / "host.pem", tmp_path / "pki" / "host-key.pem")
    files(tmp_path / "pki", "agent-1").check_own_name(agent_uri(1))
    again = run("certs", "--out", tmp_path / "pki", "--agents", 2)
    assert (again.returncode, "holds certificates already" in again.stderr) == (2, True)
    with pytest.raises(InputError, match="exists already"):
        Authority(datetime.timedelta(days=1)).write(tmp_path / "pki")
    assert run("certs", "--out", tmp_path / "other", "--agents", 0).returncode == 2


def test_a_name_that_only_begins_as_the_hosts_is_not_the_hosts(pki: Path) -> None:
    """gRPC shows a certificate's name up to its first zero byte."""
    assert names_the_host((pki / "host.pem").read_bytes())
    for uri in (HOST_URI + "\0/../agent/1", HOST_URI + "/x", agent_uri(1)):
        assert not names_the_host(Authority(DAY).make(uri, "host.lan").cert), uri
    assert not names_the_host(b"no certificate")
