"""Results are written whole or not at all."""

import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.files import read_regular, replacing, sync_folder, write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in (b"a longer first text", b"second"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127, "𝄞" * 63])
def test_a_name_may_be_as_long_as_the_file_system_allows(tmp_path: Path, name: str) -> None:
    write_atomically(tmp_path / name, b"content")
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_threads_that_write_one_file_each_write_it_whole(tmp_path: Path) -> None:
    path = tmp_path / "same"
    contents = [bytes([number]) * 5000 for number in range(3)]
    problems: list[InputError] = []

    def write(content: bytes) -> None:
        try:
            for _ in range(50):
                write_atomically(path, content)
        except InputError as error:
            problems.append(error)

    threads = [threading.Thread(target=write, args=(content,)) for content in contents]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
    assert path.read_bytes() in contents
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_is_replaced_and_its_target_stays(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"old")
    link.symlink_to(target)
    write_atomically(link, b"new")
    assert (link.is_symlink(), link.read_bytes(), target.read_bytes()) == (False, b"new", b"old")


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "link"
    os.mkfifo(pipe)
    link.symlink_to(os.devnull)  # as /dev/stdout is a link
    for path in (pipe, link, tmp_path):
        with pytest.raises(InputError, match="no regular file"):
            write_atomically(path, b"new")
    assert pipe.is_fifo()
    assert link.is_symlink()


@pytest.mark.parametrize("links", [1, 2])
def test_a_link_to_the_process_s_output_stays_where_a_shell_has_led_it_to_a_file(
    tmp_path: Path, links: int
) -> None:
    """As with `lan-plot --data /dev/stdout > file`: /dev/stdout is a link to /proc/self/fd/1."""
    link, first = tmp_path / "stdout", tmp_path / "first"
    program = (
        "import sys; from pathlib import Path; from envs.errors import InputError\n"
        "from envs.files import write_atomically\n"
        "try: write_atomically(Path(sys.argv[1]), b'new')\n"
        "except InputError as error: print(error)"
    )
    first.symlink_to("/proc/self/fd/1")
    link.symlink_to(first if links == 2 else "/proc/self/fd/1")
    with (tmp_path / "file").open("w") as out:
        subprocess.run([sys.executable, "-c", program, str(link)], stdout=out, timeout=60, check=True)
    assert "leads into the system's own files" in (tmp_path / "file").read_text()
    assert link.is_symlink()
    assert first.is_symlink()


def test_permissions_are_the_modes_less_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        for mode, left in ((0o666, 0o640), (0o777, 0o750), (0o600, 0o600)):
            with replacing(tmp_path / "file", mode) as file:
                file.write(b"content")
            assert (tmp_path / "file").stat().st_mode & 0o777 == left
    finally:
        os.umask(before)


@pytest.mark.parametrize("is_link", [False, True])
def test_a_secret_is_not_written_into_a_file_that_lay_there(tmp_path: Path, is_link: bool) -> None:
    readable = tmp_path / "readable"
    readable.touch(0o666)
    planted = tmp_path / f".key.{threading.get_native_id()}.partial"
    planted.symlink_to(readable) if is_link else readable.rename(planted)
    with planted.open("rb") as spy, replacing(tmp_path / "key", 0o600) as file:
        file.write(b"secret")
        file.flush()
        assert spy.read() == b""
    assert (tmp_path / "key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "key").read_bytes() == b"secret"


def test_a_file_system_that_syncs_no_folders_is_written_to_all_the_same() -> None:
    sync_folder(Path("/proc/self"))  # fsync(2) answers EINVAL there


def test_what_stood_there_stays_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")
    partial = tmp_path / f".config.json.{os.getpid()}.partial"
    partial.symlink_to("/dev/full")  # the kernel's own "No space left on device"
    with pytest.raises(InputError, match=r"cannot write .*config\.json: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_first_error_is_the_one_that_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a read-only disk not even the removal of the unfinished file is allowed."""

    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def refuse_to_rename(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(Path, "unlink", refuse)
    monkeypatch.setattr(Path, "replace", refuse_to_rename)
    with pytest.raises(InputError, match=r"cannot write .*file: no room"):
        write_atomically(tmp_path / "file", b"content")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_read_only_file_system_is_one_sentence(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from envs.errors import InputError\n"
        "from envs.files import write_atomically\n"
        "try: write_atomically(Path(sys.argv[1]), b'')\n"
        "except InputError as error: print(error)"
    )
    mounted = 'mount -t tmpfs -o ro none "$0" && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mounted, str(tmp_path), sys.executable, "-c", program]
    done = subprocess.run([*command, str(tmp_path / "x")], capture_output=True, text=True, timeout=60)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nothing may be mounted here")
    assert done.stdout == f"cannot write {tmp_path / 'x'}: Read-only file system\n", done.stderr


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write_atomically(tmp_path / "missing" / "curves.svg", b"")


def test_only_a_regular_file_is_read(tmp_path: Path) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "file"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path, Path("/dev/zero"), Path(os.devnull)):
        with pytest.raises(InputError, match=f"{path} is no regular file"):
            read_regular(path)
    file.write_bytes(b"12345")
    assert read_regular(file) == read_regular(file, 5) == b"12345"
    with pytest.raises(InputError, match="file is larger than 4 bytes"):
        read_regular(file, 4)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "missing")
