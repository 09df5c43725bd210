"""The simulator against the real game: `python -m benchmarks.real_game random [--maps 3m] [--json]`.

Plays what public records of StarCraft II describe, and prints ours beside the real number with both standard
errors. The real numbers and their sources stand in real_game.csv.
"""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import numpy.typing as npt
import tyro

from envs.battle.env import BattleEnv
from envs.command import nearest_names, run_command
from envs.errors import InputError
from envs.smac.maps import MAP_NAMES, load_map

Reals = npt.NDArray[np.float64]

TABLE: Final = Path(__file__).with_name("real_game.csv")
PARTS: Final = ("random",)
SIDE_BY_SIDE: Final = 250
"""Battles that one environment plays at once."""
QUANTILES: Final = (5, 25, 50, 75, 95)


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    parts: Annotated[tuple[str, ...], tyro.conf.Positional] = PARTS
    """Parts to play."""
    maps: tuple[str, ...] = ()
    """Maps of `random` (all for which there are real numbers when none is named)."""
    battles: int = 2000
    """Battles on each map."""
    seed: int = 0
    """Seed of the battles."""
    json: bool = False
    """Print one JSON object instead of tables."""


@dataclass(frozen=True)
class Real:
    """One number of the real game: how it was played, its mean and standard error, and over how many battles."""

    map: str
    team: str
    metric: str
    mean: float
    standard_error: float
    battles: int
    source: str


@dataclass(frozen=True)
class Ours:
    """One number of the simulator."""

    map: str
    metric: str
    mean: float
    standard_error: float


def real_numbers(path: Path = TABLE) -> list[Real]:
    """The table of real numbers."""
    with path.open(newline="", encoding="utf-8") as file:
        return [
            Real(
                row["map"],
                row["team"],
                row["metric"],
                float(row["mean"]),
                float(row["standard_error"] or "nan"),
                int(row["battles"] or 0),
                row["source"],
            )
            for row in csv.DictReader(file)
        ]


def play_random(map_name: str, battles: int, seed: int) -> dict[str, Reals]:
    """Battles 0 to `battles` of a team that takes uniformly random available actions, each to its end.

    Returns [battles] each: return, length_steps, dead_allies, dead_enemies, win_rate.
    """
    smac_map = load_map(map_name)
    rng = np.random.default_rng(seed)
    parts = []
    first = 0
    while first < battles:
        count = min(SIDE_BY_SIDE, battles - first)
        with BattleEnv(smac_map, n_battles=count, seed=seed, threads=1) as env:
            env.next_episode = first
            parts.append(_play_random(env, rng))
        first += count
        print(f"\r{map_name}: {first} of {battles} battles", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return {metric: np.concatenate([part[metric] for part in parts]) for metric in parts[0]}


def _play_random(env: BattleEnv, rng: np.random.Generator) -> dict[str, Reals]:
    shown = env.reset()
    actions = np.zeros((env.n_battles, env.spec.n_agents), np.int64)
    returns = np.zeros(env.n_battles)
    while not shown.done.all():
        avail = shown.avail_actions[~shown.done]
        actions[~shown.done] = np.where(avail, rng.random(avail.shape), -1.0).argmax(axis=-1)
        shown = env.step(actions)
        returns += shown.reward
    N = env.spec.n_agents
    alive = env.units.alive > 0
    return {
        "return": returns,
        "dead_allies": (~alive[:, :N]).sum(axis=1).astype(np.float64),
        "dead_enemies": (~alive[:, N:]).sum(axis=1).astype(np.float64),
        "length_steps": env.steps.astype(np.float64),
        "win_rate": shown.won.astype(np.float64),
    }


def summary(map_name: str, played: dict[str, Reals]) -> list[Ours]:
    """Mean and standard error of every metric, and quantiles of the length."""
    found = []
    for metric, values in played.items():
        error = values.std(ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
        found.append(Ours(map_name, metric, float(values.mean()), float(error)))
    for q in QUANTILES:
        found.append(Ours(map_name, f"length_q{q:02}", *_quantile(played["length_steps"], q)))
    return found


def _quantile(values: Reals, percent: int) -> tuple[float, float]:
    """A quantile, and its error from the values that stand one standard error of rank beside it."""
    share, n = percent / 100, len(values)
    ranks = np.clip(share + np.array([-1.0, 1.0]) * np.sqrt(share * (1 - share) / n), 0, 1)
    low, high = np.quantile(values, ranks)
    return float(np.quantile(values, share)), float(high - low) / 2


def print_random(real: Sequence[Real], ours: Sequence[Ours]) -> None:
    """A table: ours beside the real entries of the same map and metric."""
    teams = sorted({entry.team for entry in real if entry.team.startswith("random")})
    print(f"| map | metric | ours | {' | '.join(teams)} |\n|---|---|---|{'---|' * len(teams)}")
    for mine in ours:
        cells = []
        for team in teams:
            found = [r for r in real if (r.map, r.metric, r.team) == (mine.map, mine.metric, team)]
            cells.append(f"{found[0].mean:.3f}±{found[0].standard_error:.3f}" if found else "")
        own = f"{mine.mean:.3f}±{mine.standard_error:.3f}"
        print(f"| {mine.map} | {mine.metric} | {own} | {' | '.join(cells)} |", flush=True)


def run(config: Config) -> None:
    """Play and print; InputError before anything is played."""
    for part in config.parts:
        if part not in PARTS:
            raise InputError(f"unknown part {part!r}: {nearest_names(part, PARTS)}")
    for name in config.maps:
        if name not in MAP_NAMES:
            raise InputError(f"unknown map {name!r}: {nearest_names(name, MAP_NAMES)}")
    if config.battles < 1 or config.seed < 0:
        raise InputError("--battles must be positive, --seed not negative")
    real = real_numbers()
    maps = config.maps or tuple(dict.fromkeys(r.map for r in real if r.team.startswith("random")))
    ours = []
    for name in maps:
        found = summary(name, play_random(name, config.battles, config.seed))
        ours += found
        if not config.json:
            print_random(real, found)
    if config.json:
        entries = [r for r in real if r.map in maps and r.team.startswith("random")]
        print(json.dumps({"ours": [asdict(o) for o in ours], "real": [asdict(r) for r in entries]}))


def main() -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.real_game", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
