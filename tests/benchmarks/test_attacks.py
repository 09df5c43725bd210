"""Who attacks where it can: counted by hand on a policy that is written down, and on a team of the zoo."""

import csv
from pathlib import Path

import numpy as np
import pytest

from benchmarks.attacks import Attacker, Battle, main, table
from envs.types import BoolArray, FloatArray, IntArray
from tests.paths import ROOT

ADVANTAGES = np.array([
    [0, 0, 9, 0, 0, 0, 5, 6],  # moves, and its second attack is the better one
    [0, 0, 0, 0, 0, 0, 5, 6],  # attacks
    [0, 0, 9, 0, 0, 0, 5, 6],  # moves, and cannot attack
    [0, 0, 9, 0, 0, 0, 5, 6],  # moves, and can attack one enemy alone
], np.float32)  # fmt: skip
AVAILABLE = np.array([
    [0, 1, 1, 1, 1, 1, 1, 1],
    [0, 1, 1, 1, 1, 1, 1, 1],
    [0, 1, 1, 1, 1, 1, 0, 0],
    [0, 1, 1, 1, 1, 1, 1, 0],
], bool)  # fmt: skip


class Written:
    def initial_hidden(self, n_rows: int) -> FloatArray:
        return np.zeros((n_rows, 1), np.float32)

    def step(
        self, obs: FloatArray, last_action: IntArray, agent_id: IntArray, avail: BoolArray, hidden: FloatArray
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        return np.array([2, 7, 2, 2]), ADVANTAGES, hidden


@pytest.mark.parametrize(("always", "actions"), [(False, [2, 7, 2, 2]), (True, [7, 7, 2, 6])])
def test_agents_that_can_attack_are_counted_and_may_have_to(always: bool, actions: list[int]) -> None:
    attacker = Attacker(Written(), always=always)
    nothing, ids = np.zeros((4, 1), np.float32), np.arange(4)
    taken, advantages, _ = attacker.step(nothing, ids, ids, AVAILABLE, nothing)
    assert taken.tolist() == actions
    assert advantages is ADVANTAGES
    assert (attacker.could, attacker.did) == (3, 1)


def test_the_table_has_both_ways() -> None:
    battles = [Battle("own", 0, 10.0, 9), Battle("own", 1, 20.0, 9), Battle("attack", 1, 20.0, 9)]
    rows = table(battles, {"own": 0.5, "attack": 0.75})
    assert "| do as they choose | 50.0% | 1 of 2, 50.0% (9.5% to 90.5%) | 15.00 |" in rows
    assert "| always attack | 75.0% | 1 of 1, 100.0% (20.7% to 100.0%) | 20.00 |" in rows


def test_a_team_of_the_zoo_plays_both_ways(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "battles.csv"
    words = [str(ROOT / "zoo" / "3m.onnx"), "--episodes", "4", "--csv", str(data)]
    assert main(words) == 0
    assert "| do as they choose |" in capsys.readouterr().out
    rows = list(csv.DictReader(data.read_text().splitlines()))
    assert [row["way"] for row in rows] == ["own"] * 4 + ["attack"] * 4
    assert sum(int(row["won"]) for row in rows[:4]) == 4


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["zoo/3m.onnx", "--episodes", "0"], "--episodes must be at least 1"),
        (["zoo/3m.json"], "no model file but a card"),
        (["zoo/3m.onnx", "--csv", "zoo/3m.onnx"], "--csv zoo/3m.onnx is the model too"),
    ],
)
def test_bad_input_is_one_sentence(
    words: list[str], says: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert main(words) == 2
    assert says in capsys.readouterr().err
