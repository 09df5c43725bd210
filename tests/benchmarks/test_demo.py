"""benchmarks.demo: each demo makes a new folder, or says why it cannot."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.demo import main, new_folder
from envs.errors import InputError


def test_a_demo_without_a_place_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(InputError, match=r"--folder .*file: no folder can be made in it"):
        new_folder(tmp_path / "file", "3m")
    assert [new_folder(tmp_path, "3m").name for _ in range(2)] == ["3m-1", "3m-2"]


def test_a_demo_that_cannot_begin_leaves_no_folder(tmp_path: Path) -> None:
    assert main(["--map", "nowhere", "--folder", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []
