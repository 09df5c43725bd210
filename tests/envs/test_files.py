"""Results are written whole or not at all."""

import os
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.files import write_atomically


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    for content in (b"a longer first text", b"second"):
        write_atomically(path, content)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_what_stood_there_stays_when_the_disk_is_full(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(b"old")
    partial = tmp_path / f".config.json.{os.getpid()}.partial"
    partial.symlink_to("/dev/full")  # the kernel's own "No space left on device"
    with pytest.raises(InputError, match=r"cannot write .*config\.json: No space left on device"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot write .*No such file or directory"):
        write_atomically(tmp_path / "missing" / "curves.svg", b"")
