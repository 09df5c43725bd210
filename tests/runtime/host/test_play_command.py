from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from envs.make import env_spec
from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text
from runtime.host.environment import map_to_play
from tests.paths import ROOT
from tests.runtime.support.processes import free_ports, run, started
from tests.runtime.support.small_models import model_bytes


def report_of(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_lan_play_plays_the_simulator_and_reports(tmp_path: Path) -> None:
    model = tmp_path / "3m.onnx"
    model.write_bytes(model_bytes(env_spec("3m")))
    port = free_ports(3)
    agents = ",".join(f"127.0.0.1:{port + index}" for index in range(3))
    with started(
        "agents", "--model", model, "--agents", "0-2", "--listen", f"127.0.0.1:{port}", until="agents serve"
    ):
        flags = ["--map", "3m", "--env", "sim", "--agents", agents, "--episodes", "3", "--seed", "7"]
        reports = [report_of(run("play", *flags, "--json")) for _ in range(2)]
        for report in reports:
            assert (report["map"], report["backend"], report["episodes"]) == ("3m", "sim", 3)
            assert report["fallbacks"] == 0
            assert 0 <= report["won"] <= 3
            assert {"win_rate", "return_mean", "latency_ms"} <= set(report)
        # the same seed is the same battles, whoever asks
        assert reports[0]["return_mean"] == reports[1]["return_mean"]
        table = run("play", *flags, "--record", tmp_path / "battles.html")
        assert "3m on sim, seed 7" in table.stdout
        assert "battles won" in table.stdout
        page = (tmp_path / "battles.html").read_text()
        data = json.loads(page.partition('id="data">')[2].partition("</script>")[0])
        assert data["player"] == "agents over gRPC"
        assert len(data["battles"]) == 3
        assert all("advantages" in battle for battle in data["battles"])
        assert "started by lan-play" not in table.stdout
        other = run("play", "--map", "8m", "--env", "sim", "--agents", agents)
        assert (other.returncode, other.stdout) == (2, "")
        assert "trained for another environment than '8m'" in other.stderr
        assert "Traceback" not in other.stderr


def test_the_map_of_a_model_is_the_same_by_name_by_file_and_by_default(tmp_path: Path) -> None:
    model, file = tmp_path / "one.onnx", tmp_path / "one.json"
    file.write_text(file_text(map_of_line("a marine against a zealot", "one")))
    spec = env_spec(file)
    model.write_bytes(model_bytes(spec))
    assert {map_to_play(given, model) for given in (None, str(file), spec.name)} == {spec.name}


@pytest.mark.parametrize("given", ["8m", "3m:no-fog", "checkers"])
def test_a_model_of_another_map_is_refused_before_a_process_starts(tmp_path: Path, given: str) -> None:
    model = tmp_path / "3m.onnx"
    model.write_bytes(model_bytes(env_spec("3m")))
    done = run("play", "--map", given, "--env", "sim", "--model", model)
    assert (done.returncode, done.stdout) == (2, "")
    said = f"lan-play: error: --map {given}: {model} was made for 3m; leave --map out to play that"
    assert done.stderr.splitlines() == [said]


def test_lan_play_starts_the_agents_of_a_model_itself(tmp_path: Path) -> None:
    model, page = tmp_path / "3m.onnx", tmp_path / "battles.html"
    model.write_bytes(model_bytes(env_spec("3m")))
    done = run("play", "--map", "3m", "--env", "sim", "--model", model, "--episodes", "2", "--record", page)
    assert done.returncode == 0, done.stderr
    assert "3 agents started, one process each" in done.stderr
    assert "3, started by lan-play, one process each" in done.stdout
    assert "agent 0" not in done.stderr  # what the agents themselves say is not shown
    data = json.loads(page.read_text().partition('id="data">')[2].partition("</script>")[0])
    assert (data["player"], len(data["battles"])) == ("agents over gRPC", 2)


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        (["--map", "3mm", "--agents", "127.0.0.1:1"], "unknown map '3mm'"),
        (["--map", "3m", "--agents", "127.0.0.1"], "is no address"),
        (["--map", "3m", "--agents", "127.0.0.1:1,127.0.0.1:1"], "is named twice"),
        (["--map", "3m", "--agents", "127.0.0.1:1", "--episodes", "0"], "--episodes 0"),
        (["--map", "3m", "--agents", "127.0.0.1:1", "--deadline-ms", "0"], "--deadline-ms"),
        (["--map", "3m", "--agents", "127.0.0.1:1", "--env", "moon"], "unknown environment backend"),
        (
            ["--map", "3m", "--agents", "127.0.0.1:1", "--connect-timeout-s", "0.3"],
            "agent at 127.0.0.1:1 does not answer",
        ),
        (["--map", "3m"], "give either --model FILE"),
        (["--map", "3m", "--agents", "127.0.0.1:1", "--maap"], "--maap"),
    ],
)
def test_what_cannot_be_played_is_said_with_exit_code_2(flags: list[str], says: str) -> None:
    done = run("play", *flags)
    assert done.returncode == 2
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_the_enemies_can_obey_a_scripted_team(tmp_path: Path) -> None:
    model = ROOT / "zoo" / "3m.onnx"
    words = ["play", "--model", model, "--env", "sim", "--episodes", "3", "--json"]
    done = run(*words, "--opponent", "focus")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert (report["map"], report["opponent"], report["won"] < 2) == ("3m", "focus", True)


def test_without_a_map_the_models_own_is_played(tmp_path: Path) -> None:
    done = run("play", "--model", ROOT / "zoo" / "3m.onnx", "--env", "sim", "--episodes", "1")
    assert done.returncode == 0, done.stderr
    assert "3m on sim, seed 0, 1 battles" in done.stderr
    refused = run("play", "--agents", "127.0.0.1:1")
    assert refused.returncode == 2
    assert "say which map the agents play" in refused.stderr
    code = tmp_path / "code.onnx"
    code.write_bytes(model_bytes(replace(env_spec("3m"), name="pettingzoo:os")))
    refused = run("play", "--model", code)
    assert refused.returncode == 2
    assert "asks to import code, as the environment 'pettingzoo:os'" in refused.stderr
