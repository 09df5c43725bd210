"""Certificates that are replaced while a process runs: nothing that passes keeps the new one out for good."""

from __future__ import annotations

import asyncio
import datetime
import errno
import os
import shutil
import ssl
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest

from envs.errors import InputError
from runtime.host.agent_link import AgentLink
from runtime.host.team import connect_team, identify
from runtime.identity import tls
from runtime.identity.addresses import Address
from runtime.identity.certs import Authority
from runtime.identity.tls import HOST_URI, HostTls, RenewedFiles, TlsFiles, agent_uri, server_credentials
from tests.runtime.agent.test_agent_server import served
from tests.runtime.support.certificates import DAY, files
from tests.runtime.support.tag_env import TagEnv

NAMES = ("agent-2.pem", "agent-2-key.pem", "ca.pem")


class Renewal:
    """An agent's files as they are, in `live`, and as they will be, in `new`, of one authority."""

    def __init__(self, root: Path) -> None:
        self.live, self.new = root / "live", root / "new"
        self.authority = Authority(DAY)
        for folder in (self.live, self.new):
            folder.mkdir()
            self.authority.write(folder)
            self.issue(folder)
        self.files = files(self.live, "agent-2")

    def issue(self, folder: Path) -> None:
        for name in NAMES[:2]:
            (folder / name).unlink(missing_ok=True)
        self.authority.issue(folder, "agent-2", agent_uri(2), "agent-2.lan")

    def issue_new(self, start: datetime.datetime) -> None:
        """Make the new certificate one that is valid from `start` on."""
        self.authority.start, self.authority.end = start, start + DAY
        self.issue(self.new)

    def install(self, *names: str) -> None:
        for name in names or NAMES:
            partial = self.live / f"{name}.partial"
            shutil.copyfile(self.new / name, partial)
            partial.replace(self.live / name)

    def replace_by(self, name: str, content: bytes | None) -> None:
        """Put something else in a file's place; None: nothing."""
        (self.live / name).unlink()
        if content is not None:
            (self.live / name).write_bytes(content)


@pytest.fixture
def renewal(tmp_path: Path) -> Renewal:
    return Renewal(tmp_path)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "RETRY_S", 0.0)


def first_half(renewal: Renewal, name: str) -> bytes:
    content = (renewal.new / name).read_bytes()
    return content[: len(content) // 2]


def make_fifo(renewal: Renewal, name: str) -> None:
    (renewal.live / name).unlink()
    os.mkfifo(renewal.live / name)


def make_folder(renewal: Renewal, name: str) -> None:
    (renewal.live / name).unlink()
    (renewal.live / name).mkdir()


UNUSABLE: dict[str, Callable[[Renewal], object]] = {
    "certificate before its key": lambda r: r.install("agent-2.pem"),
    "key before its certificate": lambda r: r.install("agent-2-key.pem"),
    "half a certificate": lambda r: r.replace_by("agent-2.pem", first_half(r, "agent-2.pem")),
    "half a key": lambda r: r.replace_by("agent-2-key.pem", first_half(r, "agent-2-key.pem")),
    "half an authority": lambda r: r.replace_by("ca.pem", first_half(r, "ca.pem")),
    "nothing yet": lambda r: r.replace_by("agent-2.pem", b""),
    "no file": lambda r: r.replace_by("agent-2-key.pem", None),
    "a huge file": lambda r: r.replace_by("ca.pem", bytes(tls.MAX_PEM_BYTES + 1)),
    "a pipe": lambda r: make_fifo(r, "agent-2-key.pem"),
    "a folder": lambda r: make_folder(r, "agent-2.pem"),
    "bytes that are no text": lambda r: r.replace_by("agent-2.pem", bytes(range(256))),
}


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("what", UNUSABLE)
def test_what_cannot_be_used_changes_nothing_and_what_comes_after_it_is_used(
    renewal: Renewal, what: str, caplog: pytest.LogCaptureFixture
) -> None:
    renewed = RenewedFiles(renewal.files, agent_uri(2))
    old = renewed.pem, renewed.context
    descriptors = len(os.listdir("/proc/self/fd"))  # noqa: PTH208
    UNUSABLE[what](renewal)
    assert not any(renewed.look() for _ in range(3))
    assert (renewed.pem, renewed.context) == old
    assert "the certificate stays as it is for now" in caplog.text
    assert len(os.listdir("/proc/self/fd")) == descriptors  # noqa: PTH208
    if (renewal.live / "agent-2.pem").is_dir():
        (renewal.live / "agent-2.pem").rmdir()
    renewal.install()
    assert renewed.look()
    assert renewed.pem == files(renewal.new, "agent-2").read()
    assert not renewed.look()


@pytest.mark.usefixtures("no_pauses")
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.EIO, errno.EACCES, errno.ESTALE])
def test_a_passing_error_keeps_no_certificate_out(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch, name: str, number: int
) -> None:
    def failing(path: Any, *args: Any, **kwargs: Any) -> int:
        if Path(path).name == name:
            raise OSError(number, os.strerror(number))
        return real(path, *args, **kwargs)

    real = os.open
    renewed = RenewedFiles(renewal.files, agent_uri(2))
    renewal.install()
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", failing)
        assert not renewed.look()
    assert renewed.look()
    assert renewed.pem == files(renewal.new, "agent-2").read()


@pytest.mark.usefixtures("no_pauses")
def test_an_error_while_the_files_are_checked_passes_too(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = RenewedFiles(renewal.files, agent_uri(2))
    renewal.install()
    for error in (OSError(errno.EMFILE, "Too many open files"), ssl.SSLError("out of memory")):
        with monkeypatch.context() as patched:
            patched.setattr(ssl.SSLContext, "load_cert_chain", raising(error))
            assert not renewed.look()
    assert renewed.look()


def raising(error: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail


@pytest.mark.usefixtures("no_pauses")
def test_files_that_are_swapped_during_the_check_are_not_mixed(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch
) -> None:
    check = TlsFiles.check_own_name

    def check_then_swap(given: TlsFiles, uri: str) -> None:
        check(given, uri)
        renewal.issue(renewal.new)
        renewal.install()

    renewed = RenewedFiles(renewal.files, agent_uri(2))
    renewal.install()
    with monkeypatch.context() as patched:
        patched.setattr(TlsFiles, "check_own_name", check_then_swap)
        assert not renewed.look()
    assert renewed.look()
    assert renewed.pem == files(renewal.new, "agent-2").read()


@pytest.mark.usefixtures("no_pauses")
def test_a_certificate_that_is_not_valid_yet_is_used_as_soon_as_it_is(renewal: Renewal) -> None:
    renewed = RenewedFiles(renewal.files, agent_uri(2))
    begins = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=2)
    renewal.issue_new(begins)
    renewal.install()
    assert not renewed.look()
    while datetime.datetime.now(datetime.UTC) < begins + datetime.timedelta(seconds=1):
        time.sleep(0.1)
    assert renewed.look()
    assert renewed.pem == files(renewal.new, "agent-2").read()


def test_at_the_start_a_certificate_may_be_early_but_not_late_or_another_ones(
    renewal: Renewal, caplog: pytest.LogCaptureFixture
) -> None:
    now = datetime.datetime.now(datetime.UTC)
    renewal.issue_new(now + DAY)
    renewal.install()
    RenewedFiles(renewal.files, agent_uri(2))
    assert "not yet valid; others will refuse it until then" in caplog.text
    with pytest.raises(InputError, match="is the certificate of spiffe://lan/agent/2, not of"):
        RenewedFiles(renewal.files, agent_uri(1))
    renewal.issue_new(now - 2 * DAY)
    renewal.install()
    with pytest.raises(InputError, match="certificate has expired"):
        RenewedFiles(renewal.files, agent_uri(2))


def test_whoever_connects_all_the_time_neither_fills_the_log_nor_keeps_us_checking(
    renewal: Renewal, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    checks = 0

    def count(given: TlsFiles, uri: str) -> None:
        nonlocal checks
        checks += 1
        check(given, uri)

    check = TlsFiles.check_own_name
    renewed = RenewedFiles(renewal.files, agent_uri(2))
    monkeypatch.setattr(TlsFiles, "check_own_name", count)
    renewal.install("agent-2.pem")
    start_s = time.monotonic()
    for index in range(300):
        assert not renewed.look()
        if index == 150:  # from here on the error's text is another one at every look
            monkeypatch.setattr(tls, "read_pem", lambda path: raising(InputError(os.urandom(4).hex()))())
    seconds = time.monotonic() - start_s
    assert 1 <= checks <= seconds / tls.RETRY_S + 1
    assert len(caplog.records) <= seconds / tls.RETRY_S + 1


@pytest.mark.asyncio
async def test_a_host_that_runs_long_shows_its_renewed_certificate_too(
    renewal: Renewal, small_model_bytes: bytes, tmp_path: Path
) -> None:
    """The agent's authority changes: only a host that reads its own files again is let in."""
    renewal.authority.issue(renewal.live, "host", HOST_URI, "host.lan")
    other = Authority(DAY)
    other.write(tmp_path)
    other.issue(tmp_path, "agent-2", agent_uri(2), "agent-2.lan")
    other.issue(tmp_path, "host", HOST_URI, "host.lan")
    host = HostTls(files(renewal.live, "host"))
    async with served(small_model_bytes, credentials=server_credentials(renewal.files, 2)) as test:
        async with AgentLink(test.address, host) as link:
            assert (await identify(link, 5.0)).agent_id == 2
        for name in (*NAMES, "host.pem", "host-key.pem"):
            shutil.copyfile(tmp_path / name, renewal.live / name)
        async with AgentLink(test.address, host) as link:
            assert (await identify(link, 5.0)).agent_id == 2


@pytest.mark.parametrize(
    ("days", "says"), [(1, "certificate is not yet valid"), (-2, "certificate has expired")]
)
@pytest.mark.asyncio
async def test_a_host_waits_for_an_agent_whose_certificate_is_not_valid_now(
    renewal: Renewal, small_model_bytes: bytes, days: int, says: str
) -> None:
    renewal.authority.issue(renewal.live, "host", HOST_URI, "host.lan")
    host = HostTls(files(renewal.live, "host"))
    renewal.issue_new(datetime.datetime.now(datetime.UTC) + days * DAY)

    def shown(folder: Path) -> Any:
        cert, key, ca = files(folder, "agent-2").read()
        return grpc.ssl_server_certificate_configuration([(key, cert)], root_certificates=ca)

    now = [shown(renewal.new)]
    credentials = grpc.dynamic_ssl_server_credentials(now[0], lambda: now[0], True)
    async with served(small_model_bytes, credentials=credentials) as test:
        with pytest.raises(InputError, match=says) as caught:
            await connect_team([test.address], TagEnv.spec, 1.0, host)
        assert "(waited 1 s)" in str(caught.value)
        assert "name that cannot be read" not in str(caught.value)
        joining = asyncio.create_task(connect_team([test.address], TagEnv.spec, 20.0, host))
        await asyncio.sleep(0.5)
        assert not joining.done()
        now[0] = shown(renewal.live)
        with pytest.raises(InputError, match="nobody serves agent"):  # it answers now, alone
            await joining


@pytest.mark.asyncio
async def test_whose_certificate_another_authority_signed_is_told_at_once_and_why(
    renewal: Renewal, small_model_bytes: bytes, tmp_path: Path
) -> None:
    other = Authority(DAY)
    other.write(tmp_path)
    other.issue(tmp_path, "host", HOST_URI, "host.lan")
    host = HostTls(files(tmp_path, "host"))
    async with served(small_model_bytes, credentials=server_credentials(renewal.files, 2)) as test:
        for asked in (connect_team([test.address], TagEnv.spec, 30.0, host), status(test.address, host)):
            with pytest.raises(InputError) as caught:
                await asyncio.wait_for(asked, 10.0)
            says = "its certificate is not accepted under --tls-ca: unable to get local issuer certificate"
            assert f"does not answer: {says}" in str(caught.value)


async def status(address: Address, host: HostTls) -> None:
    async with AgentLink(address, host) as link:
        await identify(link, 5.0)
