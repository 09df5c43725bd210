"""Prints the constants of the rules that no battle depends on, as JSON; run with NUMBA_DISABLE_JIT=1.

numba freezes the constants that kernels read; in plain Python a kernel looks them up, so they can be changed.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import numpy as np

from envs.battle.env import BattleEnv
from envs.compiled import KERNEL_SOURCES
from envs.smac.maps import load_map
from tests.envs.battle.support.melee import play_crowd, play_melee

MODULES = (*KERNEL_SOURCES, "envs.battle.roster")
NAMES_ONLY = tuple(
    f"envs.{name}"
    for name in ("battle.fields", "smac.actions", "smac.reward", "smac.smac_map", "smac.tables")
)
"""Modules whose integers are names or sizes."""
UNSEEN = (
    "LONG_AGO",  # before the battle: any other number that is not in it does as well
    "VARIANTS",  # of formations with two types on one point
)
SEEDS = range(14)
STEPS = 40


def constants_of(module: ModuleType) -> list[str]:
    """The public numbers that a module defines."""
    kinds = (float,) if module.__name__ in NAMES_ONLY else (float, int)
    assigned = [
        statement.target.id
        for statement in ast.parse(Path(str(module.__file__)).read_text()).body
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name)
    ]
    names = [name for name in assigned if name[0] != "_" and name not in UNSEEN]
    return [name for name in names if type(getattr(module, name)) in kinds]


def holders_of(name: str, value: float) -> list[ModuleType]:
    """The modules of ours that have taken over the constant."""
    ours = [module for key, module in list(sys.modules.items()) if key.startswith("envs.")]
    return [module for module in ours if getattr(module, name, None) is value]


def play(seed: int) -> Iterator[bytes]:
    """A melee; with the first seed also a crowd, and where the units of drawn battles begin."""
    yield from play_melee(2, STEPS, seed)
    if seed == SEEDS[0]:
        yield from play_crowd(24, 14)
        env = BattleEnv(load_map("zerg_5_vs_5"), n_battles=8, seed=seed)
        env.reset()
        yield env._battles.f.tobytes()


def changes_a_battle(name: str, value: float, before: dict[int, list[bytes]]) -> bool:
    """Whether a constant that is smaller or larger changes a melee, or how drawn battles begin."""
    holders = holders_of(name, value)
    for other in (value / 2 if isinstance(value, float) else 1, value * 2):
        for module in holders:
            setattr(module, name, other)
        try:
            played = (zip(before[seed], play(seed), strict=True) for seed in SEEDS)
            if any(was != now for steps in played for was, now in steps):
                return True
        finally:
            for module in holders:
                setattr(module, name, value)
    return False


def main() -> None:
    """Print {"tried": [...], "unused": [...]}."""
    with np.errstate(over="ignore", invalid="ignore"):  # random streams wrap; a sweep of one point is 0 / 0
        before = {seed: list(play(seed)) for seed in SEEDS}
        tried, unused = [], []
        for module in map(importlib.import_module, MODULES):
            for name in constants_of(module):
                tried.append(name)
                if not changes_a_battle(name, getattr(module, name), before):
                    unused.append(name)
    print(json.dumps({"tried": tried, "unused": unused}))


if __name__ == "__main__":
    main()
