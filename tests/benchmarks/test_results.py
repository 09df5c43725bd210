"""The figures of results/ are those that the commands beside them draw from the data beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from benchmarks.results import RESULTS, Config, commands_of, run
from envs.errors import InputError

FOLDERS = sorted(path.parent.name for path in RESULTS.glob("*/README.md"))


def test_every_figure_has_a_command_that_draws_it_again() -> None:
    drawn = {
        RESULTS / name / words[words.index("--out") + 1]
        for name in FOLDERS
        for words in commands_of(RESULTS / name)
    }
    assert drawn == set(RESULTS.glob("*/*.svg"))


@pytest.mark.parametrize("name", [name for name in FOLDERS if [*commands_of(RESULTS / name)]])
def test_the_figures_are_current(name: str, tmp_path: Path) -> None:
    """Otherwise: make results."""
    again = tmp_path / "results" / name
    shutil.copytree(RESULTS, tmp_path / "results")  # figures may show other folders' numbers
    for figure in again.glob("*.svg"):
        figure.unlink()
    assert run(Config((again,))) == 0
    for figure in again.glob("*.svg"):
        assert figure.read_bytes() == (RESULTS / name / figure.name).read_bytes(), figure.name


def test_a_folder_without_a_readme_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no README\.md that can be read: No such file"):
        run(Config((tmp_path,)))


def test_a_readme_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match=r"no README\.md that can be read: .*codec"):
        run(Config((tmp_path,)))
