"""Every path flag of every command knows the home folder, and no path is empty."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from envs.command import run_command


@dataclass(frozen=True)
class Config:
    out: Path = Path("out")
    runs: tuple[Path, ...] = ()
    maybe: Path | None = None


def read(*words: str) -> tuple[int, list[Config]]:
    seen: list[Config] = []
    return run_command(Config, seen.append, prog="lan-x", description="", argv=words), seen


def test_a_tilde_that_the_shell_left_is_the_home(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/ann")
    code, (config,) = read("--out=~/x", "--runs", "~/a", "b~", "--maybe", "~")
    assert code == 0
    home = Path("/home/ann")
    assert config == Config(home / "x", (home / "a", Path("b~")), home)


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("", "a path is empty"),
        ("~nobody-has-this-name/x", "the home folder is not known"),
        ("x" * 300, "File name too long"),
        ("a/" * 5_000, "File name too long"),
    ],
)
def test_a_path_that_means_nothing_is_one_sentence(
    word: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(f"--out={word}") == (2, [])
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert len(line) < 300
