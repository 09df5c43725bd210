"""Runs that are killed again and again, anywhere, write what the run that nobody killed writes."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.paths import ROOT
from trainer.runs.metrics import read_metrics

ALGORITHMS = ("lan", "lan-mean", "iql", "vdn", "qmix", "qplex")
KILLS = 20
SETTINGS = (
    "--map", "3m", "--env", "sim", "--steps", "1600", "--seed", "3", "--envs", "4",
    "--eval-interval-steps", "250", "--eval-episodes", "4", "--log-interval-steps", "60",
    "--batch-episodes", "8", "--first-update-episodes", "8", "--replay-episodes", "40",
)  # fmt: skip


def lan_train(*words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        [sys.executable, "-m", "trainer.cli", *words], env=environment, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )  # fmt: skip


def lines(run_dir: Path) -> list[str]:
    return [
        json.dumps({k: v for k, v in record.items() if not k.startswith("wall_")})
        for record in read_metrics(run_dir)
    ]


def finish(process: subprocess.Popen[bytes]) -> None:
    output, _ = process.communicate(timeout=300)
    assert process.returncode == 0, output.decode()


def kill_within(process: subprocess.Popen[bytes], run_dir: Path, after_s: float) -> bool:
    """SIGKILL `after_s` after the run first wrote metrics; False when it had ended by then."""
    path, deadline = run_dir / "metrics.jsonl", time.monotonic() + 120
    before = path.stat().st_mtime_ns if path.exists() else 0
    while process.poll() is None and not (path.exists() and path.stat().st_mtime_ns > before):
        assert time.monotonic() < deadline, "the run never began"
        time.sleep(0.002)
    time.sleep(after_s)
    ended = process.poll() is not None
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=60)
    return not ended


@pytest.mark.slow
@pytest.mark.parametrize("overlap", ["off", "on"])
def test_twenty_kills_over_all_algorithms_change_no_line(tmp_path: Path, overlap: str) -> None:
    rng = np.random.default_rng(20)
    undisturbed_s: dict[str, float] = {}
    for algorithm in ALGORITHMS:
        whole = tmp_path / f"{algorithm}-whole"
        flags = [*SETTINGS, "--overlap", overlap, "--algorithm", algorithm]
        finish(lan_train(*flags, "--run-dir", str(whole)))
        undisturbed_s[algorithm] = read_metrics(whole)[-1]["wall_s"]
    kills = 0
    while kills < KILLS:
        for algorithm in ALGORITHMS:
            run_dir = tmp_path / f"{algorithm}-{kills}"
            flags = [*SETTINGS, "--overlap", overlap, "--algorithm", algorithm, "--run-dir", str(run_dir)]
            while kill_within(lan_train(*flags), run_dir, rng.random() * undisturbed_s[algorithm]):
                kills += 1
                flags = ["--resume", str(run_dir)]
                if rng.random() < 0.5:
                    break
            finish(lan_train("--resume", str(run_dir)))
            assert lines(run_dir) == lines(tmp_path / f"{algorithm}-whole"), f"{algorithm} in {run_dir}"
