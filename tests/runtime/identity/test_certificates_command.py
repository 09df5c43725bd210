"""`lan-certs`: the whole set or nothing, never somebody else's files, and renewal that nobody notices."""

from __future__ import annotations

import errno
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from envs.errors import InputError
from runtime.identity import certs as command
from runtime.identity.certs import Authority, CertsConfig, certs, owner_files
from runtime.identity.tls import HOST_URI, TlsFiles, agent_uri
from tests.paths import ROOT
from tests.runtime.support.certificates import DAY
from tests.runtime.support.processes import command as command_line
from tests.runtime.support.processes import environment, run


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def check_set(out: Path, n_agents: int, folders: bool = False) -> None:
    owner_files(out, "host", folders).check_own_name(HOST_URI)
    for agent_id in range(n_agents):
        owner_files(out, f"agent-{agent_id}", folders).check_own_name(agent_uri(agent_id))


@pytest.mark.parametrize("renew", [False, True])
def test_of_several_at_once_one_writes_and_the_others_say_so(tmp_path: Path, renew: bool) -> None:
    flags: list[object] = ["--out", tmp_path, "--agents", 40]
    if renew:
        certs(CertsConfig(out=tmp_path, agents=40))
        flags.append("--renew")
    processes = [
        subprocess.Popen(
            command_line("certs", *flags), stderr=subprocess.PIPE, text=True, cwd=ROOT, env=environment()
        )
        for _ in range(4)
    ]
    said = [process.communicate(timeout=120)[1] for process in processes]
    codes = [process.returncode for process in processes]
    check_set(tmp_path, 40)
    assert 0 in codes
    for code, text in zip(codes, said, strict=True):
        assert code in (0, 2)
        assert "Traceback" not in text
        assert code == 0 or "holds certificates already" in text or "another lan-certs is writing" in text
    assert renew or codes.count(0) == 1


@pytest.mark.parametrize("name", ["ca.pem", "ca-key.pem", "agent-1.pem", "other.pem"])
def test_certificates_that_are_there_are_not_touched(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("mine")
    with pytest.raises(InputError, match="holds certificates already") as raised:
        certs(CertsConfig(out=tmp_path, agents=2))
    assert ("replace them with --renew" in str(raised.value)) == (name == "ca-key.pem"), "which it needs"
    assert contents(tmp_path) == {name: b"mine"}


@pytest.mark.parametrize("name", ["tls.crt", "tls.key"])
def test_a_folder_with_a_certificate_is_not_touched_either(tmp_path: Path, name: str) -> None:
    (tmp_path / "agent-1").mkdir()
    (tmp_path / "agent-1" / name).symlink_to("nowhere")
    with pytest.raises(InputError, match="holds certificates already"):
        certs(CertsConfig(out=tmp_path, agents=2, folders=True))
    assert [path.name for path in tmp_path.rglob("*")] == ["agent-1", name]


@pytest.mark.parametrize("writes", range(7))
@pytest.mark.parametrize("renew", [False, True])
def test_a_full_disk_leaves_nothing_half_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int, renew: bool
) -> None:
    def full_after(descriptor: int) -> None:
        status = os.fstat(descriptor)
        if stat.S_ISREG(status.st_mode) and status.st_ino not in synced:
            if len(synced) == writes:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            synced.add(status.st_ino)
        sync(descriptor)

    synced: set[int] = set()
    sync = os.fsync
    if renew:
        certs(CertsConfig(out=tmp_path, agents=2))
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full_after)
        with pytest.raises(InputError, match="No space left on device"):
            certs(CertsConfig(out=tmp_path, agents=2, renew=renew))
    if renew:
        check_set(tmp_path, 2)
    else:
        assert contents(tmp_path) == {}
        certs(CertsConfig(out=tmp_path, agents=2))


def test_a_full_disk_takes_not_even_the_first_key_and_leaves_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fdopen(descriptor: int, mode: str) -> Any:
        os.dup2(full, descriptor)  # the kernel's own "No space left on device"
        return real(descriptor, mode)

    real, full = os.fdopen, os.open("/dev/full", os.O_RDWR)
    monkeypatch.setattr("runtime.identity.certs.os.fdopen", fdopen)
    monkeypatch.setattr("runtime.identity.certs.fcntl.flock", lambda *_: None)
    out = tmp_path / "deep" / "er"
    with pytest.raises(InputError, match=rf"^cannot write {out}/ca-key.pem: No space left on device$"):
        certs(CertsConfig(out=out, agents=2))
    os.close(full)
    assert list(tmp_path.iterdir()) == []


def test_folders_that_were_made_for_what_failed_are_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(*_: object) -> None:
        raise InputError("no room")

    (tmp_path / "kept").mkdir()
    monkeypatch.setattr("runtime.identity.certs.write_key", no_room)
    for out in (tmp_path / "new" / "er", tmp_path / "kept"):
        with pytest.raises(InputError, match="no room"):
            certs(CertsConfig(out=out, agents=2, folders=True))
    assert [path.name for path in tmp_path.rglob("*")] == ["kept"]


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name, blocked in (("loop", "loop"), ("pipe", "pipe"), ("pipe/in", "pipe")):
        says = f"{tmp_path / blocked} is no folder; remove it, or choose another --out"
        with pytest.raises(InputError, match=says):
            certs(CertsConfig(out=tmp_path / name, agents=2))


@pytest.mark.parametrize("folders", [False, True])
def test_old_and_renewed_certificates_accept_each_other_until_the_old_ones_end(
    tmp_path: Path, folders: bool
) -> None:
    certs(CertsConfig(out=tmp_path, agents=2, folders=folders))
    old = contents(tmp_path)
    key = owner_files(tmp_path, "agent-1", folders).key
    key.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(key, 61_234, 61_235)
    certs(CertsConfig(out=tmp_path, agents=3, folders=folders, renew=True))
    new = contents(tmp_path)
    check_set(tmp_path, 3, folders)
    assert new["ca-key.pem"] == old["ca-key.pem"]
    assert all(new[name] != old[name] for name in old if name != "ca-key.pem")
    assert key.stat().st_mode & 0o777 == 0o640
    if os.geteuid() == 0:
        assert (key.stat().st_uid, key.stat().st_gid) == (61_234, 61_235)
    place = owner_files(tmp_path, "agent-0", folders)
    old_ca = tmp_path / "old-ca"
    old_ca.write_bytes(old["ca.pem"])
    TlsFiles(place.cert, place.key, old_ca).check_own_name(agent_uri(0))
    for path in (place.cert, place.key):
        path.write_bytes(old[str(path.relative_to(tmp_path))])
    place.check_own_name(agent_uri(0))


def test_only_what_this_command_has_made_is_renewed(tmp_path: Path) -> None:
    def refusal(folders: bool = False) -> str:
        with pytest.raises(InputError) as caught:
            certs(CertsConfig(out=tmp_path, agents=1, renew=True, folders=folders))
        return str(caught.value)

    assert "ca-key.pem to renew certificates with" in refusal()
    certs(CertsConfig(out=tmp_path, agents=1))
    assert "made without --folders?" in refusal(folders=True)
    mine = contents(tmp_path)
    other = Authority(DAY)
    (tmp_path / "ca.pem").write_bytes(command.certificate_pem(other.certificate))
    assert "no authority that lan-certs has made" in refusal()
    for broken in (b"", b"text", bytes(range(256)), mine["ca-key.pem"][:90]):
        (tmp_path / "ca-key.pem").write_bytes(broken)
        assert "cannot be read" in refusal()
    for name in ("agent-0.pem", "host.pem"):
        assert (tmp_path / name).read_bytes() == mine[name]


@pytest.mark.parametrize(
    "flags",
    [
        ["--agents", "0-99999999999"], ["--agents", "99999999999999999999"], ["--agents", "9" * 5000],
        ["--agents", "-1"], ["--agents", "1", "--days", "nan"], ["--agents", "1", "--days", "-3"],
        ["--agents", "1", "--days", "0"], ["--agents", "1", "--days", "99999999999"],
        ["--agents", "1", "--out", "/proc/nowhere"], ["--agents", "1", "--out", "/dev/null"],
    ],
    ids=lambda flags: " ".join(flags)[:40],
)  # fmt: skip
def test_flags_without_sense_are_refused_in_words(tmp_path: Path, flags: list[str]) -> None:
    done = run("certs", "--out", tmp_path / "pki", *flags)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "pki").exists()


def test_a_directory_may_have_a_name_that_is_no_text(tmp_path: Path) -> None:
    out = tmp_path / os.fsdecode(b"\xff\n\x1b[2J")
    done = run("certs", "--out", out, "--agents", 1)
    assert (done.returncode, done.stderr, done.stdout.count("\n")) == (0, "", 1)
    assert "\x1b" not in done.stdout
    check_set(out, 1)
