"""Whatever a flag is given, a command works or says in one sentence why not; it never dies of it."""

import random
import shutil
from pathlib import Path

import pytest
import tyro

from envs.flags import flag_rules
from envs.make import BACKENDS
from tests.commands.support.forked import Forks
from tests.commands.support.hostile import REAL, WHOLE, flags_of
from tests.commands.support.situations import SITUATIONS, copied, with_flag

FLAGS = [
    (name, flag)
    for name, case in SITUATIONS.items()
    for flag, values in flags_of(case.flags).items()
    if values
]


def complaints(forks: Forks, files: Path, folder: Path, name: str, flag: str, value: str) -> list[str]:
    """What a situation does wrong with this value of this flag."""
    case = SITUATIONS[name]
    copied(files, folder)
    ended = forks.run(with_flag(case.words, flag, value), folder, case.limit_s)
    found = ended.complaints((0, 2, *case.others))
    found += [f"it left {path.name}" for path in folder.rglob("*.partial")]
    shutil.rmtree(folder)
    return [f"{name} --{flag} {value[:60]!r}: {what}: {ended.err[-500:]}" for what in found]


@pytest.mark.slow
@pytest.mark.parametrize(("name", "flag"), FLAGS)
def test_no_value_of_a_flag_kills_a_command(
    name: str, flag: str, forks: Forks, files: Path, tmp_path: Path
) -> None:
    values = flags_of(SITUATIONS[name].flags)[flag]
    found = [what for value in values for what in complaints(forks, files, tmp_path / "w", name, flag, value)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SITUATIONS)
def test_some_values_of_flags_do_not_kill_a_command(
    name: str, forks: Forks, files: Path, tmp_path: Path
) -> None:
    draw = random.Random(name)
    flags = {flag: values for flag, values in flags_of(SITUATIONS[name].flags).items() if values}
    chosen = [(flag, draw.choice(flags[flag])) for flag in draw.sample(sorted(flags), min(4, len(flags)))]
    found = [what for pair in chosen for what in complaints(forks, files, tmp_path / "w", name, *pair)]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("name", SITUATIONS)
def test_a_flag_that_wants_a_number_says_so_of_a_word(
    name: str, forks: Forks, files: Path, tmp_path: Path
) -> None:
    case = SITUATIONS[name]
    copied(files, tmp_path / "w")
    for flag, values in flags_of(case.flags).items():
        is_hidden = (name, flag) == ("sweep", "seed")  # that of a run, which --seeds gives
        if is_hidden or not any(values[: len(numbers)] == numbers for numbers in (WHOLE, REAL)):
            continue
        ended = forks.run(with_flag(case.words, flag, "many"), tmp_path / "w", case.limit_s)
        assert ended.code == 2, ended
        (line,) = ended.err.splitlines()
        assert f"--{flag.replace('_', '-')} 'many' is no " in line


@pytest.mark.parametrize("name", SITUATIONS)
def test_the_command_itself_works(name: str, forks: Forks, files: Path, tmp_path: Path) -> None:
    case = SITUATIONS[name]
    ended = forks.run(case.words.split(), copied(files, tmp_path / "w"), case.limit_s)
    refused = {"sweep": 2, "play": 2, "status": 1}  # nobody listens, and the sweep's map is unknown
    assert ended.code == refused.get(name, 0) or ended.was_stopped, ended
    assert not ended.complaints((0, 2, *case.others)), ended


@pytest.mark.parametrize("name", [name for name, case in SITUATIONS.items() if "env" in flags_of(case.flags)])
def test_the_help_of_env_names_every_backend(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        tyro.cli(SITUATIONS[name].flags, args=["--help"], registry=flag_rules())
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    explained = shown.partition("--env ")[2].partition(" --")[0]
    assert not [backend for backend in BACKENDS if backend not in explained], explained
