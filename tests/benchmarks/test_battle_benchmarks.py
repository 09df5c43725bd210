"""The benchmarks of the simulator and of scripted teams measure what they say."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from exporters.evaluate import main
from tests.paths import ROOT


def benchmark(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", *words],
        capture_output=True,
        text=True,
        timeout=300,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )


@pytest.mark.slow
def test_the_simulators_cost_is_split_into_its_parts_for_every_number_of_battles() -> None:
    flags = ["--map", "3m", "2s3z", "--battles", "1", "16", "--seconds", "0.2", "--memory", "--json"]
    done = benchmark("benchmarks.simulator", *flags)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    cases = {(case["map"], case["battles"]): case for case in report["cases"]}
    assert set(cases) == {("3m", 1), ("3m", 16), ("2s3z", 1), ("2s3z", 16)}
    for case in cases.values():
        assert set(case["us_per_step"]) == {"physics", "views", "actions", "python"}
        assert case["us_per_step"]["physics"] > 0
        assert 0 < case["steps_per_s"] <= 1.2 * case["steps_per_core_s"] * case["threads"]
    assert cases["3m", 16]["steps_per_core_s"] > cases["3m", 1]["steps_per_core_s"]
    assert 0 < report["memory_mb_1024_corridor"] < 200


def test_our_speed_is_measured_beside_those_who_are_installed() -> None:
    done = benchmark("benchmarks.peers", "--map", "3m", "--seconds", "0.1", "--rounds", "1", "--json")
    assert done.returncode == 0, done.stderr
    speeds = json.loads(done.stdout)["steps_per_processor_s"]["3m"]
    assert {"batched", "StarCraft2Env"} <= set(speeds)
    assert speeds["batched"] > speeds["StarCraft2Env"] > 0
    table = benchmark("benchmarks.peers", "--map", "3m", "--seconds", "0.1", "--rounds", "1").stdout
    assert table.splitlines()[0] == "| map | batched | StarCraft2Env | SMAClite | official SMAC |"
    refused = benchmark("benchmarks.peers", "--map", "3mm")
    assert (refused.returncode, "did you mean '3m'" in refused.stderr) == (2, True)


@pytest.mark.slow
def test_the_table_of_teams_has_the_numbers_of_lan_eval(capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--map", "3m", "2s3z", "--team", "nearest", "heuristic", "--battles", "16", "--seed", "1"]
    table = benchmark("benchmarks.teams", *flags)
    assert table.returncode == 0, table.stderr
    head, line, *rows = (row.strip("| ").split(" | ") for row in table.stdout.splitlines())
    assert (head, len(line)) == (["map", "nearest", "heuristic"], 1)
    assert [row[0] for row in rows] == ["3m", "2s3z"]
    assert main(["--team", "heuristic", "--map", "2s3z", "--episodes", "16", "--seed", "1", "--json"]) == 0
    evaluated = json.loads(capsys.readouterr().out)
    assert rows[1][2] == f"{100 * evaluated['win_rate']:.0f}"


def test_what_cannot_be_played_is_refused_in_one_line() -> None:
    done = benchmark("benchmarks.teams", "--map", "3mm")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "benchmarks.teams: error: unknown map '3mm': did you mean '3m', '8m'?\n"
