"""One process to fork from, and one set of files, for all tests of this folder."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.commands.support.forked import Forks
from tests.commands.support.situations import make_files


@pytest.fixture(scope="session")
def forks() -> Iterator[Forks]:
    with Forks() as forks:
        yield forks


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    make_files(folder)
    return folder
