"""`lan-train` refuses what it cannot do in one sentence, with exit code 2, and loses nothing."""

import json
from pathlib import Path

import pytest

from trainer.cli import main
from trainer.config import TrainConfig, check_resumed, resolve
from trainer.runs.config_file import load_config


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """The one line on stderr of a command that must exit with 2."""
    try:
        code = main(words)
    except SystemExit as exit_:
        code = exit_.code
    captured = capsys.readouterr()
    assert code == 2
    assert "Traceback" not in captured.err
    return captured.err


def test_unknown_map_names_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    error = refused(capsys, "--map", "corridoor")
    assert "corridoor" in error
    assert "'corridor'" in error
    assert len(error.splitlines()) == 1


def test_unknown_algorithm_and_backend_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert "'magic'" in refused(capsys, "--map", "3m", "--algorithm", "magic")
    assert "'nowhere'" in refused(capsys, "--map", "3m", "--env", "nowhere")


def test_no_map_says_what_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    assert "--map 3m" in refused(capsys)


def test_a_game_that_is_not_there_says_where_it_looked(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SC2PATH", str(tmp_path / "nothing"))
    error = refused(capsys, "--map", "3m", "--env", "sc2")
    assert str(tmp_path / "nothing") in error
    assert "--env sim" in error


def test_a_directory_that_holds_a_run_is_left_alone(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{}")
    error = refused(capsys, "--map", "3m", "--run-dir", str(tmp_path))
    assert "--resume" in error
    assert (tmp_path / "config.json").read_text() == "{}"
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--steps", "0"), "--steps"),
        (("--gamma", "1.5"), "--gamma"),
        (("--replay-episodes", "8"), "--replay-episodes"),
        (("--seed", "-1"), "--seed"),
        (("--until-win-rate", "90"), "--until-win-rate"),
        (("--device", "toaster"), "toaster"),
        (("--steps", "many"), "many"),
    ],
)
def test_impossible_settings_are_named(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], named: str, tmp_path: Path
) -> None:
    assert named in refused(capsys, "--map", "3m", "--run-dir", str(tmp_path / "run"), *words)
    assert not (tmp_path / "run").exists()


def test_resuming_nothing_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "no run to resume" in refused(capsys, "--resume", str(tmp_path))


def test_a_resumed_run_keeps_its_settings(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    saved = resolve(TrainConfig(map="3m", seed=3, learning_rate=1e-3, run_dir=tmp_path))
    (tmp_path / "config.json").write_text(json.dumps({"config": saved.to_dict()}))
    assert load_config(tmp_path) == saved
    asked = TrainConfig(map="3m", seed=3, learning_rate=1e-3, steps=5, resume=tmp_path)
    check_resumed(saved, resolve(asked))
    assert "--seed was 3, now 4" in refused(capsys, "--resume", str(tmp_path), "--seed", "4")
    (tmp_path / "replay").mkdir()
    assert "no checkpoint" in refused(capsys, "--resume", str(tmp_path))


def test_settings_of_another_version_are_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"config": {"map": "3m", "warp": 9}}))
    assert "warp" in refused(capsys, "--resume", str(tmp_path))
