"""lan-sweep begins what is not finished, once, says what failed, and refuses to mix settings."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import tyro
from rich.console import Console

from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text
from tests.trainer.support.small_runs import without_clock
from trainer.config import TrainConfig, resolve
from trainer.runs.config_file import load_config
from trainer.sweep.cli import SweepConfig, conduct, main, make_jobs
from trainer.sweep.jobs import FINISHED_NAME, Job, plan_jobs, read_progress
from trainer.sweep.process import STOP_NAME, Outcome, run_job
from trainer.sweep.table import SAY_EVERY_S, PlainSweepDisplay, Row, make_table

SETTINGS = TrainConfig(env="sim", steps=1_000, value_gradient_to_gru=False, learning_rate=1e-3, threads=1)


class InOrder:
    """An executor that does one run per poll, in the order given; runs of `bad` seeds fail."""

    def __init__(self, bad: frozenset[int] = frozenset()) -> None:
        self.bad = bad
        self.queue: list[Job] = []
        self.done: list[str] = []

    def submit(self, job: Job) -> None:
        self.queue.append(job)

    def poll(self, timeout_s: float) -> list[tuple[Job, Outcome]]:
        job = self.queue.pop(0)
        self.done.append(job.name)
        if job.config.seed in self.bad:
            return [(job, Outcome("exit code 1", "the run diverged"))]
        evaluation = {"kind": "evaluation", "env_steps": 1_040, "win_rate": 0.5, "return_mean": 7.25}
        (job.run_dir / "metrics.jsonl").write_text(json.dumps(evaluation) + "\n")
        (job.run_dir / "run.pt").touch()
        (job.run_dir / FINISHED_NAME).write_text(json.dumps({"steps": job.config.steps}))
        return [(job, Outcome())]


def make_rows(out: Path, seeds: int, algorithms: tuple[str, ...] = ("lan", "qplex")) -> list[Row]:
    maps = ("3m", "checkers")
    told = [replace(SETTINGS, map=name, algorithm=learner) for name in maps for learner in algorithms]
    jobs = plan_jobs([resolve(config) for config in told], seeds, out)
    for job in jobs:
        job.run_dir.mkdir(parents=True, exist_ok=True)
    return [Row(job) for job in jobs]


def shown(rows: list[Row], height: int) -> str:
    console = Console(file=io.StringIO(), width=100)
    console.print(make_table(rows, height))
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_the_flags_of_a_run_give_its_settings(tmp_path: Path) -> None:
    for row in make_rows(tmp_path, seeds=2):
        assert resolve(tyro.cli(TrainConfig, args=row.job.flags())) == row.job.config
    other = replace(SETTINGS, map="3m", until_win_rate=0.9, bootstrap_on_timeout=True, run_dir=tmp_path)
    assert resolve(tyro.cli(TrainConfig, args=Job(resolve(other)).flags())) == resolve(other)


def test_a_map_of_ones_own_lies_in_the_run_directory(tmp_path: Path) -> None:
    """There every machine of a cluster finds it; the file that was named may change."""
    path = tmp_path / "duo.json"
    path.write_text(file_text(map_of_line("2 marines against a zealot, 16 x 12, limit 30", "duo")))
    settings = resolve(replace(SETTINGS, map=f"{path}:no-fog"))
    (job,) = plan_jobs([settings], 1, tmp_path / "out")
    path.unlink()
    job.make_folder()
    assert job.run_dir.name.startswith("duo@")
    assert resolve(tyro.cli(TrainConfig, args=job.flags())) == job.config
    resumed = tyro.cli(TrainConfig, args=job.resume_flags()[2:], default=job.config)
    assert (resumed.map, resumed.map_text) == (job.config.map, job.config.map_text)


def test_finished_runs_are_not_run_again_and_failed_ones_are(tmp_path: Path) -> None:
    executor = InOrder(bad=frozenset({1}))
    failures = conduct(make_rows(tmp_path, seeds=2), executor)
    assert len(executor.done) == len(set(executor.done)) == 8
    assert sorted(failures) == sorted(name for name in executor.done if name.endswith("seed 1"))
    again = InOrder()
    assert conduct(make_rows(tmp_path, seeds=3), again) == {}
    assert {name[-1] for name in again.done} == {"1", "2"}
    assert conduct(make_rows(tmp_path, seeds=3), last := InOrder()) == {}
    assert last.done == []
    rows = make_rows(tmp_path, seeds=1)  # of two runs, checkpoint and metrics were lost
    (rows[0].job.run_dir / "run.pt").unlink()
    (rows[1].job.run_dir / "metrics.jsonl").write_text("")
    conduct(make_rows(tmp_path, seeds=1), lost := InOrder())
    assert lost.done == [rows[0].job.name, rows[1].job.name]


def test_a_sweep_made_longer_equals_one_that_was_told_at_once(tmp_path: Path) -> None:
    short = TrainConfig(map="checkers", env="sim", algorithm="iql", steps=300, envs=2, threads=1)
    short = replace(short, batch_episodes=2, first_update_episodes=2, eval_interval_steps=100)
    short = replace(short, eval_episodes=1, log_interval_steps=100)
    long = replace(short, steps=600)

    def run(settings: TrainConfig, out: Path) -> Path:
        (job,) = plan_jobs([resolve(settings)], 1, out)
        job.run_dir.mkdir(parents=True, exist_ok=True)
        assert not job.finished
        assert run_job(job.run_dir, job.flags(), job.resume_flags()) == Outcome()
        assert job.finished
        return job.run_dir

    run(short, tmp_path / "grown")
    grown, whole = run(long, tmp_path / "grown"), run(long, tmp_path / "whole")
    assert load_config(grown) == replace(load_config(whole), run_dir=grown)
    assert (grown / FINISHED_NAME).read_text() == (whole / FINISHED_NAME).read_text()
    assert without_clock(grown) == without_clock(whole)


def test_the_sweep_says_each_change_in_logs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    conduct(make_rows(tmp_path, seeds=1, algorithms=("lan",)), InOrder())
    assert capsys.readouterr().out.splitlines() == [
        "3m lan seed 0: finished, 1,040 steps, win rate 50%, return 7.25  (1 of 2 ended)",
        "checkers lan seed 0: finished, 1,040 steps, win rate 50%, return 7.25  (2 of 2 ended)",
    ]


def test_logs_hear_of_a_long_run_now_and_then(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    row, waiting = make_rows(tmp_path, seeds=1, algorithms=("lan",))
    (row.job.run_dir / "train.log").write_text("== lan-train\n")
    clock = 1_000.0
    monkeypatch.setattr("trainer.sweep.table.time.monotonic", lambda: clock)
    display = PlainSweepDisplay([row, waiting])
    for steps, seconds in ((0, 0.0), (100, 10.0), (250, SAY_EVERY_S - 1), (300, SAY_EVERY_S)):
        clock = 1_000.0 + seconds
        metrics = [{"kind": "train", "env_steps": steps}]
        (row.job.run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in metrics))
        row.refresh()
        display.show()
    assert capsys.readouterr().out.splitlines() == [
        "3m lan seed 0: training, 0 steps  (0 of 2 ended)",
        "3m lan seed 0: training, 300 steps, 5 min 0 s, 11 min 40 s left  (0 of 2 ended)",
    ]


def test_the_table_has_a_line_per_run_and_keeps_to_the_screen(tmp_path: Path) -> None:
    rows = make_rows(tmp_path, seeds=10)
    conduct(rows[:5], InOrder(bad=frozenset({1})))
    text = shown(rows, height=len(rows))
    assert "lan-sweep: 40 runs: 4 finished, 1 failed, 35 waiting" in text
    assert len(text.splitlines()) == 2 + 40
    assert max(len(line.rstrip()) for line in text.splitlines()) <= 100
    small = shown(rows, height=6)
    assert "failed" in small.splitlines()[2]  # what finished makes room for what needs a look
    assert "and 34 more runs" in small
    assert len(small.splitlines()) == 2 + 6 + 1


def test_a_run_that_begins_is_seen_by_its_log(tmp_path: Path) -> None:
    row = make_rows(tmp_path, seeds=1)[0]
    row.refresh()
    assert row.state == "waiting"
    (row.job.run_dir / "train.log").write_text("== lan-train\n")
    lines = [{"kind": "evaluation", "env_steps": 0, "win_rate": 0.25, "return_mean": 1.0}]
    lines.append({"kind": "train", "env_steps": 400})
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (row.job.run_dir / "metrics.jsonl").write_text(text + '{"kind": "tr')  # still being written
    row.refresh()
    assert (row.state, row.progress.env_steps, row.progress.win_rate) == ("training", 400, 0.25)
    assert row.left_s is not None
    assert read_progress(tmp_path).env_steps == 0


def test_a_run_that_cannot_begin_says_so_by_its_log(tmp_path: Path) -> None:
    outcome = run_job(tmp_path, ["--map", "3n", "--env", "sim", "--run-dir", str(tmp_path)], [])
    assert outcome.error == "exit code 2"
    assert "did you mean '3m'" in outcome.log_tail
    assert outcome.log_tail in (tmp_path / "train.log").read_text()
    away = run_job(tmp_path / "elsewhere", [], [])
    assert away.error is not None
    assert "must share --out" in away.error


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("", "--maps 3m"),
        ("--maps 3m --algorithms lam", "did you mean 'lan'"),
        ("--maps 3m --algorithms", "--algorithms lan"),
        ("--maps 3m checkers --algorithms lan iql-nofog", "checkers"),
        ("--maps 3n", "did you mean '3m'"),
        ("--maps checker", "did you mean 'checkers'"),
        ("--maps 2s3z 3m --sharing type", "all agents of 3m are of one type"),
        ("--maps spread:none", "spread:3"),
        ("--maps 3m --seeds 0", "--seeds must be at least 1"),
        ("--maps 3m --steps 0", "--steps must be at least 1"),
        ("--maps 3m --workers 1 --threads 2", "--workers is 1"),
        ("--maps 3m --workers 1 --ray-address auto", "--ray-address"),
        ("--maps 3m --gpu-share 2", "--gpu-share"),
        ("--maps 3m --gpu-share .5", "without --device cuda"),
        ("--maps 3m --device cuda:99", "torch sees"),
    ],
)
def test_bad_input_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, named: str
) -> None:
    assert main([*words.split(), "--env", "sim", "--out", str(tmp_path / "sweep")]) == 2
    assert named in capsys.readouterr().err
    assert not (tmp_path / "sweep").exists()


def test_a_map_that_is_named_twice_is_learned_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("one.json").write_text(file_text(map_of_line("a marine against a zealot", "one")))
    config = SweepConfig(maps=("one.json", "3m", "./one.json", "3m"), seeds=1, out=tmp_path / "sweep")
    assert [job.config.map.partition("@")[0] for job in make_jobs(config)] == ["one", "3m"]


def test_a_file_in_a_runs_place_is_named_before_ray_begins(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("RAY_TMPDIR", "/proc/no/ray")
    (tmp_path / "3m-lan-seed0").touch()
    words = ["--maps", "3m", "--seeds", "1", "--steps", "100", "--env", "sim", "--workers", "1"]
    assert main([*words, "--out", str(tmp_path)]) == 2
    assert f"{tmp_path / '3m-lan-seed0'} is no folder; move it away" in capsys.readouterr().err


def test_a_sweep_of_other_settings_is_not_mixed_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (job,) = plan_jobs([resolve(replace(SETTINGS, map="3m", gamma=0.9))], 1, tmp_path)
    job.run_dir.mkdir()
    (job.run_dir / "config.json").write_text(json.dumps({"config": job.config.to_dict(), "backend": "sim"}))
    words = ["--maps", "3m", "--seeds", "1", "--env", "sim", "--out", str(tmp_path)]
    words += ["--learning-rate", "1e-3", "--no-value-gradient-to-gru"]
    assert main([*words, "--steps", "2000"]) == 2
    assert "holds a run of other settings (--gamma was 0.9, now 0.99): " in capsys.readouterr().err
    assert main([*words, "--steps", "500", "--gamma", "0.9"]) == 2
    assert "holds a run of other settings (--steps was 1000, now 500): " in capsys.readouterr().err


def test_what_changes_no_number_may_change_and_reaches_the_run(tmp_path: Path) -> None:
    settings = resolve(replace(SETTINGS, map="3m"))
    (job,) = plan_jobs([settings], 1, tmp_path)
    job.run_dir.mkdir()
    (job.run_dir / "config.json").write_text(json.dumps({"config": job.config.to_dict(), "backend": "sim"}))
    free = {"threads": 2, "device": "cuda", "keep_checkpoints": 1, "replay_memory": 0.5, "rollout_workers": 3}
    (again,) = plan_jobs([replace(settings, steps=2_000, **free)], 1, tmp_path)
    asked = tyro.cli(TrainConfig, args=again.resume_flags())
    assert (asked.resume, asked.steps) == (job.run_dir, 2_000)
    assert {name: getattr(asked, name) for name in free} == free


def test_a_run_that_still_waits_when_its_sweep_stops_does_not_begin(tmp_path: Path) -> None:
    (tmp_path / STOP_NAME).touch()
    assert run_job(tmp_path, ["--map", "3m"], []) == Outcome("stopped before it began")
    assert not any(tmp_path.iterdir())


def test_without_ray_the_sweep_says_what_to_install(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    assert main(["--maps", "3m", "--env", "sim", "--out", str(tmp_path)]) == 2
    assert "lan-smac[sweep]" in capsys.readouterr().err
