"""The benchmark against the real game: whole battles, how numbers are compared, and what it refuses."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks.real_game import __main__ as command
from benchmarks.real_game import comparison, scripted
from benchmarks.real_game.comparison import Number, Real, compare
from envs.battle.env import BattleEnv
from envs.smac.maps import MAP_NAMES, load_map

MAP = load_map("3m")
N = MAP.n_agents


def run(*words: str) -> int:
    return command.main(list(words))


def real(mean: float, error: float = 0.1, team: str = "random") -> Real:
    return Real("3m", team, "return", mean, error)


def test_the_error_of_a_ratio_takes_a_battle_as_one_draw() -> None:
    total, count = np.array([2.0, 6.0, 4.0]), np.array([1.0, 2.0, 1.0])
    found = comparison.ratio(total, count)
    assert found.mean == 3.0
    assert found.error == pytest.approx(math.sqrt(1.5 * (1 + 0 + 1)) / 4)
    assert math.isnan(comparison.ratio(np.zeros(2), np.zeros(2)).mean)
    alone = comparison.ratio(np.array([3.0, 0.0]), np.array([2.0, 0.0]))
    assert alone.mean == 1.5
    assert math.isnan(alone.error)


def test_a_mean_has_the_standard_error_of_independent_values() -> None:
    assert comparison.mean(np.array([1.0, 3.0])) == Number(2.0, pytest.approx(1.0))
    assert math.isnan(comparison.mean(np.array([1.0])).error)


@pytest.mark.parametrize(
    ("ours", "difference", "missed"),
    [(2.5, 0.0, False), (3.1, 0.1, False), (3.3, 0.3, True), (1.8, -0.2, True), (2.0, 0.0, False)],
)
def test_the_difference_is_from_the_interval_of_the_real_numbers(
    ours: float, difference: float, missed: bool
) -> None:
    row = compare("3m", "return", Number(ours, 0.0), [real(2.0), real(3.0)], share=0.05)
    assert row.difference == pytest.approx(difference)
    assert row.missed == missed
    assert row.combined_errors == pytest.approx(difference / 0.1)


def test_the_larger_bound_counts_and_none_demands_nothing() -> None:
    two_errors = compare("3m", "return", Number(1.25, 0.1), [real(1.0)], share=0.05, errors=2.0)
    assert two_errors.allowed == pytest.approx(2 * math.hypot(0.1, 0.1))
    assert not two_errors.missed
    assert not compare("3m", "return", Number(99.0, 0.1), [real(1.0)], errors=2.0).missed
    alone = compare("3m", "return", Number(99.0, 0.1), [])
    assert math.isnan(alone.difference)
    assert not alone.missed
    json.dumps(comparison.as_data(alone), allow_nan=False)


def test_the_table_names_maps_and_where_its_numbers_come_from() -> None:
    rows = comparison.real_numbers("")
    assert len({(row.map, row.team, row.metric) for row in rows}) == len(rows)
    assert {row.map for row in rows} <= set(MAP_NAMES)
    assert all(row.source and math.isfinite(row.mean) for row in rows)
    assert len(comparison.real_numbers("heuristic")) == 14
    assert len({row.map for row in comparison.real_numbers("random")}) == 10


def test_every_episode_is_played_once_and_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    ended: list[tuple[int, bool]] = []

    class Watched(BattleEnv):
        def close(self) -> None:
            done = self._battles.terminated | self._battles.truncated
            ended.extend(zip(self.episodes.tolist(), done.tolist(), strict=True))
            super().close()

    monkeypatch.setattr(scripted, "BattleEnv", Watched)
    monkeypatch.setattr(scripted, "SIDE_BY_SIDE", 8)
    played = scripted.play_random("3m", 20, seed=1)
    assert ended == [(episode, True) for episode in range(20)]
    assert {len(values) for values in played.values()} == {20}
    lost_or_out_of_time = (played["dead_allies"] == N) | (played["length_steps"] == MAP.episode_limit)
    assert (lost_or_out_of_time | (played["win_rate"] == 1)).all()
    again = scripted.play_random("3m", 20, seed=1)
    assert all((again[metric] == values).all() for metric, values in played.items())


def test_a_random_teams_actions_are_uniform_over_the_available_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    counts = np.zeros(MAP.spec.n_actions)
    expected = np.zeros(MAP.spec.n_actions)

    class Counted(BattleEnv):
        def step(self, actions: Any) -> Any:
            going = ~(self._battles.terminated | self._battles.truncated)
            np.add.at(counts, actions[going].ravel(), 1)
            avail = self._avail[going].reshape(-1, MAP.spec.n_actions)
            expected[:] += (avail / avail.sum(axis=1, keepdims=True)).sum(axis=0)
            return super().step(actions)

    monkeypatch.setattr(scripted, "BattleEnv", Counted)
    scripted.play_random("3m", 100, seed=2)
    assert counts.sum() == pytest.approx(expected.sum())
    assert np.abs(counts - expected).max() < 5 * math.sqrt(expected.max())


def test_the_part_random_prints_ours_beside_the_real_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("random", "--maps", "3m", "--battles", "20", "--json") == 0
    shown = capsys.readouterr()
    rows = {row["metric"]: row for row in json.loads(shown.out)["random"]}
    assert rows["return"]["real"][0]["team"] == "random, epsilon 1"
    assert rows["return"]["allowed"] > 0
    assert rows["dead_enemies"]["allowed"] is None
    assert "20 of 20 battles" in shown.err
    assert run("random", "--maps", "3m", "--battles", "20") == 0
    table = capsys.readouterr().out
    assert f"{rows['return']['ours']:.4g} ± " in table


def test_a_map_without_real_numbers_is_played_when_it_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("random", "--maps", "3s_vs_3z", "--battles", "4", "--json") == 0
    rows = json.loads(capsys.readouterr().out)["random"]
    assert {(row["map"], row["difference"]) for row in rows} == {("3s_vs_3z", None)}
    assert all(row["real"] == [] and not row["missed"] for row in rows)


def test_the_part_untrained_has_the_first_evaluations_of_learners_beside_ours(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = torch.random.get_rng_state()
    assert run("untrained", "--maps", "3m", "--battles", "96", "--json") == 0
    assert torch.equal(torch.random.get_rng_state(), before)
    shown = capsys.readouterr().out
    rows = {row["metric"]: row for row in json.loads(shown)["untrained"]}
    assert set(rows) == {"return", "length_steps", "dead_allies"}
    assert all(row["standard_error"] > 0 for row in rows.values()), "of three networks"
    assert 0 <= rows["dead_allies"]["ours"] <= N
    assert rows["length_steps"]["ours"] <= MAP.spec.episode_limit
    assert rows["return"]["real"][0]["source"] == "PyMARL logs, QMIX, 12 runs"
    assert run("untrained", "--maps", "3m", "--battles", "96", "--json") == 0
    assert capsys.readouterr().out == shown


def test_the_part_heuristic_has_the_published_rate_beside_ours(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("heuristic", "--maps", "3s_vs_5z", "--battles", "8", "--json") == 0
    (row,) = json.loads(capsys.readouterr().out)["heuristic"]
    assert (row["map"], row["real"][0]["mean"]) == ("3s_vs_5z", 0.0)
    assert 0 <= row["ours"] <= 1


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["randon"], "unknown part 'randon': did you mean 'random'"),
        (["random", "--maps", "3mm"], "unknown map '3mm'"),
        (["random", "--battles", "1"], "--battles must be at least 2"),
        (["random", "--seed", "-1"], "--seed not negative"),
        (["replays"], "needs --folder"),
        (["layout", "--recording", "nowhere.npz"], "cannot read the recording nowhere.npz"),
        (["forced", "heuristic", "--maps", "MMM"], "no real number of MMM in forced, heuristic"),
    ],
)
def test_what_cannot_be_played_is_refused_in_one_line(
    words: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(*words) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert complaint in shown.err
    assert shown.err.count("\n") == 1


def test_the_parts_that_need_no_battles_print_a_table_each(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("formation", "layout", "forced") == 0
    shown = capsys.readouterr().out
    assert [line for line in shown.splitlines() if line.startswith("##")] == [
        "## formation", "## layout", "## forced",
    ]  # fmt: skip
    assert "| 3m | damage_to_enemies |" in shown
