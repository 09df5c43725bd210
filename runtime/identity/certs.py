"""`lan-certs`: a development authority, and certificates for a host and its agents."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from envs.command import run_command
from envs.errors import InputError
from envs.files import not_a_folder, replacing
from envs.text import one_line
from runtime.identity.tls import HOST_URI, MAX_PEM_BYTES, Pem, TlsFiles, agent_dns_name, agent_uri, read_pem

DESCRIPTION = (
    "Make a certificate authority, and certificates for a game host and its agents, for your own machines. "
    "In production use your own authority and the same names."
)
KEY_NAME = "ca-key.pem"
AUTHORITY_NAME = "LAN development authority"
INSTEAD = "choose another directory, or replace them with --renew"


@dataclass(frozen=True, kw_only=True)
class CertsConfig:
    """The flags of lan-certs."""

    out: Path
    """Directory for the files; without --renew it must not hold certificates yet."""
    agents: int
    """Number of agents; they get the ids 0 to n-1."""
    days: int = 90
    """How long the certificates are valid."""
    folders: bool = False
    """Write agent-0/tls.crt, tls.key and ca.crt, a folder per owner, to be mounted; not agent-0.pem."""
    renew: bool = False
    """Replace the certificates by new ones of the same authority, whose key is in the directory."""


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
    owners = {"host": (HOST_URI, "host.lan")}
    owners |= {f"agent-{i}": (agent_uri(i), agent_dns_name(i)) for i in range(config.agents)}
    places = {owner: owner_files(config.out, owner, config.folders) for owner in owners}
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(undone_on_failure(config.renew))
        if not config.renew:
            make_folder(config.out, written)
        key_file = stack.enter_context(sole_writer(config.out, config.renew))
        lifetime = datetime.timedelta(days=config.days)
        if config.renew:
            authority = Authority(lifetime, key=read_authority_key(config, key_file, places["host"].cert))
        else:
            written.append(config.out / KEY_NAME)
            check_nothing_there(config.out, places.values())
            authority = Authority(lifetime)
            write_key(config.out, key_file, authority.key)
        write_files({config.out / "ca.pem": certificate_pem(authority.certificate)}, config.renew, written)
        for owner, place in places.items():
            make_folder(place.cert.parent, written)
            pem = authority.make(*owners[owner])
            contents = {place.key: pem.key, place.cert: pem.cert}
            contents |= {place.ca: pem.ca} if config.folders else {}
            write_files(contents, config.renew, written)
    first, last = (places[f"agent-{i}"].cert.relative_to(config.out) for i in (0, config.agents - 1))
    host = places["host"].cert.relative_to(config.out)
    print(f"{one_line(config.out)}: ca.pem, {host} and {first} to {last}, with their keys")
    return 0


def owner_files(out: Path, owner: str, folders: bool) -> TlsFiles:
    """Where the files of one owner are, in either layout."""
    if folders:
        return TlsFiles(out / owner / "tls.crt", out / owner / "tls.key", out / owner / "ca.crt")
    return TlsFiles(out / f"{owner}.pem", out / f"{owner}-key.pem", out / "ca.pem")


def check_nothing_there(out: Path, places: Iterable[TlsFiles]) -> None:
    """InputError when the directory holds certificates or keys, its authority's new key aside."""
    try:
        found = [path for path in out.iterdir() if path.suffix == ".pem" and path.name != KEY_NAME]
    except OSError as error:
        raise InputError(f"--out {out}: {error.strerror}") from None
    found += [path for place in places for path in (place.cert, place.key) if os.path.lexists(path)]
    if found:
        raise InputError(
            f"--out {out} holds certificates already, such as {min(found)}, without their authority's key, "
            "which --renew would need; choose another directory"
        )


@contextlib.contextmanager
def sole_writer(out: Path, renew: bool) -> Iterator[BinaryIO]:
    """The authority's key file, locked, and new unless `renew`; InputError when that cannot be.

    Whoever makes this file makes all others, so that two commands never mix theirs.
    """
    path = out / KEY_NAME
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | (0 if renew else os.O_CREAT | os.O_EXCL)
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(os.fdopen(os.open(path, flags, 0o600), "r+b"))
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileExistsError:
            raise InputError(
                f"--out {out} holds certificates already, of the authority {path}; {INSTEAD}"
            ) from None
        except FileNotFoundError:
            raise InputError(f"there is no {path} to renew certificates with; leave out --renew") from None
        except BlockingIOError:
            raise InputError(f"another lan-certs is writing to {out}; wait until it has ended") from None
        except OSError as error:
            raise InputError(f"cannot write {path}: {error.strerror}") from None
        try:
            yield file
        finally:
            with contextlib.suppress(OSError):  # `write_key` has told what a full disk did not take
                file.close()


@contextlib.contextmanager
def undone_on_failure(renew: bool) -> Iterator[list[Path]]:
    """A list of new files and folders, removed when the block fails; files that replaced others stay."""
    written: list[Path] = []
    try:
        yield written
    except BaseException:
        for path in () if renew else reversed(written):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


class Authority:
    """A self-signed authority with a P-256 key."""

    def __init__(
        self, lifetime: datetime.timedelta, start: datetime.datetime | None = None, key: Any = None
    ) -> None:
        """`key`: of an authority that exists; what it has signed stays good."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import NameOID

        # A little in the past, so that clocks that differ do not matter.
        self.start = start or datetime.datetime.now(datetime.UTC) - datetime.timedelta(minutes=5)
        self.end = self.start + lifetime
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, AUTHORITY_NAME)])
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self.certificate = self._sign(self.name, self.key.public_key(), [(basic, True)])

    def write(self, out: Path) -> None:
        """Write ca.pem and ca-key.pem; errors as `write_files`."""
        write_files({out / "ca.pem": certificate_pem(self.certificate), out / KEY_NAME: key_pem(self.key)})

    def issue(self, out: Path, file_name: str, uri: str, dns_name: str) -> None:
        """Write a certificate with the names `uri` and `dns_name`, and its key; errors as `write_files`."""
        pem = self.make(uri, dns_name)
        write_files({out / f"{file_name}.pem": pem.cert, out / f"{file_name}-key.pem": pem.key})

    def make(self, uri: str, dns_name: str) -> Pem:
        """A certificate with the names `uri` and `dns_name`, its key, and this authority."""
        from cryptography import x509
        from cryptography.hazmat.primitives.asymmetric import ec
        from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri), x509.DNSName(dns_name)])
        usage = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
        basic = x509.BasicConstraints(ca=False, path_length=None)
        extensions = [(basic, True), (names, False), (usage, False)]
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, dns_name)])
        certificate = self._sign(subject, key.public_key(), extensions)
        return Pem(certificate_pem(certificate), key_pem(key), certificate_pem(self.certificate))

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


def certificate_pem(certificate: Any) -> bytes:
    """A certificate as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding

    return bytes(certificate.public_bytes(Encoding.PEM))


def key_pem(key: Any) -> bytes:
    """A private key as PEM."""
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

    return bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def write_key(out: Path, file: BinaryIO, key: Any) -> None:
    """Write the authority's key to its locked file; InputError when the disk says no."""
    try:
        file.write(key_pem(key))
        file.flush()
        os.fsync(file.fileno())
    except OSError as error:
        raise InputError(f"cannot write {out / KEY_NAME}: {error.strerror}") from None


def read_authority_key(config: CertsConfig, file: BinaryIO, host_cert: Path) -> Any:
    """The key of an authority that this command has made; InputError when that is not what is there."""
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if not host_cert.exists():
        other = "without" if config.folders else "with"
        raise InputError(f"--renew: there is no {host_cert}; were the certificates made {other} --folders?")
    try:
        key: Any = load_pem_private_key(file.read(MAX_PEM_BYTES), None)
        known = x509.load_pem_x509_certificate(read_pem(config.out / "ca.pem"))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(f"the authority in {config.out} cannot be read: {error}") from None
    if known.public_key() != key.public_key() or known.subject.rfc4514_string() != f"CN={AUTHORITY_NAME}":
        raise InputError(f"{config.out / 'ca.pem'} is no authority that lan-certs has made with {KEY_NAME}")
    return key


def make_folder(path: Path, made: list[Path]) -> None:
    """Make a folder unless it is there, and add what was made to a list; InputError when that cannot be."""
    if (blocked := not_a_folder(path)) is not None:
        raise InputError(f"--out {path}: {blocked} is no folder; remove it, or choose another --out")
    try:
        made += [each for each in (*reversed(path.parents), path) if not each.exists()]
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {path}: {error.strerror}") from None


def write_files(
    contents: dict[Path, bytes], replace: bool = False, written: list[Path] | None = None
) -> None:
    """Write PEM files that belong together; keys so that their owner alone may read them.

    InputError when one cannot be written, or exists already and `replace` is not set. A file that replaces
    another gets its owner and permissions, so that who could read the old one can read the new one.
    """
    path = next(iter(contents))
    try:
        with contextlib.ExitStack() as all_written:
            for path, data in contents.items():
                if not replace and os.path.lexists(path):
                    raise InputError(f"{path} exists already and is not overwritten")
                file = all_written.enter_context(replacing(path, 0o600))
                file.write(data)
                if path.exists():
                    old = path.stat()
                    os.fchown(file.fileno(), old.st_uid, old.st_gid)
                    os.fchmod(file.fileno(), old.st_mode & 0o777)
                elif b"PRIVATE KEY" not in data:
                    os.fchmod(file.fileno(), 0o644)
                file.flush()
                os.fsync(file.fileno())  # a full disk says so before the first file is renamed
                if written is not None:
                    written.append(path)
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror or error}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done, 2 bad input."""
    return run_command(CertsConfig, certs, prog="lan-certs", description=DESCRIPTION, argv=argv, listing=True)


if __name__ == "__main__":
    sys.exit(main())
