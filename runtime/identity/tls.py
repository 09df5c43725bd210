"""Who is who: certificates that carry a name, and what agents and hosts accept.

A certificate of the authority names its owner by a URI: `spiffe://lan/agent/<i>` or `spiffe://lan/host`. An
agent serves the host and nobody else; the host accepts agent i only from a certificate issued to agent i.
Beside the URI stands a DNS name, `agent-<i>.lan` or `host.lan`, which gRPC compares on every connection.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import InputError
from runtime.identity.addresses import Address

HOST_URI = "spiffe://lan/host"
AGENT_URI = re.compile(r"spiffe://lan/agent/(0|[1-9][0-9]{0,9})")
HANDSHAKE_TURNS = 10

log = logging.getLogger("lan.agent")


def agent_uri(agent_id: int) -> str:
    """The name of an agent."""
    return f"spiffe://lan/agent/{agent_id}"


def agent_dns_name(agent_id: int) -> str:
    """The name by which gRPC knows an agent's certificate."""
    return f"agent-{agent_id}.lan"


def tls_files(
    cert: str | None, key: str | None, ca: str | None, agent_id: int | None = None
) -> TlsFiles | None:
    """The files of the three TLS flags, with `{id}` replaced; None when none of them is given."""
    given = [text for text in (cert, key, ca) if text is not None]
    if not given:
        return None
    if len(given) < 3:
        raise InputError("--tls-cert, --tls-key and --tls-ca belong together: give all three or none")
    names = [text if agent_id is None else text.replace("{id}", str(agent_id)) for text in given]
    return TlsFiles(*map(Path, names))


@dataclass(frozen=True)
class TlsFiles:
    """Certificate chain, its key, and the authority's certificate, all PEM."""

    cert: Path
    key: Path
    ca: Path

    def read(self) -> tuple[bytes, bytes, bytes]:
        """The contents of the three files; InputError naming the one that cannot be read."""
        contents = []
        for path in (self.cert, self.key, self.ca):
            try:
                contents.append(path.read_bytes())
            except OSError as error:
                raise InputError(f"{path} cannot be read: {error.strerror}") from None
        return contents[0], contents[1], contents[2]

    def versions(self) -> list[tuple[int, int, int]]:
        """Inode, size and time in ns of each file: they differ for a new file; InputError as `read`."""
        found = []
        for path in (self.cert, self.key, self.ca):
            try:
                status = path.stat()
            except OSError as error:
                raise InputError(f"{path} cannot be read: {error.strerror}") from None
            found.append((status.st_ino, status.st_size, status.st_mtime_ns))
        return found

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
        """InputError unless these files are a valid certificate, with its key, of the name `uri`."""
        self.read()
        try:
            found = uris(self._shake_hands_with_itself())
        except ssl.SSLError as error:
            why = getattr(error, "verify_message", "") or error.reason or error
            raise InputError(f"{self.cert} is not accepted under {self.ca}: {why}") from None
        if found != [uri]:
            whose = ", ".join(found) or "nobody"
            raise InputError(f"{self.cert} is the certificate of {whose}, not of {uri}")

    def _shake_hands_with_itself(self) -> Any:
        """A TLS handshake in memory: the certificate as the other side would decode it."""
        to_client, to_server = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = self.context(ssl.PROTOCOL_TLS_CLIENT).wrap_bio(to_client, to_server)
        server = self.context(ssl.PROTOCOL_TLS_SERVER).wrap_bio(to_server, to_client, server_side=True)
        for _ in range(HANDSHAKE_TURNS):
            for side in (client, server):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
        return client.getpeercert()


def uris(certificate: Any) -> list[str]:
    """The URI names of a certificate that the ssl module has decoded."""
    return [value for kind, value in (certificate or {}).get("subjectAltName", ()) if kind == "URI"]


class RenewedFiles:
    """The certificate for an agent's next handshake: its files as they are now, or as they last were usable.

    gRPC calls it at every handshake, from another thread.
    """

    def __init__(self, files: TlsFiles, agent_id: int) -> None:
        self._files = files
        self._uri = agent_uri(agent_id)
        self._seen = files.versions()
        self.first = self._read()

    def __call__(self) -> Any:
        """A new configuration when the files have changed and can be used, else None: nothing changes."""
        try:
            versions = self._files.versions()
            if versions == self._seen:
                return None
            self._seen = versions
            configuration = self._read()
        except InputError as error:
            log.error("the certificate stays as it is: %s", error)
            return None
        log.warning("certificate read again from %s", self._files.cert)
        return configuration

    def _read(self) -> Any:
        import grpc

        self._files.check_own_name(self._uri)
        cert, key, ca = self._files.read()
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca)


def server_credentials(files: TlsFiles, agent_id: int) -> Any:
    """gRPC credentials of an agent, which demand a certificate from every caller; InputError as the checks.

    Files that are replaced while the agent runs are used from the next handshake on.
    """
    import grpc

    files_now = RenewedFiles(files, agent_id)
    return grpc.dynamic_ssl_server_credentials(files_now.first, files_now, require_client_authentication=True)


class HostTls:
    """The host's side: it shows the host's certificate, and learns from the agents' which agent is where."""

    def __init__(self, files: TlsFiles) -> None:
        files.check_own_name(HOST_URI)
        self._context = files.context(ssl.PROTOCOL_TLS_CLIENT)
        self._cert, self._key, self._ca = files.read()

    async def identify(self, address: Address) -> int:
        """The id of the agent whose certificate is shown at an address; ssl.SSLError when none is."""
        _, writer = await asyncio.open_connection(
            address.host, address.port, ssl=self._context, server_hostname=""
        )
        names = uris(writer.get_extra_info("peercert"))
        writer.transport.abort()
        match = AGENT_URI.fullmatch(names[0]) if len(names) == 1 else None
        if match is None:
            raise ssl.SSLError(f"it shows the certificate of {', '.join(names) or 'nobody'}, not of an agent")
        return int(match[1])

    def channel(self, address: Address, agent_id: int, options: tuple[tuple[str, Any], ...]) -> Any:
        """A channel on which only the certificate of this agent is accepted."""
        import grpc

        credentials = grpc.ssl_channel_credentials(self._ca, self._key, self._cert)
        name = ("grpc.ssl_target_name_override", agent_dns_name(agent_id))
        return grpc.aio.secure_channel(address.target, credentials, options=(*options, name))
