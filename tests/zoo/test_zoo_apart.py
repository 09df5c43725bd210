"""The zoo's teams act as separate processes as they act in one process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from envs.make import make_env
from envs.smac.maps import MAP_NAMES
from runtime.model_file.loader import load_model
from tests.paths import ROOT
from tests.runtime.support.playing import play_in_process
from tests.runtime.support.processes import run

ZOO = ROOT / "zoo"
TEAMS = sorted({*MAP_NAMES, *(path.stem for path in ZOO.glob("*.onnx"))})
"""Every map, so that a team that is missing is missed."""
BATTLES = 16
SEED = 4_711


def played_apart(model: Path, map_name: str, record: Path) -> tuple[dict[str, Any], list[Any]]:
    """The report of `lan-play --model`, and the actions [T][N] of each battle."""
    where = ("--map", map_name, "--env", "sim", "--model", model, "--deadline-ms", "60000", "--json")
    done = run("play", *where, "--episodes", BATTLES, "--seed", SEED, "--record", record)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout), [json.loads(line)["actions"] for line in record.read_text().splitlines()]


def played_together(model: Path, map_name: str) -> list[Any]:
    """The actions of the same battles, by the model in this process, all agents in one batch."""
    with make_env(map_name, "sim", seed=SEED) as env:
        return [actions.tolist() for actions in play_in_process(load_model(model), env, BATTLES)]


@pytest.mark.slow
@pytest.mark.parametrize("map_name", TEAMS)
def test_battles_of_separate_processes_equal_those_of_one_action_by_action(
    map_name: str, tmp_path: Path
) -> None:
    model = ZOO / f"{map_name}.onnx"
    assert model.is_file(), f"the zoo has no team for {map_name}"
    report, apart = played_apart(model, map_name, tmp_path / "actions.jsonl")
    assert (report["own_agents"], report["fallbacks"], report["episodes"]) == (True, 0, BATTLES)
    assert apart == played_together(model, map_name)
    assert len({action for battle in apart for joint in battle for action in joint}) > 1
