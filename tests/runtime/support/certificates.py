"""Certificates as lan-certs makes them, and those of intruders."""

from __future__ import annotations

import datetime
from pathlib import Path

from runtime.identity.certs import Authority, CertsConfig, certs
from runtime.identity.tls import HOST_URI, TlsFiles, agent_dns_name, agent_uri

DAY = datetime.timedelta(days=1)


def make_pki(out: Path) -> Path:
    """Certificates as lan-certs makes them, and those of intruders: foreign, expired, nameless."""
    certs(CertsConfig(out=out, agents=3))
    foreign = Authority(DAY)
    (out / "foreign").mkdir()
    foreign.write(out / "foreign")
    foreign.issue(out / "foreign", "host", HOST_URI, "host.lan")
    for agent_id in range(3):
        name = agent_dns_name(agent_id)
        foreign.issue(out / "foreign", f"agent-{agent_id}", agent_uri(agent_id), name)
    return out


def issue_expired(pki: Path, out: Path) -> None:
    """A host's certificate of the right authority that was valid until yesterday."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    authority = Authority(DAY)
    authority.key = load_pem_private_key((pki / "ca-key.pem").read_bytes(), None)
    authority.name = x509.load_pem_x509_certificate((pki / "ca.pem").read_bytes()).subject
    authority.start, authority.end = authority.start - 3 * DAY, authority.start - DAY
    authority.issue(out, "expired", HOST_URI, "host.lan")


def files(directory: Path, name: str, ca: Path | None = None) -> TlsFiles:
    ca = ca or directory / "ca.pem"
    return TlsFiles(directory / f"{name}.pem", directory / f"{name}-key.pem", ca)


def read(directory: Path, name: str) -> tuple[bytes, bytes]:
    return (directory / f"{name}-key.pem").read_bytes(), (directory / f"{name}.pem").read_bytes()
