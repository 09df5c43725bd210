"""The absolute metric of runs, its table, and runs in marl-eval's form."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from exporters.evaluate import main as lan_eval
from trainer import TrainConfig, train
from trainer.plots.cli import main as lan_plot
from trainer.runs.absolute import BATTLES, SEED, load_absolute
from trainer.runs.assembly import EVALUATION_SEED_OFFSET
from trainer.runs.metrics import read_metrics


def small_run(folder: Path, seed: int, algorithm: str = "lan") -> Path:
    run_dir = folder / f"3m-{algorithm}-seed{seed}"
    train(
        TrainConfig(
            map="3m", env="sim", algorithm=algorithm, seed=seed, run_dir=run_dir, threads=1, steps=400,
            envs=4, eval_interval_steps=200, eval_episodes=4, batch_episodes=4, first_update_episodes=4,
        )
    )  # fmt: skip
    return run_dir


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("runs")
    return [small_run(folder, seed, algorithm) for algorithm in ("lan", "vdn") for seed in (0, 1, 2)]


def test_an_evaluation_keeps_every_battle(runs: list[Path]) -> None:
    evaluations = [record for record in read_metrics(runs[0]) if record["kind"] == "evaluation"]
    assert len(evaluations) == 3
    for record in evaluations:
        battles = record["battles"]
        assert {name: len(values) for name, values in battles.items()} == {
            "return": 4,
            "length_steps": 4,
            "won": 4,
        }
        assert record["win_rate"] == sum(battles["won"]) / 4
        assert record["return_mean"] == pytest.approx(sum(battles["return"]) / 4)
        assert record["episode_length_steps"] == sum(battles["length_steps"]) / 4


def test_the_absolute_metric_is_the_best_checkpoints_and_has_a_table(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [*map(str, runs), "--out", str(tmp_path / "a.png"), "--force"]
    marl_eval = tmp_path / "runs.json"
    for path in runs[:-1]:
        assert lan_eval(["--absolute", str(path)]) == 0
    assert lan_plot(words) == 0
    said = capsys.readouterr()
    assert "Absolute metric" not in said.out, "a run lacks it"
    assert f"1 of 6 runs lack the absolute metric, {runs[-1]} among them" in said.err
    assert lan_plot([*words, "--marl-eval", str(marl_eval)]) == 2
    assert f"no absolute metric of its best.pt yet: lan-eval --absolute {runs[-1]}" in capsys.readouterr().err
    assert not marl_eval.exists()
    assert lan_eval(["--absolute", str(runs[-1])]) == 0
    metric = load_absolute(runs[-1])
    assert metric is not None
    assert {len(values) for values in metric.battles.values()} == {BATTLES}
    assert metric.seed == SEED
    capsys.readouterr()
    assert (
        lan_eval(
            ["--ckpt", str(runs[-1] / "best.pt"), "--episodes", str(BATTLES), "--seed", str(SEED), "--json"]
        )
        == 0
    )
    same = json.loads(capsys.readouterr().out)
    assert (same["win_rate"], same["return_mean"]) == (metric.win_rate, metric.return_mean)
    assert lan_plot([*words, "--marl-eval", str(marl_eval)]) == 0
    assert (
        "Absolute metric: the win rate of each run's best checkpoint over 320 battles."
        in capsys.readouterr().out
    )
    curves, absolute, again = (tmp_path / name for name in ("curves.csv", "absolute.csv", "b.png"))
    assert lan_plot([*words, "--data", str(curves), "--absolute-data", str(absolute)]) == 0
    printed = capsys.readouterr().out
    assert absolute.read_text().splitlines()[0] == "map,backend,contract_version,algorithm,seed,won,battles"
    assert f"3m,sim rules 2,2,vdn,2,{sum(metric.battles['won']):.0f},320" in absolute.read_text().splitlines()
    assert lan_plot([str(curves), str(absolute), "--out", str(again), "--force"]) == 0
    assert capsys.readouterr().out == printed, "the same tables from the data"
    assert lan_plot([str(absolute), "--out", str(again), "--force"]) == 2
    assert "holds the absolute metric alone" in capsys.readouterr().err
    other = tmp_path / "other.csv"
    other.write_text(absolute.read_text().replace(",sim rules 2,", ",sc2,"))
    assert lan_plot([str(curves), str(other), "--out", str(again), "--force"]) == 2
    assert "it has a line of a run that is not in a CSV file of --data" in capsys.readouterr().err
    lacking = tmp_path / "lacking.csv"
    lacking.write_text("\n".join(absolute.read_text().splitlines()[:-1]) + "\n")
    for given, unused, told in (
        ([str(curves), str(lacking)], [], "it has no line of a run that is, seed "),
        ([*map(str, runs), str(absolute)], [], "it has a line of a run that is not in a CSV file"),
        ([str(curves), str(absolute)], ["--until", "200"], "--until: the file of the absolute metric"),
    ):
        assert lan_plot([*given, "--out", str(again), "--force", *unused]) == 2
        assert told in capsys.readouterr().err
    assert lan_plot([str(curves), str(absolute), str(absolute), "--out", str(again), "--force"]) == 2
    assert "has a line already" in capsys.readouterr().err
    for flag in ("--absolute-data", "--marl-eval"):
        assert lan_plot([*words, "--until", "200", flag, str(tmp_path / "late")]) == 2
        assert "after --until 200" in capsys.readouterr().err
    absolute.write_text(absolute.read_text().replace(",320", ",100"))
    assert lan_plot([str(curves), str(absolute), "--out", str(again), "--force"]) == 2
    assert "the absolute metric is 320 battles" in capsys.readouterr().err
    data = json.loads(marl_eval.read_text())
    assert list(data) == ["smac"]
    assert set(data["smac"]["3m"]) == {"lan", "vdn"}
    seeds = data["smac"]["3m"]["vdn"]
    assert set(seeds) == {"seed_0", "seed_1", "seed_2"}
    steps = {name: entry for name, entry in seeds["seed_2"].items() if name != "absolute_metrics"}
    assert [entry["step_count"] for entry in steps.values()] == [0, 200, 400]
    assert {len(entry["win_rate"]) for entry in steps.values()} == {4}
    assert seeds["seed_2"]["absolute_metrics"]["return"] == metric.battles["return"]


def test_marl_eval_reads_the_file_where_it_is_installed(runs: list[Path], tmp_path: Path) -> None:
    processing = pytest.importorskip("marl_eval.utils.data_processing_utils")
    for path in runs:
        if load_absolute(path) is None:
            assert lan_eval(["--absolute", str(path)]) == 0
    out, file = tmp_path / "a.png", tmp_path / "runs.json"
    assert lan_plot([*map(str, runs), "--out", str(out), "--force", "--marl-eval", str(file)]) == 0
    data = processing.data_process_pipeline(json.loads(file.read_text()), metrics_to_normalize=["return"])
    matrices, _ = processing.create_matrices_for_rliable(data, "smac", ["return"])
    assert matrices["mean_win_rate"]["lan"].shape == (3, 1)


@pytest.mark.parametrize(
    "battles", [None, {}, [1], {"won": ["x"], "return": [1.0], "length_steps": [1]}, {"won": 5}, float("nan")]
)
def test_damaged_battles_are_no_marl_eval_file(
    battles: object, runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if load_absolute(runs[0]) is None:
        assert lan_eval(["--absolute", str(runs[0])]) == 0
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    records = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    for record in records:
        if record["kind"] == "evaluation":
            record["battles"] = battles
    (run / "metrics.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    file = tmp_path / "e.json"
    assert lan_plot([str(run), "--out", str(tmp_path / "a.png"), "--marl-eval", str(file)]) == 2
    assert "its battles are damaged" in capsys.readouterr().err
    assert not file.exists()


def test_the_best_checkpoint_of_another_run_has_no_metric_here(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.copytree(runs[0], tmp_path / "run", ignore=shutil.ignore_patterns("absolute.json"))
    shutil.copy(runs[1] / "best.pt", tmp_path / "run" / "best.pt")
    assert lan_eval(["--absolute", str(tmp_path / "run")]) == 2
    assert "best.pt and " in (error := capsys.readouterr().err)
    assert "are of different runs (--seed was " in error
    assert not (tmp_path / "run" / "absolute.json").exists()


def test_what_has_no_absolute_metric_is_one_sentence(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare, seen, broken = (tmp_path / name for name in ("bare", "seen", "broken"))
    for path in (bare, seen, broken):
        path.mkdir()
        (path / "config.json").write_bytes((runs[0] / "config.json").read_bytes())
    config = json.loads((seen / "config.json").read_text())
    config["config"]["seed"] = SEED - EVALUATION_SEED_OFFSET
    (seen / "config.json").write_text(json.dumps(config))
    (broken / "best.pt").write_bytes(b"no checkpoint")
    for words, says in [
        (["--absolute", str(bare)], "it has no best.pt yet"),
        (["--absolute", str(seen)], "has seen the battles of the absolute metric"),
        (["--absolute", str(broken)], "best.pt"),
        (["--absolute", str(tmp_path)], "no run directory but a folder of run directories (3, such as"),
        (["--absolute", str(runs[0]), "--seed", "3"], "--seed: the absolute metric is 320 battles"),
        (["--absolute", str(runs[0]), "--seed=0"], "--seed: the absolute metric is 320 battles"),
        (["--absolute", str(runs[0]), "--episodes", "32"], "--episodes: the absolute metric is 320 battles"),
        (["--absolute", str(runs[0]), "--env", "sim"], "--env: the absolute metric"),
        (["--absolute", str(runs[0]), "--ckpt", str(runs[0])], "give one of --ckpt FILE"),
    ]:
        assert lan_eval(words) == 2
        error = capsys.readouterr().err
        assert says in error
        assert error.count("\n") == 1
    (bare / "metrics.jsonl").write_bytes((runs[0] / "metrics.jsonl").read_bytes())
    for text, says in (
        ("{}", "holds no absolute metric"),
        ("[", "cannot be read"),
        ('{"win_rate": 7}', "holds no"),
    ):
        (bare / "absolute.json").write_text(text)
        assert lan_plot([str(bare), "--out", str(tmp_path / "a.png")]) == 2
        assert says in capsys.readouterr().err


def test_a_metric_of_another_checkpoint_does_not_count(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(runs[0], run)
    assert lan_eval(["--absolute", str(run)]) == 0
    metric = load_absolute(run)
    assert metric is not None
    capsys.readouterr()
    words = [str(run), "--out", str(tmp_path / "a.png"), "--force"]
    assert lan_plot(words) == 0
    assert "Absolute metric" in capsys.readouterr().out
    assert lan_plot([*words, "--until", "1"]) == 0
    assert "Absolute metric" not in capsys.readouterr().out, "its checkpoint is of later"
    data = json.loads((run / "absolute.json").read_text())
    (run / "absolute.json").write_text(json.dumps(data | {"win_rate": 0.123}))
    assert lan_plot(words) == 2
    (run / "absolute.json").write_text(json.dumps(data))
    (run / "best.pt").unlink()  # which may be a second name of run.pt
    (run / "best.pt").write_bytes(b"another checkpoint")
    assert load_absolute(run) is None, "best.pt is a newer one"
    (run / "best.pt").unlink()
    assert load_absolute(run) == metric, "best.pt was cleared away"
