"""How fast the embedded simulator plays: `python -m benchmarks.simulator [--map 3m] [--battles 64] [--json]`.

One step is an environment step of one battle (8 game loops, all agents act), with random available actions,
observations, state, available actions, rewards and resets. Time is split into physics (the game loops), views
(observations, state, availability), actions (drawing them, in a kernel here) and Python (the rest).
Each case is measured --repeats times and the best is shown. Where other work shares the cores, steps per
second of processor time (per core, all threads together) say more than steps per second.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from dataclasses import asdict, dataclass, field

import numpy as np

from envs.battle import kernel as kernel_entries
from envs.battle.env import BattleEnv
from envs.battle.world import Bools, Ints
from envs.command import nearest_names, run_command
from envs.compiled import kernel
from envs.errors import InputError
from envs.smac.maps import ALL_NAMES, MAP_NAMES, load_map
from envs.smac.rng import Seeds, seed_stream, uniform
from envs.smac.units import LOOPS_PER_STEP
from trainer.runs.process_memory import peak_memory_mb


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark."""

    map: tuple[str, ...] = ()
    """Maps to play (SMAC's 23 when none is named)."""
    battles: tuple[int, ...] = (1, 16, 64)
    """Battles side by side."""
    threads: int | None = None
    """Threads for the battles (one a core when left out)."""
    seconds: float = 2.0
    """How long to measure each case."""
    repeats: int = 3
    """How often to measure it; the best counts."""
    memory: bool = False
    """Measure peak memory too: of 1024 battles of corridor, above what importing takes."""
    json: bool = False
    """Print one JSON object instead of a table."""


@dataclass(frozen=True)
class Case:
    """One measurement; `us_per_step` is the cost of one battle's step by part, microseconds of one thread."""

    map: str
    battles: int
    threads: int
    steps_per_s: float
    steps_per_core_s: float
    us_per_step: dict[str, float] = field(default_factory=dict)


@kernel
def draw_actions(avail: Bools, rng: Seeds, actions: Ints) -> None:
    """Fill actions [B, N] uniformly from the available ones; stream rng[0]."""
    for b in range(avail.shape[0]):
        for i in range(avail.shape[1]):
            count = 0
            for action in range(avail.shape[2]):
                count += avail[b, i, action]
            left = int(uniform(rng) * count)
            for action in range(avail.shape[2]):
                if avail[b, i, action]:
                    if left == 0:
                        actions[b, i] = action
                        break
                    left -= 1


@kernel
def start_stream(rng: Seeds, seed: np.uint64) -> None:
    """Seed the stream of `draw_actions`."""
    seed_stream(rng, seed, np.uint64(0))


class Player:
    """Random play on one environment."""

    def __init__(self, map_name: str, battles: int, threads: int | None) -> None:
        self.env = BattleEnv(load_map(map_name), n_battles=battles, seed=0, threads=threads)
        self.rng = np.zeros(1, np.uint64)
        start_stream(self.rng, np.uint64(0))
        self.actions = np.zeros((battles, self.env.spec.n_agents), np.int64)
        self.shown = self.env.reset()

    def play(self, seconds: float) -> tuple[float, float]:
        """Steps per second, and per second of processor time; battles together, resets included."""
        rounds, start, cpu = 0, time.perf_counter(), time.process_time()
        while time.perf_counter() - start < seconds:
            draw_actions(self.shown.avail_actions, self.rng, self.actions)
            self.shown = self.env.step(self.actions)
            if self.shown.done.any():
                self.shown = self.env.reset(self.shown.done)
            rounds += 1
        steps = rounds * self.env.n_battles
        return steps / (time.perf_counter() - start), steps / (time.process_time() - cpu)

    def parts(self, seconds: float) -> dict[str, float]:
        """Processor time of one battle's step by part, microseconds; rounds that end battles are left out."""
        env, clock = self.env, time.thread_time
        battles, worlds, tables, memory = env._battles, env._worlds, env._tables, env._memory
        views = env._fresh_views()
        spent = dict.fromkeys(("physics", "views", "actions", "python"), 0.0)
        rounds, start = 0, clock()
        while clock() - start < seconds:
            t0 = clock()
            draw_actions(self.shown.avail_actions, self.rng, self.actions)
            t1 = clock()
            stepped = env.step(self.actions)
            t2 = clock()
            kernel_entries.show(0, env.n_battles, battles, worlds, tables, memory, views)
            t3 = clock()
            kernel_entries.play(
                0, env.n_battles, battles, worlds, env._orders, LOOPS_PER_STEP, tables, memory, views
            )
            t4 = clock()
            self.shown = env.reset(battles.terminated | battles.truncated)
            if not stepped.done.any():
                spent["views"] += t3 - t2
                spent["physics"] += (t4 - t3) - (t3 - t2)
                spent["actions"] += t1 - t0
                spent["python"] += (t2 - t1) - (t4 - t3)
                rounds += 1
        return {part: round(s / max(rounds, 1) / env.n_battles * 1e6, 2) for part, s in spent.items()}


def measure(map_name: str, battles: int, threads: int | None, seconds: float, repeats: int) -> Case:
    """Play one map, after a warm-up that compiles and spreads the battles over their lengths."""
    player = Player(map_name, battles, threads)
    player.play(seconds / 2)
    speed, per_core = (
        max(found) for found in zip(*(player.play(seconds) for _ in range(repeats)), strict=True)
    )
    player.env.close()
    alone = Player(map_name, battles, 1)
    alone.play(seconds / 4)
    parts = min((alone.parts(seconds / 2) for _ in range(repeats)), key=lambda found: sum(found.values()))
    return Case(map_name, battles, player.env.n_threads, round(speed), round(per_core), parts)


def memory_mb(map_name: str = "corridor", battles: int = 1024) -> float:
    """Peak memory of `battles` battles above what importing and one battle take, MB."""
    Player(map_name, 1, 1).play(0.2)
    before = peak_memory_mb()
    Player(map_name, battles, None).play(3.0)
    return peak_memory_mb() - before


def run(config: Config) -> None:
    """Measure and print."""
    for name in config.map:
        if name not in ALL_NAMES:
            raise InputError(f"unknown map {name!r}: {nearest_names(name, ALL_NAMES)}")
    if min(config.battles) < 1 or config.repeats < 1 or not config.seconds > 0:
        raise InputError("--battles, --repeats and --seconds must be positive")
    memory = memory_mb() if config.memory else None
    if not config.json:
        print("steps/s of all battles together; one battle's step in microseconds on one thread, by part")
        speeds = f"{'steps/s':>9} {'per core':>9}"
        print(f"{'map':16} {'B':>4} {'threads':>7} {speeds}   physics   views actions  python")
    cases = []
    for name in config.map or MAP_NAMES:
        for battles in config.battles:
            case = measure(name, battles, config.threads, config.seconds, config.repeats)
            cases.append(case)
            if not config.json:
                split = " ".join(f"{us:7.2f}" for us in case.us_per_step.values())
                speeds = f"{case.steps_per_s:9,.0f} {case.steps_per_core_s:9,.0f}"
                print(f"{name:16} {battles:4} {case.threads:7} {speeds}   {split}", flush=True)
    if config.json:
        report = {
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "cases": [asdict(case) for case in cases],
            "memory_mb_1024_corridor": memory,
        }
        print(json.dumps(report))
    elif memory is not None:
        print(f"1024 battles of corridor: {memory:.0f} MB above the import")


def main() -> int:
    """The command."""
    return run_command(Config, run, prog="benchmarks.simulator", description=__doc__ or "")


if __name__ == "__main__":
    sys.exit(main())
