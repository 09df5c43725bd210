from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tests.paths import ROOT


@pytest.mark.slow
def test_the_serving_benchmark_measures_what_it_says() -> None:
    command = [sys.executable, "-m", "benchmarks.serving", "--map", "3m", "--agents", "3", "--steps", "100"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT, env=environment)
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert set(report["3 agents"]["joint_step_ms"]) == {"echo", "messages", "agents", "tls", "state"}
    assert all(0 < times["p50"] <= times["p99"] for times in report["3 agents"]["joint_step_ms"].values())
    assert report["3 agents"]["pss_mb_mean"] < report["single"]["rss_mb"] < 120
    assert set(report["single"]["step_us_memory_kept"]) == {"nowhere", "on disk", "on disk, fsync"}
