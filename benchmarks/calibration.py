"""The simulator against the real game: `python -m benchmarks.calibration [--map 2s3z] [--battles 256]`.

SMAC's own non-learning team plays the maps for which the SMAC paper gives its win rates in the real game.
Prints the Markdown table of docs/battlefield.md: win rates in percent, ours also with the spawn formation
turned by a random angle in every battle.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Final

from benchmarks.real_game.comparison import real_numbers
from envs.battle.env import BattleEnv
from envs.battle.heuristic import AttackAnywhere, HeuristicTeam
from envs.command import nearest_names, run_command
from envs.errors import InputError
from envs.smac.maps import load_map

REAL_WIN_RATES: Final[dict[str, int]] = {
    entry.map: round(100 * entry.mean) for entry in real_numbers("heuristic")
}
"""Median win rates (%) of this team in the real game (SC2 4.6.2, difficulty 7; SMAC paper, results table)."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    map: tuple[str, ...] = tuple(REAL_WIN_RATES)
    """Maps to play."""
    battles: int = 256
    """Battles on each map."""
    seed: int = 0
    """Seed of the battles."""


def heuristic_win_rate(map_name: str, *, battles: int, seed: int, turned_formation: bool = False) -> float:
    """Share of `battles` battles that the team wins on the simulator."""
    env = BattleEnv(load_map(map_name), n_battles=battles, seed=seed, turned_formation=turned_formation)
    anywhere = AttackAnywhere(env)
    team = HeuristicTeam(env)
    shown = anywhere.reset()
    while not shown.done.all():
        shown = anywhere.step(team(shown))
    anywhere.close()
    return float(shown.won.mean())


def run(config: Config) -> None:
    """Play and print, a row for each map; InputError before anything is played."""
    for name in config.map:
        if name not in REAL_WIN_RATES:
            raise InputError(f"no rate of the real game for {name!r}: {nearest_names(name, REAL_WIN_RATES)}")
    if config.battles < 1 or config.seed < 0:
        raise InputError("--battles must be positive, --seed not negative")
    print("| map | real, % | ours | ours, formation turned at random |\n|---|---|---|---|", flush=True)
    errors = []
    for name in config.map:
        real = REAL_WIN_RATES[name]
        ours, turned = (
            100 * heuristic_win_rate(name, battles=config.battles, seed=config.seed, turned_formation=turns)
            for turns in (False, True)
        )
        errors.append((abs(ours - real), abs(turned - real)))
        print(f"| {name} | {real} | {ours:.0f} | {turned:.0f} |", flush=True)
    ours, turned = (sum(column) / len(errors) for column in zip(*errors, strict=True))
    print(f"| **mean absolute difference** | | **{ours:.1f}** | **{turned:.1f}** |")


def main() -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.calibration", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
