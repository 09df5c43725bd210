"""How fast a whole training run is, where its time goes, and how long two million steps would take.

    python -m benchmarks.training --map corridor --steps 100000 [--overlap on] [--json]

A real run in a temporary directory, evaluations and checkpoints included. The projection takes the rate of
the run's second half, when replay is filled and exploration is falling; where battles grow longer there are
fewer updates per step, where they grow shorter more. With `--overlap on` the seconds of playing run beside
the learner's; `waiting` is the time that the learner waited. When other work shares the machine, trust the
projection in core hours: it counts the processor's time, not the clock's.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar

import torch
from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.make import resolve_backend
from trainer.config import ResolvedConfig, TrainConfig, resolve
from trainer.runs.assembly import assemble
from trainer.runs.display import PlainReporter, format_duration
from trainer.runs.metrics import read_metrics
from trainer.runs.plan import Plan
from trainer.runs.process_memory import peak_memory_mb
from trainer.runs.run import TrainingRun

PROJECTED_STEPS = 2_000_000
Result = TypeVar("Result")


@dataclass(frozen=True)
class BenchmarkConfig:
    """Flags of the benchmark; everything else is `lan-train`'s default."""

    map: str = "3m"
    """The map to learn."""
    algorithm: str = "lan"
    """The learner."""
    steps: int = 20_000
    """Environment steps."""
    seed: int = 0
    """Seed of the run."""
    envs: int = 8
    """Battles side by side."""
    threads: int = 1
    """Threads of the learner."""
    device: str = "cpu"
    """cpu or cuda."""
    overlap: Literal["on", "off"] = "off"
    """Whether playing goes on beside learning."""
    replay_dtype: Literal["float32", "float16"] = "float32"
    """How replay keeps observations and states."""
    json: bool = False
    """Print one JSON object instead of tables."""


def train_config(config: BenchmarkConfig) -> ResolvedConfig:
    """The settings of the run."""
    settings = asdict(config)
    del settings["json"]
    log_interval = max(1, min(TrainConfig.log_interval_steps, config.steps // 10))
    return resolve(TrainConfig(**settings, env="sim", log_interval_steps=log_interval))


class Stopwatch:
    """Sums up how long calls take."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def around(self, call: Callable[..., Result]) -> Callable[..., Result]:
        """The same call, timed."""

        def timed(*args: Any, **kwargs: Any) -> Result:
            start = time.perf_counter()
            try:
                return call(*args, **kwargs)
            finally:
                self.seconds += time.perf_counter() - start

        return timed


class Progress(PlainReporter):
    """Evaluations go to stderr, so that they do not mix with the result."""

    def record(self, record: dict[str, Any]) -> None:
        """Print an evaluation."""
        if record["kind"] == "evaluation":
            print(f"{record['env_steps']:>9,} steps, win rate {record['win_rate']:.0%}", file=sys.stderr)


def measure(config: BenchmarkConfig, folder: Path) -> dict[str, Any]:
    """Train and measure; returns plain data."""
    simulating = Stopwatch()
    with assemble(Plan(train_config(config), folder, resolve_backend("sim"))) as run:
        run.env.step = simulating.around(run.env.step)  # type: ignore[method-assign]
        run.env.reset = simulating.around(run.env.reset)  # type: ignore[method-assign]
        start, cpu_start = time.perf_counter(), time.process_time()
        run.run(Progress())
        wall_s, cpu_s = time.perf_counter() - start, time.process_time() - cpu_start
    return describe(run, folder, wall_s, cpu_s, simulating.seconds)


def describe(
    run: TrainingRun, folder: Path, wall_s: float, cpu_s: float, simulating_s: float
) -> dict[str, Any]:
    """The measured numbers as plain data."""
    clocks, split, config = run.clocks, run.wall_split_s, run.config
    records = read_metrics(folder)
    half = next(record for record in records if record["env_steps"] >= clocks.env_steps / 2)
    steps_per_s = (clocks.env_steps - half["env_steps"]) / (wall_s - half["wall_s"])
    playing = (
        {"simulating_beside": simulating_s, "waiting": split["collect"]}
        if config.overlap == "on"
        else {"simulating": simulating_s, "acting": split["collect"] - simulating_s}
    )
    parts = {**playing, **{part: split[part] for part in ("learn", "evaluate", "checkpoint")}}
    per_episode = run.replay.nbytes / max(1, len(run.replay))
    return {
        "steps": clocks.env_steps,
        "episodes": clocks.episodes,
        "updates": run.learner.updates,
        "wall_s": round(wall_s, 1),
        "cores_busy": round(cpu_s / wall_s, 2),
        "steps_per_s": round(clocks.env_steps / wall_s, 1),
        "ms_per_update": round(1e3 * split["learn"] / max(1, run.learner.updates), 2),
        "parts_s": {part: round(seconds, 2) for part, seconds in parts.items()},
        "second_half_steps_per_s": round(steps_per_s, 1),
        "projected_2m_steps_h": round(PROJECTED_STEPS / steps_per_s / 3600, 2),
        "projected_2m_steps_core_h": round(PROJECTED_STEPS / clocks.env_steps * cpu_s / 3600, 2),
        "peak_memory_mb": round(peak_memory_mb()),
        "replay_mb": round(run.replay.nbytes / 2**20, 1),
        "replay_of_5000_gib": round(5000 * per_episode / 2**30, 2),
        "last_win_rate": clocks.win_rate,
    }


def benchmark(config: BenchmarkConfig) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder:
        result = measure(config, Path(folder) / "run")
    about = {"processor": platform.processor() or platform.machine(), "torch": torch.__version__}
    if config.json:
        print(json.dumps({**about, **asdict(config), **result}))
        return
    table = Table("what", "measured", title=f"{config.algorithm} on {config.map}, overlap {config.overlap}")
    for name, value in result.items():
        if name == "parts_s":
            for part, seconds in value.items():
                table.add_row(f"  {part}", f"{seconds:,.1f} s, {seconds / result['wall_s']:.1%}")
        else:
            table.add_row(name, f"{value:,}" if isinstance(value, int | float) else str(value))
    table.add_row("projected", format_duration(3600 * result["projected_2m_steps_h"]))
    Console().print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    description = (__doc__ or "").split("\n")[0]
    return run_command(BenchmarkConfig, benchmark, prog="training", description=description, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
