"""Records what SMACv2's package shows of battles: `python -m tests.envs.sc2.support.record_smacv2 OUT.npz`.

It needs the package, and a stand-in game in $SC2PATH. An array is called SCENARIO/NAME, rows are steps [T]:

    seed, max_reward    numbers; the battle is episode 0 of the seed
    types [U]           `UnitType`, agents first
    x, y, health, shield, energy, cooldown [T, U]    the simulator's units
    obs [T, N, O], state [T, S], avail_actions [T, N, A], reward, done, won [T]    the package's
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.teams import FocusTeam
from envs.make import prepare_for_games
from envs.sc2.client import guard_pysc2, run_config
from envs.sc2.official_v2 import official_wrapper
from envs.smac.maps import load_map
from tests.envs.sc2.support.smacv2 import play_both

BATTLES: Final = {"protoss_5_vs_5": 5, "terran_5_vs_5": 4, "zerg_5_vs_5": 4, "terran_5_vs_5_epo": 6}
"""Scenarios, and the seed of each."""
UNITS: Final = ("x", "y", "health", "shield", "energy", "cooldown")


def record(name: str, seed: int) -> Iterator[tuple[str, Any]]:
    """The arrays of one battle."""
    rows: dict[str, list[Any]] = {}
    with BattleEnv(load_map(name), seed=seed) as env, pytest.MonkeyPatch.context() as patch:
        for _, theirs in play_both(env, official_wrapper(), patch, 1, FocusTeam(env)):
            shown = theirs | {unit: getattr(env.units, unit)[0].copy() for unit in UNITS}
            for what, value in shown.items():
                rows.setdefault(what, []).append(value)
        yield "types", env.units.types[0].astype(np.int8)
        yield "seed", seed
        yield "max_reward", env._tables.max_reward
    for what, values in rows.items():
        array = np.array(values)
        yield what, array.astype(np.float32) if what in ("obs", "state", "reward") else array


def main() -> None:
    """Write the file."""
    prepare_for_games()
    run_config(None)
    guard_pysc2(120)
    arrays = {f"{name}/{what}": value for name, seed in BATTLES.items() for what, value in record(name, seed)}
    np.savez_compressed(Path(sys.argv[1]), **arrays)


if __name__ == "__main__":
    main()
