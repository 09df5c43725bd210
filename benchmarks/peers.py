"""The simulator's speed beside others': `python -m benchmarks.peers [--map 3m] [--seconds 3] [--rounds 3]`.

Everybody plays random available actions, and makes observations, state and available actions at every step.
`batched` is 64 battles at once on one thread, `StarCraft2Env` the class with SMAC's interface, both ours.
`SMAClite` and `official SMAC`, whose game is `lan-sc2`, play where they can be imported. They take turns. A
number is the median over the rounds of steps per processor second, of this process and the game's together,
so that what else runs here matters little.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from envs.battle.env import BattleEnv
from envs.command import run_command
from envs.conformance import random_actions
from envs.interfaces.starcraft2 import StarCraft2Env
from envs.make import prepare_for_games
from envs.sc2.descriptors import sc2_protocol
from envs.sc2api.install import install
from envs.smac.maps import load_map

LABELS = ("batched", "StarCraft2Env", "SMAClite", "official SMAC")
WARM_UP_S = 1.0
BATTLES = 64
Step = Callable[[np.random.Generator], int]
"""Plays one step of every battle there is, resets included, and returns how many steps these are."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    map: tuple[str, ...] = ("2s3z", "MMM2", "corridor", "27m_vs_30m")
    """Maps to play."""
    seconds: float = 3.0
    """Processor seconds of each measurement."""
    rounds: int = 3
    """How often to measure."""
    json: bool = False
    """Print one JSON object instead of a table."""


def batched(name: str) -> Step:
    """Many battles on one thread."""
    env = BattleEnv(load_map(name), n_battles=BATTLES, seed=1, threads=1)
    last = env.reset()

    def step(rng: np.random.Generator) -> int:
        nonlocal last
        last = env.step(random_actions(last, rng))
        if last.done.any():
            last = env.reset(last.done)
        return BATTLES

    return step


def available_actions(env: Any, rng: np.random.Generator) -> list[int]:
    """An available action for each agent, drawn uniformly."""
    can = np.asarray(env.get_avail_actions())
    actions: list[int] = np.where(can, rng.random(can.shape), -1.0).argmax(axis=1).tolist()
    return actions


def smac_shaped(env: Any) -> Step:
    """An environment with SMAC's interface."""
    env.reset()

    def step(rng: np.random.Generator) -> int:
        ended = env.step(available_actions(env, rng))[1]
        env.get_obs()
        env.get_state()
        if ended:
            env.reset()
        return 1

    return step


def smaclite(name: str) -> Step | None:
    """SMAClite; None where it has no such map. Its steps return the observations."""
    import gymnasium

    importlib.import_module("smaclite")  # it registers its maps
    full_name = f"smaclite/{name}-v0"
    if full_name not in gymnasium.registry:
        return None
    env: Any = gymnasium.make(full_name).unwrapped
    env.reset(seed=1)

    def step(rng: np.random.Generator) -> int:
        _, _, terminated, truncated, _ = env.step(available_actions(env, rng))
        env.get_state()
        if terminated or truncated:
            env.reset()
        return 1

    return step


def official(name: str, stack: ExitStack) -> Step:
    """The official package on the stand-in, which is closed with the stack."""
    prepare_for_games()
    sc2_protocol()
    env = importlib.import_module("smac.env").StarCraft2Env(map_name=name, seed=1)
    stack.callback(env.close)
    return smac_shaped(env)


def contestants(name: str, stack: ExitStack) -> dict[str, Step]:
    """Who plays a map here."""
    found: dict[str, Step | None] = {
        "batched": batched(name),
        "StarCraft2Env": smac_shaped(StarCraft2Env(map_name=name, seed=1)),
    }
    if importlib.util.find_spec("smaclite"):
        found["SMAClite"] = smaclite(name)
    if importlib.util.find_spec("smac"):
        found["official SMAC"] = official(name, stack)
    return {label: step for label, step in found.items() if step is not None}


def processor_s() -> float:
    """Processor seconds of this process and of those it has started."""
    me = psutil.Process()
    return float(sum(sum(process.cpu_times()[:2]) for process in (me, *me.children(recursive=True))))


def speed(step: Step, seconds: float) -> float:
    """Steps per processor second."""
    rng, steps, begun = np.random.default_rng(0), 0, processor_s()
    while (passed := processor_s() - begun) < seconds:
        until_s = time.monotonic() + 0.05  # asking for the time takes time
        while time.monotonic() < until_s:
            steps += step(rng)
    return steps / passed


def measure(name: str, config: Config) -> dict[str, float]:
    """By contestant, the median of its speeds on a map."""
    with ExitStack() as stack:
        playing = contestants(name, stack)
        for step in playing.values():
            speed(step, WARM_UP_S)
        speeds: dict[str, list[float]] = {label: [] for label in playing}
        for _ in range(config.rounds):
            for label, step in playing.items():
                speeds[label].append(speed(step, config.seconds))
    return {label: statistics.median(values) for label, values in speeds.items()}


def run(config: Config) -> None:
    """Measure and print, a row for each map; InputError for an unknown map before anything is played."""
    for name in config.map:
        load_map(name)
    table = {}
    if not config.json:
        print(f"| map | {' | '.join(LABELS)} |\n|---|{'---|' * len(LABELS)}", flush=True)
    with tempfile.TemporaryDirectory(prefix="lan-sc2-") as folder:
        install(Path(folder), 75689)
        os.environ["SC2PATH"] = folder
        for name in config.map:
            row = table[name] = measure(name, config)
            if not config.json:
                cells = (f"{row[label]:,.0f}" if label in row else "-" for label in LABELS)
                print(f"| {name} | {' | '.join(cells)} |", flush=True)
    if config.json:
        print(
            json.dumps({"seconds": config.seconds, "rounds": config.rounds, "steps_per_processor_s": table})
        )


def main() -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.peers", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
