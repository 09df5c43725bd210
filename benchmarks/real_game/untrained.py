"""Teams of networks that have learned nothing: where every learner begins, in the real game and here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch

from benchmarks.real_game.comparison import Number, Real, Row, compare, mean
from benchmarks.real_game.scripted import show_progress
from envs.battle.env import BattleEnv
from envs.smac.maps import load_map
from trainer.learning.networks import advantage_net
from trainer.playing.policy import PolicyTeam, TorchPolicy
from trainer.playing.rollout import play

BATTLES_EACH: Final = 32
"""Battles of a network, as in PyMARL's evaluations."""
ERRORS: Final = 3.0
"""How far a mean may be off, in standard errors of both sides together: some forty numbers are compared."""


def play_untrained(map_name: str, battles: int, seed: int) -> dict[str, Number]:
    """Greedy battles of networks with torch's first weights, `BATTLES_EACH` each.

    Mean return, length and dead agents, with errors over networks: a network's battles are much alike.
    """
    n_networks = max(2, battles // BATTLES_EACH)
    found: dict[str, list[float]] = {"return": [], "length_steps": [], "dead_allies": []}
    with torch.random.fork_rng(devices=[]):
        for number in range(n_networks):
            torch.manual_seed(seed + number)
            with BattleEnv(load_map(map_name), n_battles=BATTLES_EACH, seed=seed + number, threads=1) as env:
                policy = TorchPolicy(advantage_net(env.spec))
                stats = play(env, lambda policy=policy, env=env: PolicyTeam(policy, env), BATTLES_EACH)
                fallen = env.units.alive[:, : env.spec.n_agents] == 0
            found["return"].append(float(np.mean([stat.episode_return for stat in stats])))
            found["length_steps"].append(float(np.mean([stat.length_steps for stat in stats])))
            found["dead_allies"].append(float(fallen.sum(axis=1).mean()))
            ends = number == n_networks - 1
            show_progress(f"{map_name}: {number + 1} of {n_networks} networks", ends=ends)
    return {metric: mean(np.array(values)) for metric, values in found.items()}


def untrained_rows(map_name: str, real: Sequence[Real], battles: int, seed: int) -> list[Row]:
    """The numbers of one map beside the real ones."""
    rows = []
    for metric, ours in play_untrained(map_name, battles, seed).items():
        entries = [entry for entry in real if (entry.map, entry.metric) == (map_name, metric)]
        if entries:
            rows.append(compare(map_name, metric, ours, entries, absolute=0.0, errors=ERRORS))
    return rows
