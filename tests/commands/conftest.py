"""One process to fork from, and one set of files, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.support.forked import Forks
from tests.commands.support.situations import SITUATIONS, make_files


@pytest.fixture(scope="session")
def forks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Forks]:
    """After the simulator is compiled, which takes longer than a command may run here.

    So a signal while it is compiled is not met here, but in tests/envs/test_interrupted_compiling.py.
    """
    with Forks() as forks:
        ended = forks.run(SITUATIONS["scripted"].words.split(), tmp_path_factory.mktemp("compiled"), 300.0)
        assert ended.code == 0, ended
        yield forks


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder
