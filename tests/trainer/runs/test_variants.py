"""`lan-train` with the variants of the paper: IQL without fog, and networks per unit type."""

from pathlib import Path

import pytest

from envs.errors import InputError
from tests.paths import ROOT
from trainer.cli import main
from trainer.config import TrainConfig, check_resumed, resolve
from trainer.learning.algorithms import ALGORITHMS
from trainer.learning.networks import AdvantageNetPerType, SharedAdvantageNet
from trainer.runs.checkpoint import load_advantage_net, load_checkpoint
from trainer.runs.config_file import load_config

QUICK = ["--env", "sim", "--envs", "2", "--batch-episodes", "2", "--eval-episodes", "2", "--seed", "3"]


def train(run_dir: Path, *words: str) -> None:
    assert main([*words, "--run-dir", str(run_dir), "--steps", "150", *QUICK]) == 0
    assert main(["--resume", str(run_dir), "--steps", "300"]) == 0


def test_iql_without_fog_is_a_run_of_the_map_on_an_environment_of_its_own(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(run_dir, "--map", "3m", "--algorithm", "iql-nofog")
    checkpoint = load_checkpoint(run_dir)
    assert (checkpoint.spec.name, checkpoint.algorithm) == ("3m:no-fog", "iql-nofog")
    assert checkpoint.env_steps >= 300
    assert checkpoint.updates > 0
    assert load_config(run_dir).map == "3m"  # curves are drawn beside those of the map
    assert isinstance(load_advantage_net(checkpoint), SharedAdvantageNet)


def test_networks_per_type_are_trained_saved_and_resumed(tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    train(run_dir, "--map", "2s3z", "--sharing", "type")
    checkpoint = load_checkpoint(run_dir)
    assert checkpoint.sharing == "type"
    assert checkpoint.agent_types == ("stalker", "stalker", "zealot", "zealot", "zealot")
    assert checkpoint.updates > 0
    net = load_advantage_net(checkpoint)
    assert isinstance(net, AdvantageNetPerType)
    assert list(net.nets) == ["stalker", "zealot"]


@pytest.mark.parametrize("algorithm", ["lan", "qmix", "iql-nofog"])
def test_teams_that_are_drawn_are_trained_and_resumed(tmp_path: Path, algorithm: str) -> None:
    run_dir = tmp_path / "run"
    train(run_dir, "--map", "zerg_5_vs_5", "--algorithm", algorithm)
    checkpoint = load_checkpoint(run_dir)
    assert checkpoint.spec.name == "zerg_5_vs_5" + ":no-fog" * (algorithm == "iql-nofog")
    assert checkpoint.updates > 0


@pytest.mark.slow
@pytest.mark.parametrize("algorithm", sorted(ALGORITHMS))
@pytest.mark.parametrize("race", ["protoss", "terran", "zerg"])
def test_every_algorithm_trains_teams_of_every_race(tmp_path: Path, algorithm: str, race: str) -> None:
    train(tmp_path / "run", "--map", f"{race}_5_vs_5", "--algorithm", algorithm)


def test_a_run_keeps_its_opponent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Interrupted or not it is the same run, and with another opponent it would be another one."""
    halves, whole = tmp_path / "halves", tmp_path / "whole"
    train(halves, "--map", "3m", "--opponent", "random", "--eval-interval-steps", "50")
    words = ["--map", "3m", "--opponent", "random", "--eval-interval-steps", "50", "--run-dir", str(whole)]
    assert main([*words, "--steps", "300", *QUICK]) == 0
    assert load_config(halves).opponent == "random"
    weights, others = (load_checkpoint(path).advantage for path in (halves, whole))
    assert all((weights[name] == others[name]).all() for name in weights)
    capsys.readouterr()
    assert main(["--resume", str(halves), "--opponent", "focus"]) == 2
    assert "--opponent was random, now focus" in capsys.readouterr().err


def test_a_trained_team_is_an_opponent_until_its_file_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a model file or a checkpoint; the run knows the file by its digest."""
    model, run_dir = tmp_path / "3m.onnx", tmp_path / "run"
    model.write_bytes((ROOT / "zoo" / "3m.onnx").read_bytes())
    train(run_dir, "--map", "3m", "--opponent", str(model))
    named = load_config(run_dir).opponent
    assert named.startswith(f"{model}@")
    assert main(["--resume", str(run_dir), "--opponent", str(model), "--steps", "350"]) == 0
    again = ["--map", "3m", "--opponent", str(run_dir / "best.pt"), "--run-dir", str(tmp_path / "next")]
    assert main([*again, "--steps", "100", *QUICK]) == 0
    capsys.readouterr()
    model.write_bytes(model.read_bytes() + b" ")
    assert main(["--resume", str(run_dir), "--steps", "400"]) == 2
    assert f"--opponent {model} has changed: it was {named[-12:]}, and is" in capsys.readouterr().err
    model.unlink()
    assert main(["--resume", str(run_dir), "--steps", "400"]) == 2
    assert "no such team and no such file" in capsys.readouterr().err
    for nothing, says in (
        ("", "--opponent '' names no team and no file"),
        (
            str(tmp_path),
            f"--opponent {tmp_path} is no model file but a folder of run directories (",
        ),
    ):
        assert main(["--map", "3m", "--opponent", nothing, "--run-dir", str(tmp_path / "none")]) == 2
        assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--map", "8m", "--opponent", str(ROOT / "zoo" / "3m.onnx")], "was made for another environment"),
        (
            ["--map", "3m", "--opponent", __file__],
            "is damaged, or no model file; lan-export makes one of a run",
        ),
        (["--map", "3m", "--opponent", "focuss"], "did you mean 'focus'"),
        (
            ["--map", "zerg_5_vs_5", "--opponent", "focus"],
            "nobody can command enemies that every episode draws",
        ),
        (["--map", "checkers", "--opponent", "focus"], "checkers has no enemies to command"),
        (["--map", "3m", "--sharing", "type"], "all agents of 3m are of one type, marine"),
        (["--map", "checkers", "--sharing", "type"], "the agents of checkers have no types"),
        (["--map", "checkers", "--algorithm", "iql-nofog"], "checkers has no fog"),
        (["--map", "3m", "--algorithm", "iql-nofog", "--env", "smac"], "--env sc2 plays the same game"),
        (["--map", "3mm:no-fog"], "'3m'"),
        (["--map", "zerg_5_vs_6"], "did you mean 'zerg_5_vs_5'"),
        (["--map", "zerg_5_vs_5", "--sharing", "type"], "of other types in every episode"),
        (["--map", "zerg_5_vs_5", "--env", "sc2"], "zerg_5_vs_5 is none"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(
    words: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words) == 2
    assert says in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_resumed_run_keeps_its_sharing() -> None:
    with pytest.raises(InputError, match="--sharing"):
        check_resumed(resolve(TrainConfig(map="2s3z")), resolve(TrainConfig(map="2s3z", sharing="type")))
