"""`lan-map`: a map is written, checked and shown."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from envs.map_command import main
from envs.smac.map_picture import picture
from envs.smac.maps import MAP_NAMES, load_map
from tests.paths import ROOT

LINE = "5 marines and a medivac against 3 zealots, 32 x 32, limit 120"


def test_a_map_is_written_checked_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = str(tmp_path / "rescue.json")
    assert main(["new", LINE, "--out", path]) == 0
    assert f"wrote {path}; now: lan-map show {path}" in capsys.readouterr().out
    assert main(["check", path]) == 0
    said = capsys.readouterr().out
    assert said.startswith("rescue@")
    assert "6 agents, 12 actions, 75 features in an observation, 63 in the state, at most 120 steps" in said
    assert main(["show", path]) == 0
    shown = capsys.readouterr().out
    assert "agents   5 marine (M), 1 medivac (V)" in shown
    assert "enemies  3 zealot (z); they walk to (9, 16) and attack on the way" in shown
    assert main(["new", LINE, "--out", path]) == 2
    assert "exists; say --force to replace it" in capsys.readouterr().err
    assert main(["new", "a marine against a marine", "--out", path, "--force"]) == 0


def test_the_guides_example_is_drawn_as_it_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    block = (ROOT / "docs" / "maps.md").read_text().partition("$ lan-map new ")[2].partition("\n```")[0]
    words, _, rest = block.partition("\n")
    assert main(["new", *shlex.split(words)]) == 0
    command, _, drawn = rest.partition("\n")
    capsys.readouterr()
    assert main(shlex.split(command.removeprefix("$ lan-map "))) == 0
    assert capsys.readouterr().out == drawn + "\n"


def test_a_picture_shows_every_unit_once() -> None:
    for name in MAP_NAMES:
        smac_map = load_map(name)
        ground, _, signs = picture(smac_map).partition("\n\n")
        assert len(ground.splitlines()) <= 32
        assert "agents   " in signs
    ground = picture(load_map("3m")).partition("\n\n")[0]
    letters = [c for c in ground if c.isalnum()]
    assert sorted(letters) in (sorted("M2Mm2m"), sorted("MMMmmm"), sorted("3M3m"))


def test_a_scenarios_picture_says_what_is_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", "zerg_10_vs_11"]) == 0
    shown = capsys.readouterr().out
    assert "agents   10, drawn in every battle, units and starts: zergling 45 %, hydralisk 45 %" in shown
    assert "enemies  11, the same and further ones; whenever they have no order" in shown


def test_what_it_says_to_do_next_can_be_done(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d:ir").mkdir()
    assert main(["new", LINE, "--out", "d:ir/good.json"]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[0].partition("now: lan-map ")[2])
    assert command == ["show", "./d:ir/good.json"]
    assert main(command) == 0


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "say new, check or show"),
        (["draw"], "unknown command 'draw'"),
        (["show", "3mm"], "unknown map '3mm': did you mean '3m'"),
        (["check", "nowhere.json"], "there is no map file nowhere.json"),
        (["new", LINE, "--out", "rescue.txt"], "a map's file is called NAME.json"),
        (["new", LINE, "--out", "no/such/rescue.json"], "there is no directory no/such; make it first"),
        (["new", LINE, "--out", "3m.json"], "3m is a map of SMAC; give yours another name"),
        (["new", LINE, "--out", "zerg_5_vs_5.json"], "zerg_5_vs_5 is a map of SMACv2; give yours another"),
        (
            ["new", "99999999999999999999 marines against 1 zealot", "--out", "x.json"],
            "is too large a number",
        ),
        (["new", "5 marins against 3 zealots", "--out", "x.json"], "unknown unit 'marins'"),
    ],
)
def test_what_cannot_be_done_is_said_with_exit_code_2(
    words: list[str],
    says: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    captured = capsys.readouterr()
    assert says in captured.err
    assert captured.out == ""
    assert list(tmp_path.iterdir()) == []
