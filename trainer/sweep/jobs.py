"""The runs of a sweep: which there are, how each is started or continued, and how far it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.errors import InputError
from trainer.config import FILE_NAME, TrainConfig, flag, learner_name, load_config
from trainer.runs.metrics import FILE_NAME as METRICS_NAME

FINISHED_NAME = "finished.json"
"""Written into a run directory when its last checkpoint holds the end of the run."""
LOG_NAME = "train.log"
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    config: TrainConfig

    @property
    def run_dir(self) -> Path:
        """Where the run is written."""
        assert self.config.run_dir is not None
        return self.config.run_dir

    @property
    def name(self) -> str:
        """The run in words."""
        learner = learner_name(self.config.algorithm, self.config.sharing)
        return f"{self.config.map} {learner} seed {self.config.seed}"

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: the run finished, and was to be no shorter than now."""
        try:
            finished = json.loads((self.run_dir / FINISHED_NAME).read_text())
        except (FileNotFoundError, ValueError):
            return False
        return bool(finished.get("steps", 0) >= self.config.steps)

    def flags(self) -> list[str]:
        """The command line of `lan-train` that begins this run."""
        return train_flags(self.config)


@dataclass(frozen=True)
class Progress:
    """How far a run is: environment steps, and win rate and mean return of the last evaluation."""

    env_steps: int = 0
    win_rate: float | None = None
    return_mean: float | None = None


def plan_jobs(
    settings: TrainConfig, maps: Sequence[str], algorithms: Sequence[str], seeds: int, out: Path
) -> list[Job]:
    """Every map with every algorithm and seed 0 to `seeds` - 1, seed by seed.

    InputError for unknown algorithms, and where `out` holds a run of other settings.
    """
    jobs = []
    for seed in range(seeds):
        for map_name in dict.fromkeys(maps):
            for algorithm in dict.fromkeys(algorithms):
                run_dir = out / f"{map_name}-{learner_name(algorithm, settings.sharing)}-seed{seed}"
                config = replace(settings, map=map_name, algorithm=algorithm, seed=seed, run_dir=run_dir)
                jobs.append(Job(config.resolved()))
    for job in jobs:
        check_settings(job)
    return jobs


def check_settings(job: Job) -> None:
    """InputError when the run directory of a job holds a run of other settings."""
    if not (job.run_dir / FILE_NAME).exists():
        return
    saved = load_config(job.run_dir).resolved()
    names = {field.name for field in fields(TrainConfig)} - {"run_dir", "resume"}
    changed = [name for name in sorted(names) if getattr(saved, name) != getattr(job.config, name)]
    if job.config.steps > saved.steps:
        changed.remove("steps")  # a sweep may be made longer: its runs go on
    if changed:
        listed = ", ".join(
            f"{flag(name)} was {getattr(saved, name)}, now {getattr(job.config, name)}" for name in changed
        )
        raise InputError(
            f"{job.run_dir} holds a run of other settings ({listed}): choose another --out, "
            "or repeat the command that began this sweep"
        )


def train_flags(config: TrainConfig) -> list[str]:
    """The flags of `lan-train` that give `config`; what equals the default is left out."""
    words = []
    for field in fields(TrainConfig):
        value = getattr(config, field.name)
        if value == field.default:
            continue
        if isinstance(value, bool):
            words.append(flag(field.name) if value else flag(f"no_{field.name}"))
        else:
            words += [flag(field.name), str(value)]
    return words


def read_progress(run_dir: Path) -> Progress:
    """How far a run is, by the end of its metrics; also while it is being written."""
    try:
        with (run_dir / METRICS_NAME).open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except FileNotFoundError:
        return Progress()
    records = [record for line in lines if (record := parse(line)) is not None]
    evaluation: dict[str, Any] = {}
    for record in records:
        if record["kind"] == "evaluation":
            evaluation = record
    steps = records[-1]["env_steps"] if records else 0
    return Progress(steps, evaluation.get("win_rate"), evaluation.get("return_mean"))


def parse(line: bytes) -> dict[str, Any] | None:
    """A line of metrics; None for what the cut at the beginning left of one."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None
