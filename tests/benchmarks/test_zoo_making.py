"""benchmarks.zoo: the team that wins most is in the zoo, and its figures are those of other battles."""

import csv
import json
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import tyro

from benchmarks import zoo as making
from benchmarks.zoo import CARD_SEED, CHOOSING_SEED, main
from benchmarks.zoo_history import commands, settings_beyond
from envs.flags import flag_rules
from envs.types import RULES_VERSION
from exporters.contestants import onnx_contestant, torch_contestant
from exporters.evaluate import EvaluateConfig, Evaluation, evaluate
from exporters.team_card import load_card
from trainer import TrainConfig, resume, train
from trainer.config import resolve
from trainer.runs.checkpoint import load_checkpoint, save_checkpoint

TINY = TrainConfig(
    map="3m", env="sim", preset="fast", steps=600, envs=8, batch_episodes=4, replay_episodes=64,
    eval_episodes=4, eval_interval_steps=250, threads=1, value_gradient_to_gru=False, td_lambda=0.5,
)  # fmt: skip
RUNS = ("one", "two")


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two small runs in one folder."""
    folder = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(RUNS, 3):
        train(replace(TINY, seed=seed, run_dir=folder / name))
    return folder


@pytest.fixture
def zoo(tmp_path: Path) -> Path:
    """An empty zoo."""
    folder = tmp_path / "zoo"
    folder.mkdir()
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def strength(path: Path) -> tuple[int, float]:
    """Battles won and mean return of a run's best checkpoint in the battles by which teams are chosen."""
    flags = EvaluateConfig(ckpt=path, episodes=320, seed=CHOOSING_SEED)
    played = evaluate(torch_contestant(path), flags)
    return played.won, played.return_mean


@pytest.fixture(scope="module")
def weak_and_strong(runs: Path) -> list[Path]:
    """The two runs, the one whose checkpoints are best at last."""
    best = {runs / name: max(strength(runs / name / file) for file in ("best.pt", "run.pt")) for name in RUNS}
    assert len(set(best.values())) == 2
    return sorted(best, key=lambda run: best[run])


def test_a_run_becomes_a_team_with_a_card_a_curve_and_a_row(runs: Path, zoo: Path) -> None:
    run = runs / "one"
    assert main([str(run), "--zoo", str(zoo)]) == 0
    assert set(contents(zoo)) == {"3m.onnx", "3m.json", "3m.csv", "README.md"}
    card, last = load_card(zoo / "3m.onnx"), load_checkpoint(run)
    played = evaluate(
        onnx_contestant(zoo / "3m.onnx"),
        EvaluateConfig(model=zoo / "3m.onnx", episodes=320, seed=CARD_SEED),
    )
    assert (card.battles, card.won, card.return_mean) == (320, played.won, played.return_mean)
    assert card.win_rate_interval == played.win_rate_interval
    assert (card.run_env_steps, card.seed, card.rules) == (last.env_steps, 3, (RULES_VERSION,))
    assert card.run_core_minutes == round(last.clocks.processor_before_s / 60, 2)
    assert card.commit == json.loads((run / "config.json").read_text())["versions"]["commit"]
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    evaluations = [record for record in metrics if record["kind"] == "evaluation"]
    with (zoo / "3m.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, record in zip(rows, evaluations, strict=True):
        assert float(row["processor_s"]) == record["wall_processor_s"]
        for name in ("env_steps", "updates", "win_rate", "return_mean"):
            assert float(row[name]) == record[name]
    assert f"| 3m | {card.win_rate:.1%} (" in (zoo / "README.md").read_text()


def test_the_command_of_a_card_has_every_setting_of_the_run(runs: Path) -> None:
    of = making.read_run(runs / "one")
    settings = settings_beyond(of.made_by)
    words, _ = commands(of.made_by, "best.pt")
    config = tyro.cli(TrainConfig, args=shlex.split(words)[1:], registry=flag_rules())
    assert resolve(config) == replace(of.config, run_dir=None)
    assert settings["td_lambda"] == 0.5
    assert "gamma" not in settings
    assert "tmp" not in words


def test_a_setting_that_another_one_would_change_is_said(runs: Path) -> None:
    """A batch of 4 alone would begin with 4 episodes, and not with 32."""
    (stage,) = making.read_run(runs / "one").made_by
    given = replace(stage, config=replace(stage.config, first_update_episodes=32))
    settings = settings_beyond([given])
    assert (settings["batch_episodes"], settings["first_update_episodes"]) == (4, 32)
    said = {"map": "3m", "preset": "fast", "seed": stage.config.seed}
    assert resolve(TrainConfig(**said, **settings)) == replace(given.config, run_dir=None)


def test_a_run_that_was_stopped_says_the_steps_that_it_played(runs: Path, tmp_path: Path) -> None:
    """Its end was to be later; a resumed one says its own."""
    run = tmp_path / "run"
    shutil.copytree(runs / "one", run)
    data = json.loads((run / "config.json").read_text())
    data["config"]["steps"] = 900
    (run / "config.json").write_text(json.dumps(data))
    (of,) = making.read_run(run).made_by
    assert settings_beyond([of])["steps"] == of.last.env_steps < 900
    resume(run)
    assert settings_beyond(making.read_run(run).made_by)["steps"] == 900


def test_a_team_whose_run_began_with_anothers_networks_tells_of_both(runs: Path, zoo: Path) -> None:
    """Its commands, run one after the other where nothing is, make it again; its time is that of both."""
    shutil.copytree(runs / "one", runs / "older")
    config = runs / "older" / "config.json"  # which an older version wrote, by the rules of its day
    config.write_text(json.dumps(json.loads(config.read_text()) | {"rules": 1}))
    first = runs / "older" / "run.pt"
    second = replace(TINY, seed=3, run_dir=runs / "on", epsilon_start=0.05, init_from=str(first))
    train(second)
    assert main([str(runs / "on"), "--zoo", str(zoo)]) == 0
    card, source = load_card(zoo / "3m.onnx"), load_checkpoint(first)
    one, on, export = card.commands
    assert "--steps 600 " in one
    assert "--init-from runs/3m-lan-seed3/run.pt " in on
    assert on.endswith("--run-dir runs/3m-lan-seed3-2")
    assert "--ckpt runs/3m-lan-seed3-2/" in export
    seconds = source.clocks.processor_before_s + load_checkpoint(runs / "on").clocks.processor_before_s
    assert card.run_core_minutes == round(seconds / 60, 2)
    assert card.settings["init_from"] == "runs/3m-lan-seed3/run.pt"
    assert card.rules == (1, RULES_VERSION)
    assert str(runs) not in card.to_json()


@pytest.mark.parametrize("checkpoint", ["best.pt", "run.pt"])
def test_a_checkpoint_of_another_run_is_refused_before_any_battle(
    checkpoint: str, runs: Path, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "one", tmp_path / "run")
    shutil.copy(runs / "two" / checkpoint, tmp_path / "run" / checkpoint)
    assert main([str(tmp_path / "run"), "--zoo", str(zoo)]) == 2
    output = capsys.readouterr()
    assert "are of different runs (--seed was 4, now 3): put back" in output.err
    assert output.out == ""
    assert contents(zoo) == {}


def test_a_run_whose_beginning_is_gone_is_refused(
    runs: Path, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs / "one", tmp_path / "one")
    train(replace(TINY, run_dir=tmp_path / "on", init_from=str(tmp_path / "one" / "best.pt")))
    shutil.copy(runs / "two" / "best.pt", tmp_path / "one" / "best.pt")
    assert main([str(tmp_path / "on"), "--zoo", str(zoo)]) == 2
    assert "best.pt has changed" in capsys.readouterr().err
    (tmp_path / "one" / "best.pt").unlink()
    assert main([str(tmp_path / "on"), "--zoo", str(zoo)]) == 2
    assert "no such checkpoint" in capsys.readouterr().err
    assert contents(zoo) == {}


@pytest.mark.parametrize("in_one_go", [True, False])
def test_the_stronger_of_two_runs_stays_in_whatever_order(
    in_one_go: bool, weak_and_strong: list[Path], zoo: Path
) -> None:
    weak, strong = map(str, weak_and_strong)
    seed = json.loads((weak_and_strong[1] / "config.json").read_text())["config"]["seed"]
    if in_one_go:
        assert main([strong, weak, "--zoo", str(zoo)]) == 0
    else:
        assert main([weak, "--zoo", str(zoo)]) == 0
        assert load_card(zoo / "3m.onnx").seed != seed
        assert main([strong, "--zoo", str(zoo)]) == 0
    assert load_card(zoo / "3m.onnx").seed == seed
    before = contents(zoo)
    assert main([weak, "--zoo", str(zoo)]) == 0
    assert contents(zoo) == before


def test_the_battles_of_the_card_choose_nothing(
    weak_and_strong: list[Path], zoo: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are played once, by the chosen team, after the choice; and no run may have seen them."""
    played: list[tuple[int, str]] = []
    battles = making.battles

    def listening(file: Path, seed: int) -> Evaluation:
        played.append((seed, load_digest(file)))
        return battles(file, seed)

    monkeypatch.setattr(making, "battles", listening)
    assert main([*map(str, weak_and_strong), "--zoo", str(zoo)]) == 0
    *choosing, last = played
    assert {seed for seed, _ in choosing} == {CHOOSING_SEED}
    assert last == (CARD_SEED, load_card(zoo / "3m.onnx").sha256)
    assert CHOOSING_SEED != CARD_SEED


def load_digest(file: Path) -> str:
    return making.load_model(file).digest


def changed_config(**settings: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        data = json.loads((run / "config.json").read_text())
        data["config"] |= settings
        (run / "config.json").write_text(json.dumps(data))

    return change


def changed_checkpoint(**fields: Any) -> Callable[[Path], None]:
    def change(run: Path) -> None:
        save_checkpoint(run / "run.pt", replace(load_checkpoint(run), **fields))

    return change


def of_version_1(run: Path) -> None:
    import torch

    data = torch.load(run / "run.pt", weights_only=True)
    torch.save(data | {"contract_version": 1}, run / "run.pt")


def without_processor_time(run: Path) -> None:
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for line in lines:
        del line["wall_processor_s"]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no run": (shutil.rmtree, "there is no run directory"),
    "no checkpoint": (lambda run: (run / "run.pt").unlink(), "no checkpoint"),
    "old battlefield": (of_version_1, "made for the old battlefield"),
    "live game": (changed_checkpoint(backend="sc2"), "trained on sc2"),
    "no fog": (changed_config(algorithm="iql-nofog"), "3m:no-fog"),
    "another map": (changed_config(map="8m"), "8m"),
    "no SMAC map": (changed_config(map="checkers"), "checkers"),
    "battles of the choice": (changed_config(seed=CHOOSING_SEED), "train with another seed"),
    "battles of the card": (changed_config(seed=CARD_SEED - 1_000_003), "train with another seed"),
    "workers": (changed_config(rollout_workers=2), "Ray"),
    "no processor time": (without_processor_time, "wall_processor_s"),
    "no evaluation": (lambda run: (run / "metrics.jsonl").write_text(""), "no evaluation yet"),
    "no metrics": (lambda run: (run / "metrics.jsonl").write_text("x\n"), "cannot be used"),
    "damaged best.pt": (lambda run: (run / "best.pt").write_bytes(b"PK"), "best.pt"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_a_run_that_gives_no_honest_card_is_refused(
    name: str, runs: Path, zoo: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, said = REFUSED[name]
    shutil.copytree(runs / "one", tmp_path / "run")
    change(tmp_path / "run")
    assert main([str(tmp_path / "run"), "--zoo", str(zoo)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert contents(zoo) == {}


def test_a_team_in_the_zoo_that_is_not_its_cards_stops_the_choice(
    runs: Path, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be the better one."""
    assert main([str(runs / "one"), "--zoo", str(zoo)]) == 0
    (zoo / "3m.json").write_text("{}")
    before = contents(zoo)
    capsys.readouterr()
    assert main([str(runs / "two"), "--zoo", str(zoo)]) == 2
    assert "remove" in capsys.readouterr().err
    assert contents(zoo) == before


def test_a_zoo_whose_table_cannot_be_drawn_is_said_before_any_battle(
    runs: Path, zoo: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (zoo / "README.md").write_text("no marks\n")
    before = sorted(zoo.iterdir())
    assert main([str(next(runs.iterdir())), "--zoo", str(zoo)]) == 2
    said = capsys.readouterr()
    assert "README.md" in said.err
    assert "wins" not in said.out
    assert sorted(zoo.iterdir()) == before


def test_the_table_is_drawn_between_its_marks_alone(
    zoo: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert main(["--zoo", str(zoo)]) == 0
    drawn = (zoo / "README.md").read_text()
    assert drawn.count("not trained yet") == 23
    (zoo / "README.md").write_text(f"before\n{drawn}after\n".replace("not trained yet", "wins always"))
    assert main(["--zoo", str(zoo)]) == 0
    assert (zoo / "README.md").read_text() == f"before\n{drawn}after\n"
    (zoo / "README.md").write_text("no marks\n")
    assert main(["--zoo", str(zoo)]) == 2
    assert (zoo / "README.md").read_text() == "no marks\n"
    assert main(["--zoo", str(tmp_path / "nosuch")]) == 2
    assert "there is no such folder" in capsys.readouterr().err
