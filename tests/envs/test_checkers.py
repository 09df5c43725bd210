"""Checkers: its board, its rules, and the best that two agents can do on it."""

from __future__ import annotations

from collections import deque
from itertools import combinations, product

import numpy as np
import pytest

from envs.checkers import APPLE, DOWN, LEFT, LEMON, MOVES, RIGHT, STAY, UP, CheckersEnv, first_board
from envs.conformance import check_env

Cell = tuple[int, int]


def play_actions(env: CheckersEnv, actions: list[tuple[int, int]]) -> list[float]:
    return [float(env.step(np.array([pair])).reward[0]) for pair in actions]


def neighbours(cell: Cell) -> list[Cell]:
    return [
        (cell[0] + int(dr), cell[1] + int(dc))
        for dr, dc in MOVES[1:]
        if 0 <= cell[0] + dr < 3 and 0 <= cell[1] + dc < 8
    ]


def cells_of(food: int) -> set[Cell]:
    return {(int(r), int(c)) for r, c in np.argwhere(first_board() == food)}


def test_the_board_alternates_and_a_wall_of_food_parts_it_from_the_agents() -> None:
    assert len(cells_of(APPLE)) == len(cells_of(LEMON)) == 9
    assert all(not cells_of(APPLE) & set(neighbours(cell)) for cell in cells_of(APPLE))
    assert {cell for cell in cells_of(LEMON) if cell[0] == 0} == {(0, 1), (0, 3), (0, 5)}


def test_what_is_eaten_pays_by_who_eats_it_and_is_gone() -> None:
    env = CheckersEnv(n_battles=1)
    env.reset()
    assert play_actions(env, [(LEFT, LEFT), (RIGHT, RIGHT), (LEFT, LEFT)]) == [-11.0, 0.0, 0.0]
    env.reset()
    assert play_actions(env, [(DOWN, STAY), (LEFT, STAY)]) == [0.0, 10.0]
    env.reset()
    assert play_actions(env, [(STAY, UP), (STAY, LEFT), (STAY, LEFT)]) == [0.0, 1.0, -1.0]


def test_checkers_conforms() -> None:
    check_env(CheckersEnv(n_battles=3))


def test_walls_and_the_other_agent_stop_a_step() -> None:
    env = CheckersEnv(n_battles=1)
    start = env.reset()
    step = env.step(np.array([[UP, DOWN]]))
    np.testing.assert_array_equal(step.obs, start.obs)
    step = env.step(np.array([[DOWN, UP]]))  # agent 0 takes the cell between them, agent 1 bumps into it
    np.testing.assert_allclose(step.obs[0, :, 0], [0.5, 1.0])
    step = env.step(np.array([[RIGHT, UP]]))  # agent 0 leaves first, agent 1 follows
    np.testing.assert_allclose(step.obs[0, :, 0], [0.5, 0.5])


def test_an_agent_sees_the_nine_cells_around_it_and_nothing_else() -> None:
    env = CheckersEnv(n_battles=1)
    window = env.reset().obs[0, 0, 2:].reshape(3, 3, 4)
    apple, lemon, other, outside = (window[..., feature] for feature in range(4))
    assert apple.sum() == 1
    assert apple[2, 0] == 1  # (1, 5)
    assert lemon.sum() == 1
    assert lemon[1, 0] == 1  # (0, 5)
    assert other.sum() == 0  # two rows below: out of sight
    np.testing.assert_array_equal(outside, [[1, 1, 1], [0, 0, 0], [0, 0, 0]])
    window = env.step(np.array([[DOWN, STAY]])).obs[0, 1, 2:].reshape(3, 3, 4)
    assert window[..., 2].sum() == window[0, 1, 2] == 1


def test_it_ends_without_apples_as_won_and_after_a_hundred_steps_as_truncated() -> None:
    env = CheckersEnv(n_battles=2)
    env.reset()
    env._board[0][env._board[0] == APPLE] = 0
    env._board[0, 1, 5] = APPLE
    stay = np.array([[STAY, STAY], [STAY, STAY]])
    env.step(np.array([[DOWN, STAY], [STAY, STAY]]))
    step = env.step(np.array([[LEFT, STAY], [STAY, STAY]]))
    assert step.reward.tolist() == [10.0, 0.0]
    assert step.terminated.tolist() == step.won.tolist() == [True, False]
    lengths = 2
    while not step.done.all():
        step = env.step(stay)
        lengths += 1
        assert step.reward[0] == 0
    assert lengths == 100
    assert step.truncated.tolist() == [False, True]
    assert step.won.tolist() == [True, False]


def fewest_lemons() -> set[Cell]:
    """The smallest set of lemons whose removal lets one agent walk from the free columns to every apple."""
    free = {(r, c) for r in range(3) for c in (6, 7)}
    for count in range(10):
        for lemons in combinations(sorted(cells_of(LEMON)), count):
            allowed, reached = free | cells_of(APPLE) | set(lemons), {(0, 6)}
            queue = deque(reached)
            while queue:
                new = [c for c in neighbours(queue.popleft()) if c in allowed and c not in reached]
                reached.update(new)
                queue.extend(new)
            if cells_of(APPLE) <= reached:
                return set(lemons)
    raise AssertionError("some apple cannot be reached at all")


def test_no_team_can_get_more_than_87() -> None:
    """All nine apples to agent 0, and agent 1 eats the fewest lemons that make them reachable: 90 - 3.

    An apple that agent 1 eats loses 9; a lemon that agent 0 eats loses 9 more than one that agent 1 eats;
    agent 0 never enters the cell of a lemon that nobody ate.
    """
    assert len(fewest_lemons()) == 3


def test_87_can_be_reached_in_time() -> None:
    """A plan found by search, played on the environment, so that the bound is the optimum."""
    plan = find_plan(fewest_lemons())
    env = CheckersEnv(n_battles=1)
    env.reset()
    rewards = play_actions(env, plan)
    assert sum(rewards) == pytest.approx(87)
    assert len(plan) <= 100


def find_plan(lemons: set[Cell]) -> list[tuple[int, int]]:
    """Joint actions by which agent 0 eats every apple and agent 1 exactly `lemons`: bite after bite, the next
    bite being the nearest one, found breadth first with both agents moving."""
    positions: tuple[Cell, Cell] = ((0, 6), (2, 6))
    apples, lemons_left = cells_of(APPLE), set(lemons)
    spared = cells_of(LEMON) - lemons
    plan: list[tuple[int, int]] = []
    while apples:
        actions, positions = next_bite(positions, apples, lemons_left, spared)
        plan += actions
        apples.discard(positions[0])
        lemons_left.discard(positions[1])
    return plan


def next_bite(
    start: tuple[Cell, Cell], apples: set[Cell], lemons: set[Cell], spared: set[Cell]
) -> tuple[list[tuple[int, int]], tuple[Cell, Cell]]:
    """The shortest joint actions from `start` to agent 0 on an apple or agent 1 on one of `lemons`."""
    came: dict[tuple[Cell, Cell], list[tuple[int, int]]] = {start: []}
    queue = deque([start])
    while queue:
        here = queue.popleft()
        for pair in product(range(5), range(5)):
            first = step_to(here[0], pair[0], here[1], spared | lemons)
            second = step_to(here[1], pair[1], first, spared | apples)
            there = (first, second)
            if there in came:
                continue
            came[there] = [*came[here], pair]
            if first in apples or second in lemons:
                return came[there], there
            queue.append(there)
    raise AssertionError("no further bite can be reached")


def step_to(cell: Cell, action: int, other: Cell, closed: set[Cell]) -> Cell:
    """Where a step leads; never off the board, into the other agent or a closed cell."""
    target = (cell[0] + int(MOVES[action][0]), cell[1] + int(MOVES[action][1]))
    inside = 0 <= target[0] < 3 and 0 <= target[1] < 8
    return target if inside and target != other and target not in closed else cell
