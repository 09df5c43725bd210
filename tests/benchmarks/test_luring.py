"""Who lures: worked out by hand on battles with few units, and measured on a team that does not."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.luring import Battle, main, packs_of, seen_in, table
from envs.outcomes import EpisodeStats
from envs.smac.shown import ShownUnits
from tests.paths import ROOT

Place = tuple[float, float]


def units(agents: list[Place], enemies: list[Place], dead: set[int]) -> ShownUnits:
    """Units that stand there; `dead` are numbers of units."""
    places = np.array([*agents, *enemies], float)
    zeros, whole = np.zeros(len(places)), np.zeros(len(places), np.int64)
    alive = np.array([i not in dead for i in range(len(places))]).astype(np.int64)
    fields = dict.fromkeys(ShownUnits._fields, zeros) | {"types": whole, "shot_at": whole, "alive": alive}
    return ShownUnits(**fields | {"x": places[:, 0], "y": places[:, 1]})


def test_a_pack_is_of_an_agent_whose_team_is_out_of_sight() -> None:
    enemies = [(20.0, 1.0), (22.0, 0.0), (3.0, 0.0), (40.0, 0.0)]  # the last is in nobody's sight
    assert packs_of(units([(0, 0), (1, 0), (20, 0)], enemies, set()), 3).tolist() == [0, 0, 2]
    assert packs_of(units([(0, 0), (1, 0), (9, 0)], enemies, set()), 3).tolist() == [0, 0, 0], "they see it"
    assert packs_of(units([(0, 0), (1, 0), (20, 0)], enemies, {3}), 3).tolist() == [0, 0, 1], "one is dead"
    assert packs_of(units([(0, 0), (1, 0), (20, 0)], enemies, {1}), 3).tolist() == [1, 0, 2], "each is alone"
    assert packs_of(units([(0, 0), (1, 0), (20, 0)], enemies, {0, 1}), 3).tolist() == [0, 0, 0], "no team"


def test_what_was_seen_in_a_battle() -> None:
    packs = [[[0, 0]], [[0, 7]], [[6, 9]], [[0, 0]]]  # [T, B, N]
    lives = [[[1, 1]], [[1, 1]], [[1, 1]], [[1, 0]]]
    steps = [(np.array(p), np.array(live, bool)) for p, live in zip(packs, lives, strict=True)]
    stat = EpisodeStats(20.0, 4, True)
    assert seen_in(stat, steps, 0) == Battle(1, 4, 1, 2, 9, 3, 4)
    assert seen_in(stat, steps[:1], 0) == Battle(1, 4, -1, 0, 0, 0, 0)


def test_the_table_counts_won_and_lost_battles_apart() -> None:
    rows = table([Battle(1, 9, 3, 2, 9, 4, 5), Battle(1, 9, 3, 1, 7, 6, 0), Battle(0, 9, -1, 0, 0, 0, 0)], 6)
    assert "| won | 2 | 2 | 2, agent 3 | 8 | 5 | 5 in 1 |" in rows
    assert "| lost | 1 | 0 | - | - | - | - |" in rows


def test_a_team_that_stays_together_does_not_lure(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = tmp_path / "nearest.csv"
    assert main(["corridor", "--team", "nearest", "--episodes", "40", "--csv", str(data)]) == 0
    assert "| lost | " in capsys.readouterr().out
    lines = data.read_text().splitlines()
    assert lines[0] == "won,length_steps,agent,steps,largest_pack,last_step,fell_at_step"
    assert len(lines) == 41


def test_smac_s_own_team_attacks_at_any_distance(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["corridor", "--team", "heuristic", "--episodes", "2"]) == 0
    assert "| won | 0 |" in capsys.readouterr().out


def test_no_model_is_lost_to_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = tmp_path / "3m.onnx"
    model.write_bytes((ROOT / "zoo" / "3m.onnx").read_bytes())
    before = model.read_bytes()
    assert main(["3m", "--model", str(model), "--episodes", "1", "--csv", str(model)]) == 2
    assert f"--csv {model} is --model too" in capsys.readouterr().err
    assert model.read_bytes() == before


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["corridor"], "say who plays"),
        (["checkers", "--team", "nearest"], "no map of SMAC's"),
        (["corridor", "--team", "nearst"], "nearest"),
        (["corridor", "--model", "zoo/3m.onnx"], "was made for 3m, not corridor"),
        (["corridor", "--team", "nearest", "--episodes", "0"], "must be at least 1"),
        (["corridor", "--team", "nearest", "--csv", "nowhere/a.csv"], "there is no directory nowhere"),
    ],
)
def test_bad_input_is_one_sentence(words: list[str], says: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    error = capsys.readouterr().err
    assert says in error
    assert error.count("\n") == 1
