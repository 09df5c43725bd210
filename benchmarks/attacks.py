"""Do agents shoot when they can? `python -m benchmarks.attacks FILE [--csv FILE]`.

A model's team plays the same battles twice: as it chooses, and so that an agent that can attack takes its
best attack where it would have done something else. For both ways: how often agents that can attack choose
to, and what the team is worth. Where the second team wins more, the policy values moves too highly at such
moments.
"""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from envs.command import run_command
from envs.errors import InputError
from envs.files import write_atomically
from envs.make import is_smac_map, make_env
from envs.outcomes import wilson_interval
from envs.outputs import check_apart, check_output
from envs.smac.actions import FIRST_ATTACK
from envs.smac.own_maps import learn_map
from envs.types import BoolArray, FloatArray, IntArray
from exporters.contestants import followers
from runtime.model_file.contract import METADATA_MAP
from runtime.model_file.loader import load_model
from trainer.playing.policy import Policy, best_actions
from trainer.playing.rollout import play

SIDE_BY_SIDE = 32


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    model: Annotated[Path, tyro.conf.Positional]
    """The model file that plays its map."""
    episodes: int = 320
    """Battles to play, each way."""
    seed: int = 50_000_001
    """Seed of the battles."""
    csv: Path | None = None
    """File to write a line per battle and way to."""


class Attacker:
    """A policy that counts how often agents that can attack do; with `always`, they do every time."""

    def __init__(self, policy: Policy, *, always: bool) -> None:
        self.policy, self.always = policy, always
        self.could = self.did = 0

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """The policy's, [n_rows, H]."""
        return self.policy.initial_hidden(n_rows)

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """One step of R agents; shapes as in `Policy.step`. `did` counts the policy's own choices."""
        action, advantages, next_hidden = self.policy.step(obs, last_action, agent_id, avail_actions, hidden)
        attacks = avail_actions.copy()
        attacks[:, :FIRST_ATTACK] = False
        can = attacks.any(1)
        self.could += int(can.sum())
        self.did += int((action[can] >= FIRST_ATTACK).sum())
        if self.always:
            action = action.copy()
            action[can] = best_actions(advantages[can], attacks[can])
        return action, advantages, next_hidden


@dataclass(frozen=True)
class Battle:
    """How a battle of one way ended; `way` is own or attack."""

    way: str
    won: int
    episode_return: float
    length_steps: int


def play_both(config: Config) -> tuple[list[Battle], dict[str, float]]:
    """The battles of both ways, and the share of times in which an agent that could attack chose to."""
    model = load_model(config.model)
    spec = model.spec
    learn_map(spec.name, model.metadata.get(METADATA_MAP), str(config.model))
    if not is_smac_map(spec.name):
        raise InputError(
            f"{config.model} was made for {spec.name}, which is no map of SMAC's: nobody attacks"
        )
    battles: list[Battle] = []
    shares: dict[str, float] = {}
    for way in ("own", "attack"):
        attacker = Attacker(model, always=way == "attack")
        n_battles = min(SIDE_BY_SIDE, config.episodes)
        with make_env(spec.name, "sim", n_battles=n_battles, seed=config.seed) as env:
            stats = play(env, followers(attacker)(env, config.seed), config.episodes)
        battles += [Battle(way, int(s.won), round(s.episode_return, 4), s.length_steps) for s in stats]
        shares[way] = attacker.did / max(attacker.could, 1)
    return battles, shares


def table(battles: Sequence[Battle], shares: dict[str, float]) -> str:
    """Markdown: how often the policy attacks where it can, and what the team is worth, each way."""
    heads = ("agents that can attack", "choose to", "battles won", "mean return")
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for way, name in (("own", "do as they choose"), ("attack", "always attack")):
        own = [battle for battle in battles if battle.way == way]
        won = sum(battle.won for battle in own)
        low, high = wilson_interval(won, len(own))
        mean = sum(battle.episode_return for battle in own) / len(own)
        rate = f"{won} of {len(own)}, {won / len(own):.1%} ({low:.1%} to {high:.1%})"
        lines.append(f"| {name} | {shares[way]:.1%} | {rate} | {mean:.2f} |")
    return "\n".join(lines)


def as_csv(battles: Sequence[Battle]) -> str:
    """A line per battle and way."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Battle)])
    writer.writerows(map(astuple, battles))
    return text.getvalue()


def run(config: Config) -> None:
    """Play, print and write."""
    if config.episodes < 1:
        raise InputError("--episodes must be at least 1")
    if config.csv is not None:
        check_output("--csv", config.csv)
    check_apart({"the model": config.model}, {"--csv": config.csv})
    battles, shares = play_both(config)
    print(table(battles, shares))
    if config.csv is not None:
        write_atomically(config.csv, as_csv(battles).encode())


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.attacks", description=__doc__ or "", argv=argv)


if __name__ == "__main__":
    sys.exit(main())
