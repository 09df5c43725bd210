"""lan-eval --opponent: scripted and trained teams in command of the enemies, and where they do not fit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs.make import env_spec
from exporters.evaluate import main
from exporters.export import main as export
from tests.paths import ROOT
from trainer.learning.networks import advantage_net

ZOO_3M = str(ROOT / "zoo" / "3m.onnx")


def evaluate(capsys: pytest.CaptureFixture[str], *words: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main([*words, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_who_commands_the_enemies_decides_the_battles(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--team", "nearest", "--map", "3m", "--episodes", "96", "--seed", "2"]
    won = {
        opponent: evaluate(capsys, *flags, "--opponent", opponent)["won"]
        for opponent in ("random", "nearest", "focus")
    }
    assert won["random"] == 96
    assert 20 < won["nearest"] < 76  # the sides are alike
    assert won["focus"] < 10
    alone = evaluate(capsys, *flags)
    assert alone["opponent"] == "map"
    assert alone == evaluate(capsys, *flags, "--opponent", "map")


def test_a_model_file_commands_the_enemies_as_it_commands_agents(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--model", ZOO_3M, "--episodes", "96", "--seed", "4"]
    against_itself = evaluate(capsys, *flags, "--opponent", ZOO_3M)
    assert 25 < against_itself["won"] < 75
    assert against_itself["opponent"] == ZOO_3M
    assert evaluate(capsys, *flags, "--opponent", ZOO_3M) == against_itself
    by_random = ["--team", "random", "--map", "3m", "--episodes", "32"]
    assert evaluate(capsys, *by_random, "--opponent", ZOO_3M)["won"] < 3


@pytest.mark.parametrize("map_name", ["3m", "3m:no-fog"])
def test_checkpoint_and_model_file_command_alike(
    map_name: str, write_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = env_spec(map_name)
    ckpt = write_checkpoint(spec=spec, learner={"advantage": advantage_net(spec).state_dict()})
    out = tmp_path / "a.onnx"
    assert export(["--ckpt", str(ckpt), "--out", str(out), "--battles", "2"]) == 0
    flags = ["--ckpt", str(ckpt), "--episodes", "8"]
    one, other = (evaluate(capsys, *flags, "--opponent", str(path)) for path in (ckpt, out))
    assert one.pop("opponent") != other.pop("opponent")
    assert one == other


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--map", "8m", "--opponent", ZOO_3M], "was made for another environment: name: '8m', not '3m'"),
        (["--map", "zerg_5_vs_5", "--opponent", "focus"], "nobody can command enemies that every episode"),
        (["--map", "3m", "--opponent", "focuss"], "no such team and no such file; did you mean 'focus'"),
        (["--map", "3m", "--opponent", __file__], "is refused"),
    ],
)
def test_opponents_that_do_not_fit_are_refused(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--team", "nearest", "--episodes", "1", *words]) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_team_of_an_uneven_map_cannot_command_its_enemies(
    write_checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    spec = env_spec("5m_vs_6m")
    ckpt = write_checkpoint(spec=spec, learner={"advantage": advantage_net(spec).state_dict()})
    words = ["--team", "nearest", "--map", "5m_vs_6m", "--episodes", "1", "--opponent", str(ckpt)]
    assert main(words) == 2
    assert (
        "learned the other side: 5m_vs_6m is not symmetric: its sides have different"
        in capsys.readouterr().err
    )
