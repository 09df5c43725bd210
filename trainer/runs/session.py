"""One sitting of a training run in one process: put its parts together, watch it, say how it ended."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from rich.console import Console

from envs.errors import DivergedError, InputError
from envs.files import write_atomically
from envs.make import BACKEND_NAMES, battles_at_once, env_spec, make_env
from envs.version import project_version
from trainer.config import FILE_NAME, TrainConfig
from trainer.learning.algorithms import make_learner, types_to_split
from trainer.learning.learner import LearnerSettings
from trainer.runs.directory import Restored, RunDirectory
from trainer.runs.display import LiveReporter, PlainReporter, format_duration
from trainer.runs.process_memory import keep_freed_memory, peak_memory_mb
from trainer.runs.run import TrainingRun, make_replay

EVALUATION_SEED_OFFSET = 1_000_003
"""Evaluation battles come from another seed, so that no battle is both trained on and tested on."""


def train_in(run_dir: Path, config: TrainConfig, backend: str) -> int:
    """Train in a directory, new or resumed; 0 when finished or stopped on request, 1 when it diverged."""
    torch_device(config.device)
    directory = RunDirectory(run_dir, config.keep_checkpoints)
    restored = None if config.resume is None or directory.is_new else resume(directory, config, backend)
    begins = f"resumed at {restored.checkpoint.env_steps:,} steps" if restored else "new run"
    print(
        f"lan-train: {config.environment} on {BACKEND_NAMES[backend]} (--env {backend}), {config.algorithm}, "
        f"seed {config.seed}, {begins}, writing to {run_dir}",
        flush=True,
    )
    return watch(assemble(directory, config, backend, restored))


def assemble(
    directory: RunDirectory, config: TrainConfig, backend: str, restored: Restored | None = None
) -> TrainingRun:
    """A run with its environments and its learner, and the settings written to its directory."""
    keep_freed_memory()
    torch.set_num_threads(1)  # the learner splits its batches over --threads instead
    torch.manual_seed(config.seed)
    env = make_env(config.environment, backend, n_battles=config.envs, seed=config.seed)
    eval_env = make_env(
        config.environment,
        backend,
        n_battles=battles_at_once(backend, config.eval_episodes),
        seed=config.seed + EVALUATION_SEED_OFFSET,
    )
    learner = make_learner(
        config.algorithm,
        env.spec,
        learner_settings(config),
        torch_device(config.device),
        types_to_split(config.sharing, config.environment),
    )
    if restored is None:
        begin_directory(directory.path, config, backend, env.spec.to_json())
    else:
        save_end(directory.path, config)
    return TrainingRun(config, backend, directory, env, eval_env, learner, project_version(), restored)


def resume(directory: RunDirectory, config: TrainConfig, backend: str) -> Restored:
    """What the run in a directory goes on from; says so when that is not its newest checkpoint."""
    restored = directory.restore(lambda: make_replay(config, env_spec(config.environment)))
    if restored.checkpoint.backend != backend:
        raise InputError(
            f"{directory.path} was trained on {restored.checkpoint.backend}, not {backend}; "
            "results must not mix"
        )
    for damage in restored.damaged:
        print(f"lan-train: set aside a checkpoint: {damage}", file=sys.stderr)
    if restored.damaged:
        steps = restored.checkpoint.env_steps
        print(f"lan-train: going on from the checkpoint before, of {steps:,} steps", file=sys.stderr)
    return restored


def learner_settings(config: TrainConfig) -> LearnerSettings:
    """The part of a run's settings that the learner is told."""
    return LearnerSettings(
        learning_rate=config.learning_rate,
        gamma=config.gamma,
        grad_norm_clip=config.grad_norm_clip,
        target_update_interval=config.target_update_interval,
        optimizer=config.resolved().optimizer or "",
        value_gradient_to_gru=config.value_gradient_to_gru,
        threads=config.threads,
    )


def watch(run: TrainingRun) -> int:
    """Run with a display and with Ctrl-C and SIGTERM answered; prints a summary at the end."""

    def stop(number: int, frame: FrameType | None) -> None:
        if run.stop_requested:
            raise KeyboardInterrupt
        run.stop_requested = True
        print("\nstopping: saving after this update; once more to stop without saving", file=sys.stderr)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    console = Console()
    first_steps = run.state.env_steps
    live = console.is_terminal
    try:
        with LiveReporter(console, run.config, first_steps) if live else PlainReporter() as reporter:
            run.run(reporter)
    except DivergedError as error:
        print(f"lan-train: the run diverged: {error}", file=sys.stderr)
        return 1
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        run.close()
    print_summary(run, first_steps)
    if not run.is_saved:
        print("lan-train: the end of this run is not saved: its last checkpoint failed", file=sys.stderr)
    return 0 if run.is_saved else 1


def print_summary(run: TrainingRun, first_steps: int) -> None:
    """How it ended, how fast it was, where the time went, what it took."""
    folder = run.directory.path
    state, split = run.state, run.wall_split_s
    steps, wall_s = state.env_steps - first_steps, run.wall_s - run.wall_before_s
    ended = "finished" if run.finished else f"stopped; go on with lan-train --resume {folder}"
    parts = ", ".join(f"{part} {seconds / wall_s:.1%}" for part, seconds in split.items())
    win_rate = "not evaluated yet" if state.win_rate is None else f"{state.win_rate:.0%}"
    print(
        f"{ended}: {state.env_steps:,} steps, {state.episodes:,} episodes, {run.learner.updates:,} updates, "
        f"last win rate {win_rate}\n"
        f"{steps:,} steps in {format_duration(wall_s)}: {steps / wall_s:,.0f} steps/s ({parts}); "
        f"peak memory {peak_memory_mb():,.0f} MB, replay {run.replay.nbytes / 2**20:,.0f} MB\n"
        f"checkpoint: {folder / 'run.pt'}"
    )


def begin_directory(run_dir: Path, config: TrainConfig, backend: str, spec: str) -> None:
    """Make the directory and write its settings; InputError when that cannot be."""
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        write_config(run_dir / FILE_NAME, config, backend, spec)
    except OSError as error:
        raise InputError(f"cannot begin a run in {run_dir}: {error.strerror or error}") from None


def write_config(path: Path, config: TrainConfig, backend: str, spec: str) -> None:
    """The resolved settings, and what they were resolved to, as JSON; written last, it makes a run a run."""
    data = {
        "config": config.to_dict(),
        "backend": backend,
        "spec": json.loads(spec),
        "versions": {
            "lan-smac": project_version(),
            "torch": torch.__version__,
            "python": sys.version.split()[0],
        },
    }
    write_json(path, data)


def save_end(run_dir: Path, config: TrainConfig) -> None:
    """Keep when a resumed run is to end, so that resuming it once more need not say so again."""
    path = run_dir / FILE_NAME
    data = json.loads(path.read_text())
    end = {"steps": config.steps, "until_win_rate": config.until_win_rate}
    if data["config"] | end == data["config"]:
        return
    data["config"] |= end
    write_json(path, data)


def write_json(path: Path, data: dict[str, Any]) -> None:
    """Write a file of JSON, whole or not at all; InputError when the disk says no."""
    write_atomically(path, (json.dumps(data, indent=2) + "\n").encode())


def torch_device(name: str) -> torch.device:
    """The device of that name; InputError when there is none here."""
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device {name!r}: say cpu, cuda or cuda:0") from None
    if device.type == "cuda" and not torch.cuda.is_available():
        raise InputError("--device cuda: torch sees no CUDA device here; --device cpu works everywhere")
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"--device {name}: only cpu and cuda are supported")
    return device
