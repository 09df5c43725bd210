"""Scripted teams' win rates: `python -m benchmarks.teams [--map 3m] [--team nearest] [--json]`.

The numbers are those of `lan-eval --team NAME --map MAP --episodes 256`: a map that a scripted team wins does
not need learning. Prints a Markdown table of percentages, the one in docs/battlefield.md.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass

from envs.battle.heuristic import HEURISTIC
from envs.battle.teams import TEAMS
from envs.command import run_command
from envs.errors import InputError
from envs.smac.maps import MAP_NAMES
from exporters.contestants import Contestant
from exporters.evaluate import EvaluateConfig, Evaluation, contestant, evaluate


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    map: tuple[str, ...] = ()
    """Maps to play (all 23 when none is named)."""
    team: tuple[str, ...] = (*TEAMS, HEURISTIC)
    """Teams to play them."""
    battles: int = 256
    """Battles of each team on each map."""
    seed: int = 0
    """Seed of the battles."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(config: Config) -> None:
    """Play and print, a row for each map; InputError for an unknown team or map before anything is played."""
    if config.battles < 1:
        raise InputError(f"--battles {config.battles}: at least 1 is needed")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: it must not be negative")
    games = {name: [game(team, name, config) for team in config.team] for name in config.map or MAP_NAMES}
    if not config.json:
        print(f"| map | {' | '.join(config.team)} |\n|---|{'---|' * len(config.team)}", flush=True)
    played: list[Evaluation] = []
    for name, row in games.items():
        results = [evaluate(player, flags) for player, flags in row]
        if not config.json:
            cells = (f"{100 * result.win_rate:.0f}" for result in results)
            print(f"| {name} | {' | '.join(cells)} |", flush=True)
        played += results
    if config.json:
        print(json.dumps([asdict(result) for result in played]))


def game(team: str, map_name: str, config: Config) -> tuple[Contestant, EvaluateConfig]:
    """The player, by the flags of `lan-eval`."""
    flags = EvaluateConfig(team=team, map=map_name, episodes=config.battles, seed=config.seed)
    return contestant(flags), flags


def main() -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.teams", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
