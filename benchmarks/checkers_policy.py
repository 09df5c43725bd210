"""The food each agent eats on Checkers: `python -m benchmarks.checkers_policy RUN.pt…` plays every file.

Takes checkpoints of `lan-train` (`.pt`) and exported models (`.onnx`). One episode is enough: nothing in
Checkers is random. The LAN paper's policy is a row with 9 apples for agent 0, and 0, 3, 3 lemons for agent 1.
"""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.checkers_optimum import FOODS
from envs.checkers import APPLE, COLUMNS, FOOD_COLUMNS, LEMON, ROWS, SPEC, CheckersEnv
from envs.command import run_command
from envs.errors import InputError
from envs.types import FloatArray, TimeStep
from exporters.contestants import Contestant, onnx_contestant, torch_contestant

Meals = Counter[tuple[int, int, int]]
"""How often (agent, APPLE or LEMON, row) happened."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    files: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Checkpoints and model files, trained on checkers."""


def player(path: Path) -> Contestant:
    """The player of a file; InputError when it was not trained on Checkers."""
    found = onnx_contestant(path) if path.suffix == ".onnx" else torch_contestant(path)
    if found.spec != SPEC:
        raise InputError(f"{path} was trained on {found.spec.name}, not on {SPEC.name} as it is now")
    return found


def food(state: FloatArray, kind: int) -> FloatArray:
    """[ROWS, FOOD_COLUMNS] of one board's state: where an apple, or a lemon, is."""
    first = 2 * SPEC.n_agents + (kind - APPLE) * FOODS
    return state[first : first + FOODS].reshape(ROWS, FOOD_COLUMNS)


def eaten(before: TimeStep, after: TimeStep) -> Meals:
    """The food eaten in a step: that of the cells where the agents are now."""
    meals: Meals = Counter()
    for agent in range(SPEC.n_agents):
        place = after.state[0, 2 * agent : 2 * agent + 2] * (ROWS - 1, COLUMNS - 1)
        row, column = (round(float(part)) for part in place)
        for kind in (APPLE, LEMON):
            if column < FOOD_COLUMNS and food(before.state[0] - after.state[0], kind)[row, column] == 1:
                meals[agent, kind, row] += 1
    return meals


def watch(contestant: Contestant) -> tuple[float, int, Meals]:
    """Return, steps and meals of one greedy episode."""
    env = CheckersEnv()
    team, step, meals = contestant.make_team(env, 0)(), env.reset(), Counter[tuple[int, int, int]]()
    total, length = 0.0, 0
    while not step.done.all():
        before, step = step, env.step(team(step))
        meals += eaten(before, step)
        total, length = total + float(step.reward[0]), length + 1
    return total, length, meals


def run(config: Config) -> None:
    """Play and print a row for each file; InputError without files or with one of another environment."""
    if not config.files:
        raise InputError("name the files to play, e.g. runs/checkers-lan-seed0/best.pt")
    players = [player(path) for path in config.files]
    meals = " | ".join(
        f"agent {agent}: apples | lemons (top, middle, bottom row)" for agent in range(SPEC.n_agents)
    )
    print(f"| file | return | steps | {meals} |\n|---{'|---' * (2 + 2 * SPEC.n_agents)}|")
    for path, contestant in zip(config.files, players, strict=True):
        total, length, meals = watch(contestant)
        cells = [f"{total:.0f}", str(length)]
        for agent in range(SPEC.n_agents):
            apples, lemons = ([meals[agent, kind, row] for row in range(ROWS)] for kind in (APPLE, LEMON))
            cells += [str(sum(apples)), f"{sum(lemons)} ({', '.join(map(str, lemons))})"]
        print(f"| {path.parent.name}/{path.name} | {' | '.join(cells)} |", flush=True)


def main() -> int:
    return run_command(Config, run, prog="benchmarks.checkers_policy", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
