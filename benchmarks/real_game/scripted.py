"""Teams that need no training, on whole battles: one that acts at random, and SMAC's heuristic one."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks.real_game.comparison import Number, Real, Row, compare, mean
from envs.battle.env import BattleEnv
from envs.battle.heuristic import AttackAnywhere, HeuristicTeam
from envs.smac.maps import load_map

Reals = npt.NDArray[np.float64]

SIDE_BY_SIDE: Final = 250
"""Battles that one environment plays at once."""
QUANTILES: Final = (5, 25, 50, 75, 95)
SHARE: Final = {"return": 0.05, "length_steps": 0.10, "dead_enemies": 0.15}
"""How far a mean may lie outside the real ones, as a share of them."""
ERRORS: Final = {"return": 2.0, "length_steps": 2.0}
"""How far at least, in combined standard errors."""
FEW_DEAD: Final = 1.0
"""Below this real number, nothing is demanded of dead enemies."""
RANDOM_WINS: Final = {"bane_vs_bane": 0.70}
"""How often a random team wins at least, on maps that it wins."""


def play_random(map_name: str, battles: int, seed: int) -> dict[str, Reals]:
    """Episodes 0 to `battles`, each to its end, of a team that takes uniformly random available actions.

    Returns [battles] each: return, dead_allies, dead_enemies, length_steps, win_rate.
    """
    rng = np.random.default_rng(seed)
    parts: list[dict[str, Reals]] = []
    for first in range(0, battles, SIDE_BY_SIDE):
        count = min(SIDE_BY_SIDE, battles - first)
        with BattleEnv(load_map(map_name), n_battles=count, seed=seed, threads=1) as env:
            env.next_episode = first
            parts.append(_play_random(env, rng))
        show_progress(f"{map_name}: {first + count} of {battles} battles", ends=first + count == battles)
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
    N, fallen = env.spec.n_agents, env.units.alive == 0
    counts = {
        "dead_allies": fallen[:, :N].sum(axis=1),
        "dead_enemies": fallen[:, N:].sum(axis=1),
        "length_steps": env.steps,
        "win_rate": shown.won,
    }
    return {"return": returns} | {metric: values.astype(np.float64) for metric, values in counts.items()}


def show_progress(text: str, *, ends: bool) -> None:
    """Overwrite the line on stderr, where somebody watches; `ends`: go to the next one."""
    if sys.stderr.isatty():
        print(f"\r{text}", end="\n" if ends else "", file=sys.stderr, flush=True)
    elif ends:
        print(text, file=sys.stderr, flush=True)


def summary(played: dict[str, Reals]) -> dict[str, Number]:
    """Mean and error of every metric, and quantiles of the length."""
    lengths = played["length_steps"]
    means = {metric: mean(values) for metric, values in played.items()}
    return means | {f"length_q{percent:02}": _quantile(lengths, percent) for percent in QUANTILES}


def _quantile(values: Reals, percent: int) -> Number:
    """A quantile; its error is half the distance of the values one standard error of the rank around it."""
    share = percent / 100
    spread = math.sqrt(share * (1 - share) / len(values))
    low, middle, high = np.quantile(values, np.clip([share - spread, share, share + spread], 0, 1))
    return Number(float(middle), float(high - low) / 2)


def random_rows(map_name: str, real: Sequence[Real], battles: int, seed: int) -> list[Row]:
    """The random team's numbers of one map beside the real ones."""
    rows = []
    for metric, ours in summary(play_random(map_name, battles, seed)).items():
        entries = [entry for entry in real if (entry.map, entry.metric) == (map_name, metric)]
        share, absolute = SHARE.get(metric, math.nan), math.nan
        if metric == "dead_enemies" and not any(entry.mean > FEW_DEAD for entry in entries):
            share = math.nan
        if metric == "win_rate" and map_name in RANDOM_WINS and entries:
            absolute = min(entry.mean for entry in entries) - RANDOM_WINS[map_name]
        errors = ERRORS.get(metric, 0.0)
        rows.append(compare(map_name, metric, ours, entries, share=share, absolute=absolute, errors=errors))
    return rows


def heuristic_win_rate(map_name: str, *, battles: int, seed: int) -> float:
    """Share of `battles` battles that SMAC's heuristic team wins on the simulator."""
    with BattleEnv(load_map(map_name), n_battles=battles, seed=seed) as env:
        anywhere, team = AttackAnywhere(env), HeuristicTeam(env)
        shown = anywhere.reset()
        while not shown.done.all():
            shown = anywhere.step(team(shown))
    return float(shown.won.mean())


def heuristic_row(map_name: str, real: Sequence[Real], battles: int, seed: int) -> Row:
    """The share of battles that SMAC's heuristic team wins beside the published one."""
    rate = heuristic_win_rate(map_name, battles=battles, seed=seed)
    show_progress(f"{map_name}: {battles} of {battles} battles", ends=True)
    ours = Number(rate, math.sqrt(rate * (1 - rate) / battles))
    return compare(map_name, "win_rate", ours, [entry for entry in real if entry.map == map_name])
