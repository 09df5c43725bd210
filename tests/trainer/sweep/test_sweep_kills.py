"""A sweep that is killed and started again, twice, ends with the result files of an undisturbed one."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from tests.paths import ROOT
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.metrics import read_metrics

pytest.importorskip("ray")

RUNS = ("checkers-iql-seed0", "checkers-iql-seed1", "checkers-lan-seed0", "checkers-lan-seed1")
SETTINGS = (
    "--maps", "checkers", "--algorithms", "iql", "lan", "--seeds", "2", "--workers", "1",
    "--envs", "4", "--batch-episodes", "4", "--eval-episodes", "1", "--eval-interval-steps", "400",
    "--log-interval-steps", "100",
)  # fmt: skip
DEADLINE_S = 300


def start_sweep(out: Path, steps: int = 1_600) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "trainer.sweep.cli", *SETTINGS, "--steps", str(steps), "--out", str(out)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def finish(process: subprocess.Popen[bytes]) -> str:
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output.decode()
    return output.decode()


def wait_until(what: str, happened: Any) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not happened():
        assert time.monotonic() < deadline, f"{what} never happened"
        time.sleep(0.01)


def has_lines(run_dir: Path, count: int) -> bool:
    path = run_dir / "metrics.jsonl"
    return path.exists() and path.read_bytes().count(b"\n") >= count


def kill(process: subprocess.Popen[bytes], *, workers: bool) -> list[psutil.Process]:
    """SIGKILL the driver and, if asked, everything it started; returns what it had started."""
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGKILL)
    for other in started if workers else []:
        if other.is_running():
            other.kill()
    process.communicate(timeout=60)
    return started


def results(out: Path) -> dict[str, tuple[list[str], str, Any]]:
    found = {}
    for name in RUNS:
        records = [
            {k: v for k, v in r.items() if not k.startswith("wall_")} for r in read_metrics(out / name)
        ]
        finished = (out / name / "finished.json").read_text()
        found[name] = ([json.dumps(record) for record in records], finished, load_checkpoint(out / name))
    return found


@pytest.mark.slow
def test_an_interrupted_sweep_ends_when_its_runs_have_saved(tmp_path: Path) -> None:
    process = start_sweep(tmp_path, steps=1_000_000)  # 1 600 steps may end before the signal arrives
    run_dir = tmp_path / "checkers-iql-seed0"
    wait_until("the first training", lambda: has_lines(run_dir, 2))
    started = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(signal.SIGTERM)
    output, _ = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, output.decode()
    assert not psutil.wait_procs(started, timeout=30)[1]
    assert "stopping: saving" in (run_dir / "train.log").read_text()
    assert load_checkpoint(run_dir).env_steps > 0
    assert not (tmp_path / "checkers-iql-seed1" / "config.json").exists()


@pytest.mark.slow
def test_a_killed_sweep_started_again_leaves_the_files_of_an_undisturbed_one(tmp_path: Path) -> None:
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    finish(start_sweep(whole))
    first, second = killed / "checkers-iql-seed0", killed / "checkers-lan-seed0"

    process = start_sweep(killed)
    wait_until("the first run's second evaluation", lambda: has_lines(first, 4))
    orphans = kill(process, workers=False)
    wait_until("the end of the workers", lambda: not psutil.wait_procs(orphans, timeout=0)[1])

    process = start_sweep(killed)
    wait_until("the second run's second evaluation", lambda: has_lines(second, 4))
    finished = first / "finished.json"
    assert finished.exists()
    before = finished.stat().st_mtime_ns
    kill(process, workers=True)

    assert "4 runs on --env sim, 1 finished" in finish(start_sweep(killed))
    assert finished.stat().st_mtime_ns == before
    expected, found = results(whole), results(killed)
    for name in RUNS:
        assert found[name][:2] == expected[name][:2], name
        one, other = dict(found[name][2].learner), dict(expected[name][2].learner)
        assert one.pop("deployed") == other.pop("deployed")  # a name, the rest are numbers
        torch.testing.assert_close(one, other, rtol=0, atol=0)
