"""How a sweep ends: what it advises, who may write beside it, and runs that do not stop."""

import fcntl
import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import trainer.sweep.process as process
from envs.errors import InputError
from trainer.config import TrainConfig, resolve
from trainer.plots.cli import main as lan_plot
from trainer.sweep.advice import plot_command
from trainer.sweep.cli import LOCK_NAME, Sitting, conduct, hold, main
from trainer.sweep.jobs import Job, plan_jobs, read_progress
from trainer.sweep.process import Outcome, describe_exit, log_tail, run_job, wait_for
from trainer.sweep.table import Row

SETTINGS = TrainConfig(map="checkers", env="sim", steps=1_000, eval_interval_steps=100)


def finished(out: Path, ends: list[int], **changes: object) -> list[Job]:
    """Runs of as many seeds, which were evaluated at every hundredth step until their ends."""
    jobs = plan_jobs([resolve(replace(SETTINGS, **changes))], len(ends), out)
    for job, end in zip(jobs, ends, strict=True):
        job.run_dir.mkdir(parents=True)
        data = {"config": job.config.to_dict(), "backend": "sim", "spec": {"contract_version": 1}}
        (job.run_dir / "config.json").write_text(json.dumps(data))
        steps = [point + 7 * (point > 0) for point in range(0, end + 1, 100)]
        lines = [{"kind": "evaluation", "env_steps": each, "win_rate": 0.5} for each in steps]
        (job.run_dir / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return jobs


@pytest.mark.parametrize("folder", ["sweep", "my sweeps; $HOME", "it's", "-x"])
@pytest.mark.parametrize("ends", [[1_000, 1_000], [400, 1_000, 700]])
def test_the_command_that_is_advised_draws_the_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: str, ends: list[int]
) -> None:
    out = tmp_path / folder
    jobs = finished(out, ends, until_win_rate=0.9 if ends[0] < 1_000 else None)
    (out / LOCK_NAME).touch()
    expand = f"printf '%s\\0' {plot_command(out, jobs)}"
    done = subprocess.run(["bash", "-c", expand], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    command, *words = done.stdout.split("\0")[:-1]
    assert command == "lan-plot"
    monkeypatch.chdir(tmp_path)
    assert lan_plot(words) == 0
    assert (tmp_path / "curves.png").exists()


@pytest.mark.parametrize("beside", ["curves.png", "another run"])
def test_what_else_lies_in_the_folder_is_not_drawn(tmp_path: Path, beside: str) -> None:
    jobs = finished(tmp_path / "sweep", [1_000, 1_000])
    if beside == "another run":
        finished(tmp_path / "sweep", [500], algorithm="iql", gamma=0.5)
    else:
        (tmp_path / "sweep" / beside).touch()
    words = shlex.split(plot_command(tmp_path / "sweep", jobs))
    assert words[1:3] == [str(job.run_dir) for job in jobs]


def test_metrics_that_are_gone_cost_the_advice_its_length_only(tmp_path: Path) -> None:
    jobs = finished(tmp_path / "sweep", [400, 1_000], until_win_rate=0.9)
    (jobs[0].run_dir / "metrics.jsonl").unlink()
    assert "--until" not in plot_command(tmp_path / "sweep", jobs)


def test_one_sweep_at_a_time_writes_to_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "sweep"
    words = ["--maps", "checkers", "--env", "sim", "--seeds", "1", "--out", str(out)]
    pytest.importorskip("ray")
    with hold(out):
        assert main(words) == 2
        assert "another sweep writes to" in capsys.readouterr().err
        with pytest.raises(InputError, match="another sweep writes to"), hold(out):
            pass
    with (out / LOCK_NAME).open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert [path.name for path in out.iterdir()] == [LOCK_NAME]


def test_a_folder_that_cannot_be_written_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    assert main(["--maps", "checkers", "--env", "sim", "--seeds", "1", "--out", "/proc/sweep"]) == 2
    assert "--out /proc/sweep: cannot be written" in capsys.readouterr().err


def test_a_sweep_that_is_asked_to_stop_starts_nothing_more(tmp_path: Path) -> None:
    jobs = plan_jobs([resolve(SETTINGS)], 3, tmp_path)
    sitting, done = Sitting(), []

    class StopsAfterOne:
        def submit(self, job: Job) -> None:
            pass

        def poll(self, timeout_s: float) -> list[tuple[Job, Outcome]]:
            sitting.stop_requested = True
            done.append(jobs[len(done)])
            return [(done[-1], Outcome())]

    for job in jobs:
        job.run_dir.mkdir()
    assert conduct([Row(job) for job in jobs], StopsAfterOne(), sitting) == {}
    assert done == jobs[:1]


PROGRAMS: dict[str, tuple[str, Callable[[int], bool]]] = {
    "saves": ("import time, signal, sys; signal.signal(15, lambda *_: sys.exit(0))", lambda code: code == 0),
    "never ends": ("import time, signal; signal.signal(15, signal.SIG_IGN)", lambda code: code == -9),
}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_run_that_does_not_stop_is_killed(tmp_path: Path, program: str) -> None:
    code, expected = PROGRAMS[program]
    run = subprocess.Popen(
        [sys.executable, "-c", f"{code}; print(1, flush=True); time.sleep(100)"], stdout=subprocess.PIPE
    )
    assert run.stdout is not None
    run.stdout.readline()
    (tmp_path / "stop").touch()
    began = time.monotonic()
    assert expected(wait_for(run, tmp_path / "stop", stop_wait_s=1.0))
    assert time.monotonic() - began < 20
    assert not (tmp_path / "stop").exists()
    run.stdout.close()


def test_a_run_that_cannot_be_started_is_an_outcome(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_more_processes(*_: object, **__: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(process.subprocess, "Popen", no_more_processes)
    outcome = run_job(tmp_path, ["--map", "3m"], [])
    assert outcome.error == "it cannot be started: Resource temporarily unavailable"
    (tmp_path / "train.log").unlink()
    (tmp_path / "train.log").mkdir()
    assert run_job(tmp_path, [], []).error == "it cannot be started: Is a directory"


def test_the_log_says_the_command_as_a_shell_reads_it(tmp_path: Path) -> None:
    words = ["--map", "pettingzoo:no such?a=1&b=$HOME", "--run-dir", str(tmp_path / "\udcff")]
    assert run_job(tmp_path, words, []).error is not None
    first = (tmp_path / "train.log").read_text().splitlines()[0].removeprefix("== lan-train ")
    read = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {first}"], capture_output=True, timeout=30, check=True
    )
    assert os.fsdecode(read.stdout).split("\0")[:-1] == words


def test_exits_and_logs_are_read_whatever_they_are(tmp_path: Path) -> None:
    assert [describe_exit(code) for code in (-9, -40, 0, 3)] == [
        "killed by SIGKILL", "killed by signal 40", "stopped before its end", "exit code 3",
    ]  # fmt: skip
    (tmp_path / "log").write_bytes(b"\xff" * 200_000 + b"\nlast\n")
    assert log_tail(tmp_path / "log").endswith("\nlast")
    assert len(log_tail(tmp_path / "log")) < 100_000
    assert log_tail(tmp_path / "none") == ""


@pytest.mark.parametrize("line", ["{}", "3", "[]", '{"kind": "evaluation"}', "nonsense"])
def test_a_line_of_metrics_that_is_none_stops_no_sweep(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    assert read_progress(tmp_path).env_steps == 0
