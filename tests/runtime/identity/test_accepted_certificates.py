"""Which certificates are accepted: those that both OpenSSL and gRPC's own TLS can use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from envs.errors import InputError
from runtime.host.agent_link import AgentLink
from runtime.host.team import identify
from runtime.identity.certs import Authority
from runtime.identity.tls import HOST_URI, HostTls, TlsFiles, agent_uri, server_credentials
from tests.runtime.agent.test_agent_server import served
from tests.runtime.support.certificates import DAY, files


def make_agent_with_key(folder: Path, key: Any, monkeypatch: pytest.MonkeyPatch) -> TlsFiles:
    authority = Authority(DAY)
    authority.write(folder)
    with monkeypatch.context() as patched:
        patched.setattr(ec, "generate_private_key", lambda curve: key)
        authority.issue(folder, "agent-2", agent_uri(2), "agent-2.lan")
    return files(folder, "agent-2")


@pytest.mark.parametrize(
    ("make_key", "fits"),
    [
        (lambda: ec.generate_private_key(ec.SECP384R1()), True),
        (lambda: rsa.generate_private_key(65537, 2048), True),
        (lambda: ec.generate_private_key(ec.SECP521R1()), False),
        (ed25519.Ed25519PrivateKey.generate, False),
    ],
    ids=["P-384", "RSA", "P-521", "Ed25519"],
)
@pytest.mark.asyncio
async def test_keys_that_grpc_would_shake_hands_with_and_no_others_are_accepted(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    small_model_bytes: bytes,
    make_key: Callable[[], Any],
    fits: bool,
) -> None:
    given = make_agent_with_key(tmp_path, make_key(), monkeypatch)
    if not fits:
        with pytest.raises(InputError, match="a kind of key that gRPC refuses: make it RSA, P-256 or P-384"):
            given.check_own_name(agent_uri(2))
        return
    async with served(small_model_bytes, credentials=server_credentials(given, 2)) as test:
        authority_of(tmp_path).issue(tmp_path, "host", HOST_URI, "host.lan")
        async with AgentLink(test.address, HostTls(files(tmp_path, "host"))) as link:
            assert (await identify(link, 5.0)).agent_id == 2


def authority_of(folder: Path) -> Authority:
    """The authority that was written to a folder, to sign more with."""
    return Authority(DAY, key=load_pem_private_key((folder / "ca-key.pem").read_bytes(), None))


@pytest.mark.asyncio
async def test_a_name_that_is_no_text_is_refused_on_either_side(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small_model_bytes: bytes
) -> None:
    def odd_names(_: Any) -> Any:  # one URI of the bytes ff ff
        return x509.UnrecognizedExtension(x509.OID_SUBJECT_ALTERNATIVE_NAME, b"\x30\x04\x86\x02\xff\xff")

    authority = Authority(DAY)
    authority.write(tmp_path)
    authority.issue(tmp_path, "host", HOST_URI, "host.lan")
    monkeypatch.setattr(x509, "SubjectAlternativeName", odd_names)
    authority.issue(tmp_path, "agent-2", agent_uri(2), "agent-2.lan")
    odd = files(tmp_path, "agent-2")
    with pytest.raises(InputError, match="holds a name that cannot be read"):
        odd.check_own_name(agent_uri(2))
    cert, key, ca = odd.read()
    credentials = grpc.ssl_server_credentials([(key, cert)], ca, require_client_auth=True)
    async with (
        served(small_model_bytes, credentials=credentials) as test,
        AgentLink(test.address, HostTls(files(tmp_path, "host"))) as link,
    ):
        with pytest.raises(InputError, match="a certificate with a name that cannot be read"):
            await identify(link, 5.0)
