"""Who wins against whom: every team commands the agents against every team that commands the enemies.

Teams are scripted (random, nearest, focus, kite, heuristic) or trained (a checkpoint or a model file, on maps
with equal sides); `map` as opponent is the map's own order.
"""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from envs.command import run_command
from envs.errors import InputError
from envs.smac.maps import MAP_SCRIPT
from exporters.evaluate import EvaluateConfig, Evaluation, contestant, evaluate


@dataclass(frozen=True)
class Config:
    """Flags of `benchmarks.cross_play`."""

    map: Annotated[str, tyro.conf.Positional]
    """The map, by name or file."""
    teams: tuple[str, ...] = ("random", "nearest", "focus", "kite", "heuristic")
    """Teams by name, or paths of model files."""
    battles: int = 256
    """Battles of each pair."""
    seed: int = 0
    """Seed of the battles."""
    json: bool = False
    """Print one JSON object instead of a table."""


def run(config: Config) -> None:
    """Play and print: a row for each team of agents, a column for each opponent, the win rate in percent."""
    if not config.teams:
        raise InputError("--teams: say who plays, e.g. --teams nearest focus zoo/3m.onnx")
    opponents = (MAP_SCRIPT, *config.teams)
    names = [Path(name).stem if Path(name).suffix else name for name in opponents]
    if not config.json:
        print(f"| agents \\ enemies | {' | '.join(names)} |\n|---|{'---|' * len(opponents)}", flush=True)
    played: list[Evaluation] = []
    for team, name in zip(config.teams, names[1:], strict=True):
        results = [game(team, opponent, config) for opponent in opponents]
        if not config.json:
            print(f"| {name} | {' | '.join(f'{100 * r.win_rate:.0f}' for r in results)} |", flush=True)
        played += results
    if config.json:
        print(json.dumps([asdict(result) for result in played]))


def game(team: str, opponent: str, config: Config) -> Evaluation:
    """The battles of one pair, by the flags of `lan-eval`."""
    path = Path(team)
    player = {"model" if path.suffix == ".onnx" else "ckpt": path} if path.exists() else {"team": team}
    asked = EvaluateConfig(map=config.map, env="sim", episodes=config.battles, seed=config.seed)
    flags = replace(asked, opponent=opponent, **player)
    return evaluate(contestant(flags), flags)


def main() -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.cross_play", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
