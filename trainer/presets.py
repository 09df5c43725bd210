"""Presets: named values of settings that a run leaves open; what the command line says comes first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from envs.command import nearest_names
from envs.errors import InputError
from envs.make import reward_or_map
from envs.plain import is_smac_map
from envs.text import one_line
from trainer.learning.algorithms import ALGORITHMS

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {
        "reward": "map",
        "network": "flat",
        "envs": 8,
        "batch_episodes": 32,
        "td_lambda": 0.0,
        "target_tau": 0.0,
        "replay_episodes": 5_000,
        "epsilon_anneal_steps": 50_000,
    },
    "fast": {
        "reward": "smacv2",
        "network": "entity",
        "envs": 64,
        "batch_episodes": 8,
        "td_lambda": 0.6,
        "target_tau": 0.01,
        "updates_per_episode": 0.5,
        "first_update_episodes": 0,
        "replay_episodes": 256,
        "optimizer": "adam",
        "epsilon_anneal_steps": 100_000,
    },
}
"""`paper`: the LAN paper's, which leaves optimiser, updates and first update to the algorithm. `fast`: the
same for every algorithm, found in results/fast."""


def left_open(algorithm: str, preset: str) -> dict[str, Any]:
    """Every setting that a run may leave open, with its value under this algorithm and this preset.

    InputError when either is unknown.
    """
    chosen = {"algorithm": (algorithm, ALGORITHMS), "preset": (preset, PRESETS)}
    for kind, (name, known) in chosen.items():
        if name not in known:
            raise InputError(f"unknown {kind} {one_line(repr(name), 80)}: {nearest_names(name, known)}")
    defaults = ALGORITHMS[algorithm]
    return {
        "updates_per_episode": defaults.updates_per_episode,
        "first_update_episodes": defaults.first_update_episodes,
        "optimizer": defaults.optimizer,
        **PRESETS["paper"],
        **PRESETS[preset],
    }


def left_open_on(
    environment: str, backend: str, algorithm: str, preset: str, batch_episodes: int | None
) -> dict[str, Any]:
    """As `left_open`, with the paper's network and the map's reward where the environment can have no other.

    The first update waits for a whole batch: of `batch_episodes`, of the preset's where that is None.
    """
    values = left_open(algorithm, preset)
    if not is_smac_map(environment):
        values["network"] = "flat"
    values["reward"] = reward_or_map(values["reward"], environment, backend)
    first, batch = values["first_update_episodes"], batch_episodes or values["batch_episodes"]
    values["first_update_episodes"] = max(first, batch)
    return values
