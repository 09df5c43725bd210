"""The table of who wins against whom."""

from __future__ import annotations

import json

import pytest

from benchmarks.cross_play import Config, run
from envs.errors import InputError
from tests.paths import ROOT


def test_every_pair_is_played(capsys: pytest.CaptureFixture[str]) -> None:
    teams = ("nearest", str(ROOT / "zoo" / "3m.onnx"))
    run(Config("3m", teams, battles=6, json=True))
    played = json.loads(capsys.readouterr().out)
    assert [(p["player"], p["opponent"]) for p in played] == [
        (player, opponent) for player in ("team nearest", "onnxruntime") for opponent in ("map", *teams)
    ]
    assert all(p["episodes"] == 6 for p in played)
    run(Config("3m", ("nearest",), battles=2))
    assert capsys.readouterr().out.startswith(
        "| agents \\ enemies | map | nearest |\n|---|---|---|\n| nearest |"
    )


def test_teams_that_do_not_exist_are_refused() -> None:
    with pytest.raises(InputError, match="no such team"):
        run(Config("3m", ("nearest", "focuss"), battles=1))
    with pytest.raises(InputError, match="say who plays"):
        run(Config("3m", ()))
