"""What lies in a run's folder in place of its files holds no sweep up, and ends none with a traceback."""

import os
from pathlib import Path

import pytest

from envs.errors import InputError
from envs.files import open_regular
from trainer.runs.metrics import AppendedFile
from trainer.sweep.jobs import METRICS_NAME, Progress, read_progress


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "deep"])
def test_progress_is_unknown_where_metrics_are_no_lines_of_ours(tmp_path: Path, kind: str) -> None:
    path = tmp_path / METRICS_NAME
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    else:
        path.write_bytes(b"[" * 200_000 + b"\n")
    assert read_progress(tmp_path) == Progress()


def test_a_pipe_is_neither_read_nor_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(InputError, match="no regular file"):
        open_regular(path, os.O_RDONLY)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(InputError, match="no regular file"):
        AppendedFile(path)
    os.close(reader)
