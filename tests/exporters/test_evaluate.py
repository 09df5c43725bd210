"""lan-eval: the same battles by torch and by onnxruntime, and how their outcomes are counted."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs.checkers import SPEC, CheckersEnv
from envs.make import env_spec
from envs.spread import SpreadEnv, SpreadSettings
from envs.types import MultiAgentEnv, Team
from exporters import evaluate as lan_eval
from exporters.contestants import Contestant
from exporters.evaluate import main
from exporters.export import main as export
from trainer.learning.networks import advantage_net

Write = Callable[..., Path]


def evaluate(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON object that lan-eval prints."""
    capsys.readouterr()
    assert main([*argv, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


def test_checkpoint_and_model_file_play_the_same_battles(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = SpreadEnv(SpreadSettings(3)).spec
    ckpt, out = (
        write_checkpoint(spec=spec, learner={"advantage": advantage_net(spec).state_dict()}),
        tmp_path / "a",
    )
    assert export(["--ckpt", str(ckpt), "--out", str(out)]) == 0
    flags = ["--episodes", "11", "--seed", "4"]
    by_torch = evaluate(capsys, "--ckpt", str(ckpt), *flags)
    by_onnx = evaluate(capsys, "--model", str(out), *flags)
    assert (by_torch.pop("player"), by_onnx.pop("player")) == ("torch", "onnxruntime")
    assert by_torch == by_onnx
    assert (by_torch["episodes"], by_torch["episode_steps_mean"], by_torch["map"]) == (11, 25, "spread:3")
    other = evaluate(capsys, "--model", str(out), "--episodes", "11", "--seed", "5")
    assert other["return_mean"] != by_torch["return_mean"]


@pytest.mark.parametrize("name", ["terran_5_vs_5", "terran_5_vs_5_epo"])
def test_scripted_teams_play_drawn_teams(capsys: pytest.CaptureFixture[str], name: str) -> None:
    """They see every unit and walk up to it, whether or not attacks beyond their reach can be chosen."""
    flags = ["--map", name, "--episodes", "128", "--seed", "3"]
    won = {}
    for team in ("random", "nearest", "focus", "kite", "heuristic"):
        won[team] = evaluate(capsys, "--team", team, *flags)["win_rate"]
    assert won["random"] < 0.1
    assert min(won["nearest"], won["focus"]) > 0.3
    assert evaluate(capsys, "--team", "nearest", *flags)["win_rate"] == won["nearest"]


def test_scripted_teams_play_maps(capsys: pytest.CaptureFixture[str]) -> None:
    """Shooting what is near wins 3m sometimes, acting at random hardly ever; a seed repeats itself."""
    flags = ["--map", "3m", "--episodes", "128", "--seed", "3"]
    random, nearest = (evaluate(capsys, "--team", name, *flags) for name in ("random", "nearest"))
    assert (random["map"], random["player"], random["backend"]) == ("3m", "team random", "sim")
    assert random["win_rate"] < 0.03 < nearest["win_rate"]
    assert evaluate(capsys, "--team", "random", *flags) == random


def test_smacs_own_heuristic_plays_beyond_the_agents_actions(capsys: pytest.CaptureFixture[str]) -> None:
    """It wins 1c3s5z as often as in the real game (81 %), where agents that reach six cells rarely do."""
    flags = ["--map", "1c3s5z", "--episodes", "32", "--seed", "1"]
    heuristic, nearest = (evaluate(capsys, "--team", name, *flags) for name in ("heuristic", "nearest"))
    assert (heuristic["player"], heuristic["backend"]) == ("team heuristic", "sim")
    assert heuristic["win_rate"] > 0.6 > nearest["win_rate"]  # .81 less three errors of 32 battles


@pytest.mark.parametrize("team", ["random", "kite", "heuristic"])
def test_recording_a_scripted_team_changes_nothing_of_its_battles(
    team: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--team", team, "--map", "MMM", "--episodes", "5", "--seed", "2"]
    page = tmp_path / "battle.html"
    assert evaluate(capsys, *flags, "--record", str(page)) == evaluate(capsys, *flags)
    assert f"team {team}" in page.read_text()


def test_lines_for_people_say_the_same(write_checkpoint: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ckpt", str(write_checkpoint()), "--episodes", "2"]) == 0
    text = capsys.readouterr().out
    assert "checkers (sim), torch: 2 battles, seed 0" in text
    assert "win rate  0.0% (0 of 2; 95 % interval 0.0% to" in text


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ([], "one of --ckpt FILE, --model FILE, --team NAME --map MAP, or --absolute RUN"),
        (
            ["--ckpt", "a", "--model", "b"],
            "one of --ckpt FILE, --model FILE, --team NAME --map MAP, or --absolute RUN",
        ),
        (["--ckpt", "missing.pt"], "no checkpoint at missing.pt"),
        (["--model", "missing.onnx"], "missing.onnx"),
        (["--team", "nearest", "--ckpt", "run"], "one of"),
        (["--team", "nearest"], "--map 3m"),
        (["--team", "neerest", "--map", "3m"], "did you mean 'nearest'"),
        (["--team", "nearest", "--map", "3mm"], "did you mean '3m'"),
        (["--team", "nearest", "--map", "checkers"], "SMAC's maps"),
        (["--ckpt", "run", "--episodes", "0"], "--episodes"),
        (["--ckpt", "run", "--seed", "-1"], "--seed"),
        (["--ckpt", "run", "--map", "3m"], "made for checkers"),
        (["--ckpt", "run", "--env", "sc2"], "no StarCraft II map"),
    ],
)
def test_bad_input_is_one_clear_line(
    flags: list[str],
    said: str,
    write_checkpoint: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_checkpoint()
    monkeypatch.chdir(tmp_path)
    assert main(flags) == 2
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("lan-eval: error: ")
    assert said in line


def test_a_checkpoint_of_checkers_has_its_spec() -> None:
    assert CheckersEnv().spec == SPEC


def test_battles_are_recorded_to_be_watched(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A recording changes nothing of the battles, holds the advantages, and needs a folder to go to."""
    spec = env_spec("3m")
    ckpt = write_checkpoint(spec=spec, learner={"advantage": advantage_net(spec).state_dict()})
    flags = ["--ckpt", str(ckpt), "--episodes", "3", "--seed", "2"]
    page = tmp_path / "battle.html"
    assert evaluate(capsys, *flags, "--record", str(page)) == evaluate(capsys, *flags)
    assert "advantage_scale" in page.read_text()
    assert main([*flags, "--record", str(tmp_path / "nowhere" / "battle.html")]) == 2
    assert "there is no directory" in capsys.readouterr().err
    before = ckpt.read_bytes()
    assert main([*flags, "--record", str(ckpt)]) == 2
    assert "battles are recorded as NAME.html or NAME.svg" in capsys.readouterr().err
    assert ckpt.read_bytes() == before
    named = tmp_path / "ckpt.html"
    named.write_bytes(before)
    assert main(["--ckpt", str(named), "--episodes", "1", "--record", str(named)]) == 2
    assert f"--record {named} is --ckpt too" in capsys.readouterr().err
    assert named.read_bytes() == before


def test_only_the_simulator_is_recorded(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = write_checkpoint(spec=SPEC, learner={"advantage": advantage_net(SPEC).state_dict()})
    assert main(["--ckpt", str(ckpt), "--episodes", "1", "--record", str(tmp_path / "x.html")]) == 2
    assert "only, and not checkers" in capsys.readouterr().err
    assert not (tmp_path / "x.html").exists()


@pytest.mark.parametrize("fails", [True, False])
def test_the_environment_is_closed_however_the_evaluation_ends(
    fails: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed: list[CheckersEnv] = []
    monkeypatch.setattr(CheckersEnv, "close", lambda env: closed.append(env))

    def make_team(env: MultiAgentEnv, seed: int) -> Callable[[], Team]:
        if fails:
            raise RuntimeError("no team")
        return lambda: lambda step: step.avail_actions.argmax(-1)

    player = Contestant("a player", SPEC, "sim", make_team)
    with pytest.raises(RuntimeError, match="no team") if fails else contextlib.nullcontext():
        lan_eval.evaluate(player, lan_eval.EvaluateConfig(episodes=1))
    assert len(closed) == 1
