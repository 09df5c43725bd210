"""Does an agent lure? `python -m benchmarks.luring corridor --model FILE [--csv FILE]`.

The LAN paper says that on corridor and 3s5z_vs_3s6z one agent learns to draw enemies away from its team. Here
an agent lures at a step when its team-mates, of which some live, are all out of its sight range, and at least
`--pack` living enemies within its sight range have no agent closer to them. For each battle: whether it was
won, which agent lured for the most steps, for how many, its largest pack, the last such step, and the step at
which it fell (0: it did not).
"""

from __future__ import annotations

import csv
import io
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Annotated, cast

import numpy as np
import tyro

from envs.command import run_command
from envs.errors import InputError
from envs.files import write_atomically
from envs.make import is_smac_map, make_env
from envs.outcomes import EpisodeStats
from envs.outputs import check_apart, check_output
from envs.smac.shown import ShownUnits, ShowsUnits
from envs.types import BoolArray, IntArray, TimeStep
from exporters.contestants import Contestant, onnx_contestant, playing_field, scripted_contestant
from trainer.playing.rollout import play

SIGHT = 9.0
"""SMAC's sight range in cells."""
SIDE_BY_SIDE = 32


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    map: Annotated[str, tyro.conf.Positional]
    """A map of SMAC's."""
    model: Path | None = None
    """The model file that plays."""
    team: str | None = None
    """Or the scripted team that plays, such as nearest."""
    episodes: int = 320
    """Battles to play."""
    seed: int = 50_000_001
    """Seed of the battles."""
    pack: int = 6
    """Enemies that an agent must have drawn away, at least."""
    csv: Path | None = None
    """File to write a line per battle to."""


@dataclass(frozen=True)
class Battle:
    """What was seen in one battle; without luring the agent is -1 and the rest 0."""

    won: int
    length_steps: int
    agent: int
    steps: int
    largest_pack: int
    last_step: int
    fell_at_step: int


class Lookout:
    """A watcher that notes for each round and step who lures how many enemies, and who lives, both [B, N]."""

    def __init__(self, env: ShowsUnits, pack: int) -> None:
        self.env, self.pack = env, pack
        self.rounds: list[list[tuple[IntArray, BoolArray]]] = []

    def begin(self, step: TimeStep) -> None:
        """A new round; nobody has been drawn away yet."""
        self.rounds.append([])

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """Look at every battle that goes on."""
        B, N = actions.shape
        packs, lives = np.zeros((B, N), np.int64), np.ones((B, N), np.bool_)
        for slot in np.flatnonzero(~step.done):
            units = self.env.shown_units(int(slot))
            packs[slot], lives[slot] = packs_of(units, N), units.alive[:N] > 0
        self.rounds[-1].append((np.where(packs >= self.pack, packs, 0), lives))


def packs_of(units: ShownUnits, n_agents: int) -> IntArray:
    """[N]: the living enemies within sight that are closest to an agent whose team-mates are out of sight."""
    places = np.stack((units.x, units.y), axis=1)
    alive = units.alive.astype(bool)
    own, enemies = np.flatnonzero(alive[:n_agents]), n_agents + np.flatnonzero(alive[n_agents:])
    packs = np.zeros(n_agents, np.int64)
    if len(own) < 2 or not len(enemies):
        return packs
    between = np.linalg.norm(places[own, None] - places[None, own], axis=2)
    np.fill_diagonal(between, np.inf)
    alone = between.min(1) > SIGHT
    away = np.linalg.norm(places[own, None] - places[None, enemies], axis=2)  # [own, enemies]
    closest = away.argmin(0)
    seen = away.min(0) <= SIGHT
    packs[own] = np.where(alone, np.bincount(closest[seen], minlength=len(own)), 0)
    return packs


def battles_of(config: Config) -> list[Battle]:
    """Play, and what was seen."""
    player = contestant(config)
    env = make_env(config.map, "sim", n_battles=min(SIDE_BY_SIDE, config.episodes), seed=config.seed)
    with env:
        lookout = Lookout(cast("ShowsUnits", env), config.pack)
        field = playing_field(player, env)
        stats = play(field, player.make_team(field, config.seed), config.episodes, lookout)
    return [
        seen_in(stat, lookout.rounds[number // env.n_battles], number % env.n_battles)
        for number, stat in enumerate(stats)
    ]


def seen_in(stat: EpisodeStats, steps: Sequence[tuple[IntArray, BoolArray]], slot: int) -> Battle:
    """What was seen in one battle."""
    packs, lives = (np.array([each[i][slot] for each in steps]) for i in (0, 1))  # [T, N]
    counts = (packs > 0).sum(0)
    agent = int(counts.argmax())
    times = np.flatnonzero(packs[:, agent])
    if not len(times):
        return Battle(int(stat.won), stat.length_steps, -1, 0, 0, 0, 0)
    falls = np.flatnonzero(~lives[:, agent])
    fell = int(falls[0]) + 1 if len(falls) else 0
    largest, last = int(packs[:, agent].max()), int(times[-1]) + 1
    return Battle(int(stat.won), stat.length_steps, agent, len(times), largest, last, fell)


def contestant(config: Config) -> Contestant:
    """The player; InputError unless exactly one is named, and it was made for the map."""
    if (config.model is None) == (config.team is None):
        raise InputError("say who plays, by one of --model FILE and --team NAME")
    if config.model is None:
        return scripted_contestant(str(config.team), config.map)
    player = onnx_contestant(config.model)
    if player.spec.name != config.map:
        raise InputError(f"{config.model} was made for {player.spec.name}, not {config.map}")
    return player


def as_csv(battles: Sequence[Battle]) -> str:
    """A line per battle."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Battle)])
    writer.writerows(map(astuple, battles))
    return text.getvalue()


def table(battles: Sequence[Battle], pack: int) -> str:
    """Markdown: won and lost battles, in how many of them an agent lured, and medians over those."""
    first = ("battles", "number", f"an agent lures {pack} or more", "the same agent in")
    heads = (*first, "its largest pack", "its last step of luring", "it falls at step")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for name, won in (("won", 1), ("lost", 0)):
        own = [battle for battle in battles if battle.won == won]
        lured = [battle for battle in own if battle.steps]
        cells = [name, str(len(own)), f"{len(lured)}"]
        if lured:
            (agent, times), *_ = Counter(battle.agent for battle in lured).most_common(1)
            cells += [f"{times}, agent {agent}"]
            cells += [
                f"{np.median([b.largest_pack for b in lured]):g}",
                f"{np.median([b.last_step for b in lured]):g}",
            ]
            falls = [battle.fell_at_step for battle in lured if battle.fell_at_step]
            cells += [f"{np.median(falls):g} in {len(falls)}" if falls else "-"]
        lines.append(f"| {' | '.join(cells + ['-'] * (len(heads) - len(cells)))} |")
    return "\n".join(lines)


def run(config: Config) -> None:
    """Play, print and write; InputError for a map without units."""
    if not is_smac_map(config.map):
        raise InputError(f"{config.map} is no map of SMAC's: it has no units that could lure")
    if config.episodes < 1 or config.pack < 1:
        raise InputError("--episodes and --pack must be at least 1")
    if config.csv is not None:
        check_output("--csv", config.csv)
    check_apart({"--model": config.model}, {"--csv": config.csv})
    battles = battles_of(config)
    print(table(battles, config.pack))
    if config.csv is not None:
        write_atomically(config.csv, as_csv(battles).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.luring", description=__doc__ or "", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
