"""The best discounted play of Checkers: `python -m benchmarks.checkers_optimum [--gamma 0.98]`.

Computes exactly the return that a learner with discount gamma can reach: dynamic programming over all 2^18
sets of food left times 576 pairs of positions, fewer pieces of food first. Three core minutes and 1 GB for
each gamma. The play found is then played on `CheckersEnv`, which must give the return of the table.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np

from envs.checkers import (
    COLUMNS,
    EPISODE_LIMIT_STEPS,
    FOOD_COLUMNS,
    LEMON,
    MOVES,
    REWARDS,
    ROWS,
    STARTS,
    CheckersEnv,
    first_board,
)
from envs.command import run_command
from envs.errors import InputError
from envs.types import FloatArray, IntArray

CELLS = ROWS * COLUMNS
FOODS = ROWS * FOOD_COLUMNS
PAIRS = CELLS * CELLS
JOINT = len(MOVES) ** 2
CHUNK = 1024
"""Sets of food worked on at once."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    gamma: tuple[float, ...] = (0.9, 0.95, 0.98, 0.99)
    """Discounts, each above 0 and below 1."""


@dataclass(frozen=True)
class Rules:
    """Joint action by joint action [JOINT] and pair by pair of cells [PAIRS], whatever food is left.

    `moved`: the pair of cells after it. `bit` [N, JOINT, PAIRS]: the food bit of the cell where each agent
    then is, 0 where no food ever lies. `pay`, of the same shape: what eating it gives the team.
    """

    moved: IntArray
    bit: IntArray
    pay: FloatArray


def rules() -> Rules:
    """`CheckersEnv.advance` as tables: agent 0 moves first; a wall or the other agent's cell stops a move."""
    first, second = np.divmod(np.arange(PAIRS), CELLS)
    cells = [np.tile(first, (JOINT, 1)), np.tile(second, (JOINT, 1))]
    for agent, action in enumerate(np.divmod(np.arange(JOINT), len(MOVES))):
        row, column = (
            part + MOVES[action, axis][:, None] for axis, part in enumerate(np.divmod(cells[agent], COLUMNS))
        )
        target = row * COLUMNS + column
        inside = (row >= 0) & (row < ROWS) & (column >= 0) & (column < COLUMNS)
        cells[agent] = np.where(inside & (target != cells[1 - agent]), target, cells[agent])
    food = first_board().ravel()
    at = np.stack(cells)
    pay = REWARDS[np.arange(len(at))[:, None, None], food[at]]
    return Rules(at[0] * CELLS + at[1], food_bits()[at], pay)


def food_bits() -> IntArray:
    """[CELLS]: the bit that stands for a cell's food in a set, 0 where none ever lies."""
    row, column = np.divmod(np.arange(CELLS), COLUMNS)
    return np.where(
        column < FOOD_COLUMNS, 1 << (row * FOOD_COLUMNS + np.minimum(column, FOOD_COLUMNS - 1)), 0
    )


def lemon_set() -> int:
    """The set of all lemons; every set without an apple is part of it."""
    return int(food_bits()[first_board().ravel() == LEMON].sum())


def first_pair() -> int:
    """Where an episode begins, as an index of [PAIRS]."""
    first, second = STARTS @ (COLUMNS, 1)
    return int(first * CELLS + second)


def solve(gamma: float, table: Rules) -> FloatArray:
    """[PAIRS, 2^FOODS]: discounted value under best play, minus infinity with an agent on food."""
    lemons = lemon_set()
    sets = np.arange(1 << FOODS)
    values = np.full((PAIRS, len(sets)), -np.inf, np.float32)
    values[:, (sets & ~lemons) == 0] = 0  # no apple left: the episode is over
    sizes = np.array([int(left).bit_count() for left in sets])
    for size in range(1, FOODS + 1):
        level = sets[(sizes == size) & ((sets & ~lemons) != 0)]
        for begin in range(0, len(level), CHUNK):
            left = level[begin : begin + CHUNK]
            values[:, left] = settle(eat(values, left, gamma, table), left, gamma, table)
    return values


def eat(values: FloatArray, left: IntArray, gamma: float, table: Rules) -> FloatArray:
    """[PAIRS, K]: the best value of a joint action that eats something, with `left` [K] on the board."""
    best = np.full((PAIRS, len(left)), -np.inf, np.float32)
    for joint in range(JOINT):
        bits = table.bit[:, joint, :, None] & left  # [N, PAIRS, K]
        pay = np.where(bits != 0, table.pay[:, joint, :, None], 0).sum(0)
        then = values[table.moved[joint][:, None], left & ~bits[0] & ~bits[1]]
        np.maximum(best, pay + np.float32(gamma) * then, out=best, where=(bits != 0).any(0))
    return best


def settle(best: FloatArray, left: IntArray, gamma: float, table: Rules) -> FloatArray:
    """[PAIRS, K]: the same with any number of steps before the next bite; 0 where no bite is worth it."""
    first, second = np.divmod(np.arange(PAIRS), CELLS)
    standing = (food_bits()[first] | food_bits()[second])[:, None] & left
    values = np.where((standing != 0) | (first == second)[:, None], -np.inf, np.maximum(best, 0)).astype(
        np.float32
    )
    while True:
        new = values.copy()
        for after in table.moved:
            np.maximum(new, np.float32(gamma) * values[after], out=new, where=values > -np.inf)
        if np.array_equal(new, values):
            return new
        values = new


def best_play(values: FloatArray, gamma: float, table: Rules) -> tuple[list[int], float]:
    """Joint actions from the start to the last apple or the time limit, and their return by the tables."""
    lemons = lemon_set()
    left, pair, total = (1 << FOODS) - 1, first_pair(), 0.0
    actions: list[int] = []
    while left & ~lemons and len(actions) < EPISODE_LIMIT_STEPS:
        bits = table.bit[:, :, pair] & left  # [N, JOINT]
        pay = np.where(bits != 0, table.pay[:, :, pair], 0).sum(0)
        then = left & ~bits[0] & ~bits[1]
        joint = int((pay + gamma * values[table.moved[:, pair], then]).argmax())
        actions.append(joint)
        left, pair, total = int(then[joint]), int(table.moved[joint, pair]), total + float(pay[joint])
    return actions, total


def paid(actions: list[int]) -> float:
    """The return of these joint actions on the real environment."""
    env = CheckersEnv()
    env.reset()
    return sum(float(env.step(np.array([divmod(joint, len(MOVES))])).reward[0]) for joint in actions)


def run(config: Config) -> None:
    """Solve for each discount, print a row; RuntimeError if the environment pays something else."""
    for gamma in config.gamma:
        if not 0 < gamma < 1:
            raise InputError(f"--gamma {gamma}: a discount lies above 0 and below 1")
    table = rules()
    print("| gamma | discounted value | return | steps |\n|---|---|---|---|", flush=True)
    for gamma in config.gamma:
        values = solve(gamma, table)
        actions, total = best_play(values, gamma, table)
        if (real := paid(actions)) != total:
            raise RuntimeError(f"the environment paid {real} where {total} was computed")
        print(f"| {gamma} | {values[first_pair(), -1]:.2f} | {total:.0f} | {len(actions)} |", flush=True)


def main() -> int:
    return run_command(Config, run, prog="benchmarks.checkers_optimum", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
