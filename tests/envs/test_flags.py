"""Paths know the home folder, numbers may be written as 2e6, and what is neither is one sentence."""

from dataclasses import dataclass
from pathlib import Path

import pytest

from envs.command import run_command


@dataclass(frozen=True)
class Config:
    out: Path = Path("out")
    runs: tuple[Path, ...] = ()
    maybe: Path | None = None
    steps: int = 5
    envs: int | None = None
    sizes: tuple[int, ...] = ()
    rate: float = 0.5
    share: float | None = None


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


def test_whole_numbers_may_have_an_exponent() -> None:
    code, (config,) = read(
        "--steps", "2e6", "--envs=1_0", "--sizes", "3", "4.0", "--rate", "5e-4", "--share", "1"
    )
    assert code == 0
    assert (config.steps, config.envs, config.sizes) == (2_000_000, 10, (3, 4))
    assert (config.rate, config.share) == (0.0005, 1.0)
    assert all(type(number) is int for number in (config.steps, config.envs, *config.sizes))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--steps", "2.5"), "--steps '2.5' is no whole number"),
        (("--envs", "nan"), "--envs 'nan' is no whole number"),
        (("--envs=inf",), "--envs 'inf' is no whole number"),
        (("--steps", "1e999999999"), "--steps '1e999999999' is too large: at most 30 digits"),
        (("--runs", "x", "--steps", ""), "--steps '' is no whole number"),
        (("--steps=-1e400",), "--steps '-1e400' is too large"),
        (("--sizes", "1", "2", "x"), "--sizes 'x' is no whole number"),
        (("--runs", "x", "--sizes", "x"), "error: 'x' is no whole number"),
        (("--rate", "half"), "--rate 'half' is no number"),
        (("--share", "1,5"), "--share '1,5' is no number"),
    ],
)
def test_a_word_that_is_no_number_is_one_sentence(
    words: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert read(*words) == (2, [])
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
