"""`lan-certs`: a development authority, and certificates for a host and its agents."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.command import run_command
from envs.errors import InputError
from envs.files import replacing
from runtime.identity.tls import HOST_URI, agent_dns_name, agent_uri

DESCRIPTION = (
    "Make a certificate authority, and certificates for a game host and its agents, for your own machines. "
    "In production use your own authority and the same names."
)


@dataclass(frozen=True, kw_only=True)
class CertsConfig:
    """The flags of lan-certs."""

    out: Path
    """Directory for the files; it must not hold certificates yet."""
    agents: int
    """Number of agents; they get the ids 0 to n-1."""
    days: int = 90
    """How long the certificates are valid."""


def certs(config: CertsConfig) -> int:
    """Write the authority, the host's and every agent's certificate and key."""
    if not 1 <= config.agents <= 1024:
        raise InputError(f"--agents {config.agents}: 1 to 1024 are possible")
    if not 1 <= config.days <= 3650:
        raise InputError(f"--days {config.days}: 1 to 3650 are possible")
    try:
        import cryptography  # noqa: F401
    except ImportError:
        raise InputError("lan-certs needs the package cryptography: pip install 'lan-smac[certs]'") from None
    try:
        config.out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {config.out}: {error.strerror}") from None
    if any(config.out.glob("*.pem")):
        raise InputError(f"--out {config.out} holds certificates already; choose another directory")
    lifetime = datetime.timedelta(days=config.days)
    authority = Authority(lifetime)
    authority.write(config.out)
    authority.issue(config.out, "host", HOST_URI, "host.lan")
    for agent_id in range(config.agents):
        authority.issue(config.out, f"agent-{agent_id}", agent_uri(agent_id), agent_dns_name(agent_id))
    print(f"{config.out}: ca.pem, host.pem and agent-0.pem to agent-{config.agents - 1}.pem, with their keys")
    return 0


class Authority:
    """A self-signed authority with a P-256 key."""

    def __init__(self, lifetime: datetime.timedelta, start: datetime.datetime | None = None) -> None:
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        # A little in the past, so that clocks that differ do not matter.
        self.start = start or datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
        self.end = self.start + lifetime
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "LAN development authority")])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._sign(self.name, self.key.public_key(), [(basic, True)])

    def write(self, out: Path) -> None:
        """Write ca.pem and ca-key.pem."""
        write_certificate(out / "ca.pem", self.certificate)
        write_key(out / "ca-key.pem", self.key)

    def issue(self, out: Path, file_name: str, uri: str, dns_name: str) -> None:
        """Write a certificate with the names `uri` and `dns_name`, and its key."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName(dns_name)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        basic = x509.BasicConstraints(ca=False, path_length=None)
        extensions = [(basic, True), (names, False), (usage, False)]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_name)])
        write_certificate(out / f"{file_name}.pem", self._sign(subject, key.public_key(), extensions))
        write_key(out / f"{file_name}-key.pem", key)

    def _sign(self, subject: Any, public_key: Any, extensions: Sequence[tuple[Any, bool]]) -> Any:
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        identifier = x509.SubjectKeyIdentifier.from_public_key(public_key)
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.start)
            .not_valid_after(self.end)
        )
        for extension, critical in [*extensions, (identifier, False), (issuer, False)]:
            builder = builder.add_extension(extension, critical)
        return builder.sign(self.key, hashes.SHA256())


def write_certificate(path: Path, certificate: Any) -> None:
    """Write a certificate; errors as `write_new`."""
    from cryptography.hazmat.primitives.serialization import Encoding

    write_new(path, certificate.public_bytes(Encoding.PEM))


def write_key(path: Path, key: Any) -> None:
    """Write a private key that its owner alone may read; errors as `write_new`."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    write_new(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()), 0o600)


def write_new(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file whole or not at all; InputError when it exists already or cannot be written."""
    if path.exists():
        raise InputError(f"{path} exists already and is not overwritten")
    try:
        with replacing(path, mode) as file:
            file.write(data)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done, 2 bad input."""
    return run_command(CertsConfig, certs, prog="lan-certs", description=DESCRIPTION, argv=argv, listing=True)


if __name__ == "__main__":
    sys.exit(main())
