"""Who is who: certificates that carry a name, and what agents and hosts accept.

A certificate of the authority names its owner by a URI: `spiffe://lan/agent/<i>` or `spiffe://lan/host`. An
agent serves the host and nobody else; the host accepts agent i only from a certificate issued to agent i.
Beside the URI stands a DNS name, `agent-<i>.lan` or `host.lan`, which gRPC compares on every connection.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import math
import os
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from envs.errors import InputError
from envs.files import expanded, read_regular
from envs.text import one_line
from runtime.identity.addresses import Address

HOST_URI = "spiffe://lan/host"
AGENT_URI = re.compile(r"spiffe://lan/agent/(0|[1-9][0-9]{0,9})")
HANDSHAKE_TURNS = 10
MAX_PEM_BYTES = 1 << 20
GRPC_KEY_KINDS = tuple(
    bytes.fromhex(identifier)
    for identifier in (
        "300d06092a864886f70d0101010500",  # rsaEncryption
        "301306072a8648ce3d020106082a8648ce3d030107",  # P-256
        "301006072a8648ce3d020106052b81040022",  # P-384
    )
)
"""The AlgorithmIdentifiers (DER) of the keys that gRPC's TLS shakes hands with; OpenSSL's knows more."""
RETRY_S = 1.0
"""The same unusable contents are checked at most this often, whoever opens connections."""
SAME_ERROR_S = 60.0
X509_V_FLAG_NO_CHECK_TIME = 0x200000
X509_V_ERR_CERT_NOT_YET_VALID = 9
"""Both from OpenSSL's x509_vfy.h; the ssl module passes them on without names."""

LOG_VARIABLE = "GRPC_VERBOSITY"

log = logging.getLogger("lan.tls")


def load_grpc(*, with_tls: bool) -> None:
    """Load gRPC for a host, so that without TLS it writes no log of its own: what fails is raised anyway.

    With TLS its log says whose handshake failed and why. gRPC reads the variable while it is loaded.
    """
    if with_tls or LOG_VARIABLE in os.environ:
        return
    os.environ[LOG_VARIABLE] = "NONE"
    try:
        importlib.import_module("grpc")
    finally:
        del os.environ[LOG_VARIABLE]  # it is not for other processes


def agent_uri(agent_id: int) -> str:
    """The name of an agent."""
    return f"spiffe://lan/agent/{agent_id}"


def agent_dns_name(agent_id: int) -> str:
    """The name by which gRPC knows an agent's certificate."""
    return f"agent-{agent_id}.lan"


def tls_files(
    cert: str | None, key: str | None, ca: str | None, agent_id: int | None = None
) -> TlsFiles | None:
    """The files of the three TLS flags, with `{id}` replaced; None when none of them is given.

    Their paths are absolute: they are read again later, and an environment may change the current folder.
    """
    given = [text for text in (cert, key, ca) if text is not None]
    if not given:
        return None
    if len(given) < 3:
        raise InputError("--tls-cert, --tls-key and --tls-ca belong together: give all three or none")
    if "" in given:
        raise InputError("--tls-cert, --tls-key and --tls-ca name files; one of them is empty")
    names = [text if agent_id is None else text.replace("{id}", str(agent_id)) for text in given]
    return TlsFiles(*(expanded(name).absolute() for name in names))


class NotYetValidError(InputError):
    """Everything about a certificate is right except the time: its validity begins later."""


class Pem(NamedTuple):
    """The contents of the three files: certificate chain, its key, and the authority's certificate."""

    cert: bytes
    key: bytes
    ca: bytes


@dataclass(frozen=True)
class TlsFiles:
    """Certificate chain, its key, and the authority's certificate, all PEM."""

    cert: Path
    key: Path
    ca: Path

    def read(self) -> Pem:
        """The contents of the three files; InputError naming the one that cannot be read."""
        return Pem(*(read_pem(path) for path in (self.cert, self.key, self.ca)))

    def context(self, protocol: ssl._SSLMethod) -> ssl.SSLContext:
        """A context that shows the certificate and accepts only certificates of this authority."""
        context = ssl.SSLContext(protocol)
        context.check_hostname = False  # names are URIs, which are compared by us
        context.verify_mode = ssl.CERT_REQUIRED
        context.set_alpn_protocols(["h2"])
        try:
            context.load_verify_locations(self.ca)
            context.load_cert_chain(self.cert, self.key, password="")
        except OSError as error:  # ssl.SSLError is one
            files = f"{self.cert}, {self.key} or {self.ca}"
            raise InputError(f"{files} cannot be used: {error.strerror or error}") from None
        return context

    def check_own_name(self, uri: str) -> None:
        """InputError unless these files are a valid certificate, with its key, of the name `uri`.

        NotYetValidError when that is so and only the time has not come.
        """
        self.read()
        try:
            self._check_handshake(uri)
        except NotYetValidError:
            self._check_handshake(uri, X509_V_FLAG_NO_CHECK_TIME)
            raise

    def _check_handshake(self, uri: str, verify_flags: int = 0) -> None:
        try:
            shown = self._shake_hands_with_itself(verify_flags)
            found = uris(shown.getpeercert())
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or error
            early = getattr(error, "verify_code", 0) == X509_V_ERR_CERT_NOT_YET_VALID
            kind = NotYetValidError if early else InputError
            raise kind(f"{self.cert} is not accepted under {self.ca}: {why}") from None
        except ValueError as error:  # a name that is no text
            raise InputError(f"{self.cert} holds a name that cannot be read: {error}") from None
        if found != [uri]:
            whose = ", ".join(found) or "nobody"
            raise InputError(f"{self.cert} is the certificate of {whose}, not of {uri}")
        if not any(kind in shown.getpeercert(binary_form=True) for kind in GRPC_KEY_KINDS):
            raise InputError(f"{self.cert} has a kind of key that gRPC refuses: make it RSA, P-256 or P-384")

    def _shake_hands_with_itself(self, verify_flags: int) -> Any:
        """A TLS handshake in memory: its client's side, which has the certificate as others see it."""
        contexts = [self.context(kind) for kind in (ssl.PROTOCOL_TLS_CLIENT, ssl.PROTOCOL_TLS_SERVER)]
        for context in contexts:
            context.verify_flags |= verify_flags
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = contexts[0].wrap_bio(to_client, to_server)
        server = contexts[1].wrap_bio(to_server, to_client, server_side=True)
        for _ in range(HANDSHAKE_TURNS):
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        return client


def read_pem(path: Path) -> bytes:
    """The bytes of a regular file of at most 1 MB; InputError otherwise."""
    try:
        return read_regular(path, MAX_PEM_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from None


def uris(certificate: Any) -> list[str]:
    """The URI names of a certificate that the ssl module has decoded."""
    return [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]


class RenewedFiles:
    """Certificate, key and authority as the files hold them now, or as they last could be used.

    `pem` and `context` belong to the same contents. Raises InputError when the first ones cannot be used; a
    certificate that is not valid yet is taken at the start, because there is none to go on with.
    """

    def __init__(self, files: TlsFiles, uri: str) -> None:
        self._files, self._uri = files, uri
        self._refused: Pem | None = None
        self._try_again_s = 0.0
        self._said, self._said_s = "", -math.inf
        self.pem = files.read()
        try:
            self.context = self._check(self.pem)
        except NotYetValidError as error:
            log.warning("%s; others will refuse it until then", error)
            self.context = files.context(ssl.PROTOCOL_TLS_CLIENT)

    def look(self) -> bool:
        """Read the files; whether they hold something new that can be used, which then counts.

        Contents that were refused are tried again: their time may come, or what was wrong may pass.
        """
        now_s = time.monotonic()
        try:
            pem = self._files.read()
            if pem == self.pem or (pem == self._refused and now_s < self._try_again_s):
                return False
            self._refused, self._try_again_s = pem, now_s + RETRY_S
            context = self._check(pem)
        except (InputError, OSError) as error:
            self._complain(str(error), now_s)
            return False
        self.pem, self.context, self._refused, self._said = pem, context, None, ""
        log.warning("certificate read again from %s", self._files.cert)
        return True

    def _check(self, pem: Pem) -> ssl.SSLContext:
        """A context with these contents; InputError when they cannot be used, or are just being replaced."""
        self._files.check_own_name(self._uri)
        context = self._files.context(ssl.PROTOCOL_TLS_CLIENT)
        if self._files.read() != pem:  # the checks opened the files by their names
            raise InputError(f"{self._files.cert} or its key is being replaced")
        return context

    def _complain(self, text: str, now_s: float) -> None:
        """Log an error, but not at every handshake: somebody may open connections all the time."""
        if now_s - self._said_s < (SAME_ERROR_S if text == self._said else RETRY_S):
            return
        self._said, self._said_s = text, now_s
        log.error("the certificate stays as it is for now: %s", text)


def server_credentials(files: TlsFiles, agent_id: int) -> Any:
    """gRPC credentials of an agent, which demand a certificate from every caller; InputError as the checks.

    Files that are replaced while the agent runs are used from the next handshake on.
    """
    import grpc

    renewed = RenewedFiles(files, agent_uri(agent_id))

    def configuration() -> Any:
        cert, key, ca = renewed.pem
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca)

    def at_every_handshake() -> Any:  # in gRPC's thread, one at a time
        return configuration() if renewed.look() else None

    return grpc.dynamic_ssl_server_credentials(
        configuration(), at_every_handshake, require_client_authentication=True
    )


class HostTls:
    """The host's side: it shows the host's certificate, and learns from the agents' which agent is where.

    Files that are replaced while the host runs are used from the next connection on.
    """

    def __init__(self, files: TlsFiles) -> None:
        self._renewed = RenewedFiles(files, HOST_URI)

    async def identify(self, address: Address) -> int:
        """The id of the agent whose certificate is shown at an address; ssl.SSLError when none is."""
        self._renewed.look()
        host, port, context = address.host, address.port, self._renewed.context
        try:
            _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname="")
        except UnicodeDecodeError as error:  # the certificate's names; others are errors of the address
            text = f"it shows a certificate with a name that cannot be read: {error}"
            raise ssl.SSLError(1, text) from None
        names = uris(writer.get_extra_info("peercert"))
        writer.transport.abort()
        match = AGENT_URI.fullmatch(names[0]) if len(names) == 1 else None
        if match is None:
            whose = one_line(", ".join(names) or "nobody", 200)
            raise ssl.SSLError(1, f"it shows the certificate of {whose}, not of an agent")
        return int(match[1])

    def channel(self, address: Address, agent_id: int, options: tuple[tuple[str, Any], ...]) -> Any:
        """A channel on which only the certificate of this agent is accepted."""
        import grpc

        self._renewed.look()
        cert, key, ca = self._renewed.pem
        credentials = grpc.ssl_channel_credentials(ca, key, cert)
        name = ("grpc.ssl_target_name_override", agent_dns_name(agent_id))
        return grpc.aio.secure_channel(address.target, credentials, options=(*options, name))
