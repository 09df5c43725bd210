"""Checkers solved exactly, with the environment's rules as tables; and who ate what, counted from states."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import checkers_policy
from benchmarks.checkers_optimum import (
    CELLS,
    FOODS,
    JOINT,
    PAIRS,
    eat,
    first_pair,
    food_bits,
    main,
    rules,
    settle,
)
from envs.checkers import APPLE, COLUMNS, DOWN, LEFT, LEMON, MOVES, NOTHING, SPEC, STAY, CheckersEnv
from envs.types import IntArray, MultiAgentEnv, Team, TimeStep
from exporters.contestants import Contestant


def test_the_tables_are_the_environments_rules() -> None:
    env, table, rng = CheckersEnv(), rules(), np.random.default_rng(0)
    env.reset()
    left, pair = (1 << FOODS) - 1, first_pair()
    for _ in range(3000):
        joint = int(rng.integers(JOINT))
        step = env.step(np.array([divmod(joint, len(MOVES))]))
        bits = table.bit[:, joint, pair] & left
        assert step.reward[0] == (table.pay[:, joint, pair] * (bits != 0)).sum()
        left, pair = left & ~int(bits[0]) & ~int(bits[1]), int(table.moved[joint, pair])
        row, column = env._position[0].T
        assert divmod(pair, CELLS) == tuple(row * COLUMNS + column)
        assert left == food_bits()[env._board[0].ravel() != NOTHING].sum()
        if step.done[0]:
            env.reset()
            left, pair = (1 << FOODS) - 1, first_pair()


def test_a_single_apple_is_worth_ten_discounted_by_the_way_to_it() -> None:
    values = np.zeros((PAIRS, 1), np.float32)  # with nothing left, nothing is worth anything
    left, table = np.array([1]), rules()  # the apple at (0, 0)
    values = settle(eat(np.hstack((values, values)), left, 0.9, table), left, 0.9, table)
    parked = CELLS - 1  # agent 1, in the far corner
    for cell in range(1, parked):
        steps = sum(divmod(cell, COLUMNS))
        assert values[cell * CELLS + parked, 0] == pytest.approx(10 * 0.9 ** (steps - 1), rel=1e-5)
    assert np.isneginf(values[parked]).all()  # agent 0 cannot stand on the apple


def test_a_discount_of_one_is_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.argv", ["checkers_optimum", "--gamma", "1"])
    assert main() == 2
    assert "--gamma 1.0: a discount lies above 0 and below 1" in capsys.readouterr().err


def test_meals_are_counted_for_who_ate_them() -> None:
    plan = [(STAY, LEFT), (DOWN, STAY), (LEFT, LEFT), (LEFT, STAY)]  # then both stand still

    def make_team(env: MultiAgentEnv, seed: int) -> Callable[[], Team]:
        actions = iter([*plan, *[(STAY, STAY)] * SPEC.episode_limit])

        def team(step: TimeStep) -> IntArray:
            return np.array([next(actions)])

        return lambda: team

    total, length, meals = checkers_policy.watch(Contestant("plan", SPEC, "sim", make_team))
    assert (total, length) == (-1 + 10 + 1 - 10, SPEC.episode_limit)
    assert meals == {(1, LEMON, 2): 1, (0, APPLE, 1): 1, (1, APPLE, 2): 1, (0, LEMON, 1): 1}


def test_no_files_are_refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["checkers_policy"])
    assert checkers_policy.main() == 2
    assert "name the files to play" in capsys.readouterr().err
