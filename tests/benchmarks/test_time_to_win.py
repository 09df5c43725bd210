"""The time to win is read from metrics, runs that have not won count as at least theirs, and runs go on."""

import csv
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.time_to_win import main
from benchmarks.win_times import Bounds, Group, TimedRun, find_runs, group, markdown_table, read_run
from envs.errors import InputError
from tests.paths import ROOT
from trainer.config import TrainConfig, resolve, run_name
from trainer.sweep.process import STOP_NAME


def write_run(
    out: Path,
    rates: list[float],
    preset: str = "fast",
    seed: int = 0,
    share: float | None = 0.9,
    **extra: Any,
) -> Path:
    """A run with an evaluation of each win rate, at 0, 1 000 and so on steps, 10 processor seconds apart."""
    config = resolve(
        TrainConfig(map="3m", env="sim", preset=preset, seed=seed, until_win_rate=share, threads=1)
    )
    run_dir = out / preset / run_name(config)
    run_dir.mkdir(parents=True)
    (run_dir / "config.json").write_text(json.dumps({"config": config.to_dict()}))
    lines = []
    for number, rate in enumerate(rates):
        clocks = {"env_steps": 1_000 * number, "updates": 5 * number, "wall_s": 20.0 * number}
        clocks |= {"wall_processor_s": 10.0 * number} | extra
        lines += [clocks | {"kind": "train"}] * (number > 0)
        lines += [clocks | {"kind": "evaluation", "win_rate": rate}]
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run_dir


def timed(processor_s: float, *, won: bool = True, preset: str = "fast", seed: int = 0) -> TimedRun:
    steps = int(100 * processor_s)
    return TimedRun(
        "3m", "lan", preset, seed, won, processor_s, 2 * processor_s, steps, steps // 50, 0.5, 0.5, ""
    )


def group_of(*seconds: float, preset: str = "fast") -> Group:
    """Runs of so many processor seconds; a negative number stands for one that has not won by then."""
    return Group([timed(abs(s), won=s > 0, preset=preset, seed=seed) for seed, s in enumerate(seconds)])


def test_a_run_wins_at_the_second_good_evaluation_in_a_row(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, [0.0, 0.95, 0.5, 0.9, 0.92, 1.0, 0.2]), 0.9)
    assert (run.map, run.algorithm, run.preset, run.seed, run.won) == ("3m", "lan", "fast", 0, True)
    assert (run.processor_s, run.wall_s, run.env_steps, run.updates) == (40.0, 80.0, 4_000, 20)
    assert (run.best_win_rate, run.last_win_rate) == (0.95, 0.92)


def test_a_run_that_has_not_won_has_its_last_and_best_win_rate(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, [0.0, 0.95, 0.5, 0.9, 0.7]), 0.9)
    assert not run.won
    assert (run.processor_s, run.env_steps, run.best_win_rate, run.last_win_rate) == (40.0, 4_000, 0.95, 0.7)


def test_a_run_without_a_line_has_taken_no_time(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path, []), 0.9)
    assert (run.won, run.processor_s, run.best_win_rate, run.last_win_rate) == (False, 0.0, None, None)


@pytest.mark.parametrize(
    ("seconds", "median", "text"),
    [
        ((60, 50, 70), Bounds(60, 60), "60 (50 to 70)"),
        ((50, 60, -70), Bounds(60, 60), "60 (50 to > 70)"),
        ((50, -60, -70), Bounds(60, math.inf), "> 60 (50 to > 70)"),
        (
            (50, 60, 70, 80, -10),
            Bounds(60, 70),
            "> 60 (> 10 to > 80)",
        ),  # stopped early: it may be the slowest
        ((100, -500), Bounds(300, math.inf), "> 300 (100 to > 500)"),
        ((100, 200), Bounds(150, 150), "150 (100 to 200)"),
        ((-1234,), Bounds(1234, math.inf), "> 1,234"),
    ],
)
def test_a_run_that_has_not_won_counts_as_at_least_its_time(
    seconds: tuple[float, ...], median: Bounds, text: str
) -> None:
    runs = group_of(*seconds)
    assert runs.median("processor_s") == median
    assert runs.text("processor_s") == text


@pytest.mark.parametrize(
    ("paper", "fast", "ratio"),
    [
        ((250, 350), (60,), "5.0"),
        ((-300,), (60,), "> 5.0"),
        ((300,), (-60,), "< 5.0"),
        ((-300,), (-60,), "?"),
    ],
)
def test_presets_are_compared_by_their_medians(
    paper: tuple[float, ...], fast: tuple[float, ...], ratio: str
) -> None:
    lines = markdown_table([group_of(*fast), group_of(*paper, preset="paper")]).splitlines()
    assert [line.split(" | ")[-1].strip(" |") for line in lines[2:]] == [ratio, ""]
    assert len({line.count("|") for line in lines}) == 1


def test_several_folders_are_read_and_written_as_csv(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_run(tmp_path / "a", [0.0, 1.0, 1.0]) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"versions": {"commit": "abc, def"}}))
    write_run(tmp_path / "a", [0.0, 0.5], seed=1)
    write_run(tmp_path / "b", [0.0] * 4 + [0.9, 0.9], preset="paper")
    target = tmp_path / "runs.csv"
    out = [str(tmp_path / name) for name in "ab"]
    assert main(["--report", "--out", *out, "--csv", str(target)]) == 0
    table = capsys.readouterr().out.splitlines()
    assert table[2] == (
        "| 3m | lan | fast | 1 of 2 | > 15 (> 10 to > 20) | > 30 (> 20 to > 40) "
        "| > 1,500 (> 1,000 to > 2,000) | > 8 (> 5 to > 10) | < 3.3 |"
    )
    assert table[3] == "| 3m | lan | paper | 1 of 1 | 50 | 100 | 5,000 | 25 |  |"
    rows = list(csv.DictReader(target.read_text().splitlines()))
    assert [(row["preset"], row["seed"], row["won"], row["processor_s"]) for row in rows] == [
        ("fast", "0", "1", "20.0"),
        ("fast", "1", "0", "10.0"),
        ("paper", "0", "1", "50.0"),
    ]
    assert [row["commit"] for row in rows] == ["abc, def", "", ""]
    assert main(["--out", *out, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [(each["preset"], each["won"]) for each in printed["groups"]] == [("fast", 1), ("paper", 1)]
    assert printed["groups"][0]["processor_s_median"] == {"at_least": 15.0, "at_most": None}
    assert len(printed["runs"]) == 3


def test_a_higher_share_is_refused_where_runs_stop_at_a_lower_one(tmp_path: Path) -> None:
    write_run(tmp_path, [0.0, 0.6, 0.6], share=0.5)
    assert find_runs([tmp_path], 0.5)[0].won
    with pytest.raises(InputError, match=r"stops at a win rate of 0\.5"):
        find_runs([tmp_path], 0.9)


def test_a_run_that_lies_there_twice_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_run(tmp_path / name, [0.0])
    with pytest.raises(InputError, match=r"3m lan fast seed 0 is there 2 times .*a/fast.*b/fast"):
        find_runs([tmp_path / "a", tmp_path / "b"], 0.9)


def test_metrics_without_processor_seconds_are_refused(tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, [0.0, 0.1])
    old = re.sub(r', "wall_processor_s": [\d.]+', "", (run_dir / "metrics.jsonl").read_text())
    (run_dir / "metrics.jsonl").write_text(old)
    with pytest.raises(InputError, match=r"without 'wall_processor_s', as earlier versions"):
        group(find_runs([tmp_path], 0.9))


@pytest.mark.parametrize(
    ("name", "value"),
    [("win_rate", "x"), ("win_rate", None), ("win_rate", 50), ("win_rate", math.nan),
     ("wall_processor_s", "x"), ("wall_s", None), ("env_steps", -3)],
)  # fmt: skip
def test_damaged_numbers_are_refused(name: str, value: object, tmp_path: Path) -> None:
    run_dir = write_run(tmp_path, [0.0, 0.1])
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    lines[-1][name] = value
    (run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with pytest.raises(InputError, match=f"damaged line: its {name} is "):
        find_runs([tmp_path], 0.9)


def test_a_file_of_a_run_is_not_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run_dir = write_run(tmp_path, [0.0, 0.1])
    before = (run_dir / "config.json").read_bytes()
    assert main(["--report", "--out", str(tmp_path), "--csv", str(run_dir / "config.json")]) == 2
    assert "name another file" in capsys.readouterr().err
    assert (run_dir / "config.json").read_bytes() == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("3m --presets fats", "unknown preset 'fats': did you mean 'fast'"),
        ("3m --algorithms qmx", "unknown algorithm 'qmx': did you mean 'qmix'"),
        ("3n", "3n"),
        ("3m --seeds 0", "--seeds must be at least 1"),
        ("3m --win-rate 1.5", "--win-rate must be at least 0 and at most 1"),
        ("3m --steps 0", "--steps must be at least 1"),
        ("3m --workers 0", "--workers must be at least 1"),
        ("3m --processor-limit-s nan", "--processor-limit-s must be above 0"),
        ("3m --out a b", "--out must be one folder"),
        ("3m --csv nowhere/runs.csv", "there is no directory nowhere"),
        ("--report --out nothing", "no runs in nothing"),
        ("--report --seeds 7", "--seeds would change nothing: nothing is trained; leave it out"),
        ("--algorithms qmix", "--algorithms would change nothing"),
    ],
)
def test_bad_input_is_one_sentence(
    words: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(words.split()) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_with_runs_of_other_settings_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_run(tmp_path, [0.0, 0.6, 0.6], share=0.5)
    before = sorted(tmp_path.rglob("*"))
    assert main(["3m", "--presets", "fast", "--seeds", "1", "--out", str(tmp_path)]) == 2
    assert "--until-win-rate was 0.5, now 0.9" in capsys.readouterr().err
    assert sorted(tmp_path.rglob("*")) == before


SHORT = ("--seeds", "1", "--win-rate", "0")


def command(out: Path, *words: str) -> list[str]:
    flags = ["checkers", "--presets", "paper", "--out", str(out), *words]
    return [sys.executable, "-m", "benchmarks.time_to_win", *flags]


def call(out: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(out, *words), cwd=ROOT, capture_output=True, text=True, timeout=300)


def test_a_real_run_is_timed_and_not_run_again(tmp_path: Path) -> None:
    done = call(tmp_path, *SHORT, "--steps", "100")
    assert done.returncode == 0, done.stderr
    assert re.search(r"checkers lan seed 0 paper: won after .* 0 updates  \(1 of 1 ended\)", done.stderr)
    (run,) = find_runs([tmp_path], 0.0)
    assert run.won
    assert run.env_steps >= 100
    assert 0 < run.processor_s < 60
    metrics = tmp_path / "paper" / "checkers-lan-seed0" / "metrics.jsonl"
    before = metrics.stat().st_mtime_ns
    again = call(tmp_path, *SHORT, "--steps", "100")
    assert (again.returncode, again.stdout) == (0, done.stdout)
    assert "1 runs, 1 ended before" in again.stderr
    assert metrics.stat().st_mtime_ns == before


@pytest.mark.slow
def test_a_run_stops_at_its_limit_and_goes_on_without_it(tmp_path: Path) -> None:
    first = call(tmp_path, *SHORT, "--processor-limit-s", "0.1")
    assert first.returncode == 0, first.stderr
    assert re.search(r"not won after .*, best win rate 0%, last 0%  \(1 of 1 ended\)", first.stderr)
    assert "| 0 of 1 | > " in first.stdout
    (stopped,) = find_runs([tmp_path], 0.0)
    second = call(tmp_path, *SHORT)
    assert second.returncode == 0, second.stderr
    (won,) = find_runs([tmp_path], 0.0)
    assert won.won
    assert won.env_steps >= 10_000 > stopped.env_steps  # the second evaluation
    assert 0.1 <= stopped.processor_s < won.processor_s < 120
    assert "== lan-train --resume" in (tmp_path / "paper" / "checkers-lan-seed0" / "train.log").read_text()


@pytest.mark.slow
def test_an_interrupted_benchmark_leaves_runs_that_saved_and_no_process(tmp_path: Path) -> None:
    process = subprocess.Popen(
        command(tmp_path, "--seeds", "3", "--workers", "2"),
        cwd=ROOT, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    begun = [tmp_path / "paper" / f"checkers-lan-seed{seed}" for seed in range(2)]
    deadline = time.monotonic() + 120
    while not all((run_dir / "run.pt").exists() for run_dir in begun):
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert "the runs save" in errors
    for run_dir in begun:
        assert "stopped; go on with lan-train --resume" in (run_dir / "train.log").read_text()
        assert not (run_dir / STOP_NAME).exists()
    assert not (tmp_path / "paper" / "checkers-lan-seed2" / "config.json").exists()
    with pytest.raises(ProcessLookupError):  # its trainings have their own sessions, so look for their locks
        os.killpg(process.pid, 0)
    assert [(run_dir / "lock").read_text() for run_dir in begun] == ["", ""]
