"""The runs of a sweep: how each is started or continued, and how far it is."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.files import open_regular, read_regular, write_atomically
from envs.smac.own_maps import map_file
from trainer.config import (
    ResolvedConfig,
    TrainConfig,
    changes,
    learner_name,
    may_differ,
    run_name,
)
from trainer.marks import Free, flag
from trainer.runs.config_file import FILE_NAME, load_config
from trainer.runs.metrics import FILE_NAME as METRICS_NAME

FINISHED_NAME = "finished.json"
"""Written into a run directory when its last checkpoint holds the end of the run."""
LOG_NAME = "train.log"
MAP_NAME = "map.json"
"""The map of one's own that a run learns, beside its log, so that every machine of a cluster has it."""
TAIL_BYTES = 1 << 16


@dataclass(frozen=True)
class Job:
    """One run of a sweep."""

    config: ResolvedConfig

    @property
    def run_dir(self) -> Path:
        """Where the run is written."""
        assert self.config.run_dir is not None
        return self.config.run_dir

    @property
    def name(self) -> str:
        """The name that tables and messages show."""
        learner = learner_name(self.config.algorithm, self.config.sharing)
        return f"{self.config.map} {learner} seed {self.config.seed}"

    @property
    def finished(self) -> bool:
        """Whether the run finished, was asked for at least as many steps as now, and is still there."""
        try:
            finished = json.loads(read_regular(self.run_dir / FINISHED_NAME))
            kept = any(self.run_dir.glob("*.pt")) and (self.run_dir / METRICS_NAME).stat().st_size > 0
            return kept and bool(finished["steps"] >= self.config.steps)
        except (OSError, ValueError, TypeError, KeyError, RecursionError):  # not there, or not ours
            return False

    def make_folder(self) -> None:
        """Make the run directory, with the map in it where that is one of one's own."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        if self.config.map_text is not None:
            write_atomically(self.run_dir / MAP_NAME, self.config.map_text.encode())

    def flags(self) -> list[str]:
        """The command line of `lan-train` that begins this run."""
        words = train_flags(self.config)
        if self.config.map_text is not None:
            words[words.index("--map") + 1] = map_file(self.run_dir / MAP_NAME, self.config.map)
        return words

    def resume_flags(self) -> list[str]:
        """The command line of `lan-train` that resumes this run, with the settings a sweep may change."""
        words = ["--resume", str(self.run_dir), "--map", self.config.map, "--steps", str(self.config.steps)]
        for field in fields(TrainConfig):
            value = getattr(self.config, field.name)
            left_out = field.name in ("run_dir", "map_text")
            if may_differ(field.name, Free.IN_SWEEP) and not left_out and value is not None:
                words += [flag(field.name), str(value)]
        return words


@dataclass(frozen=True)
class Progress:
    """How far a run is: environment steps, and win rate and mean return of the last evaluation."""

    env_steps: int = 0
    win_rate: float | None = None
    return_mean: float | None = None


def plan_jobs(configs: Sequence[ResolvedConfig], seeds: int, out: Path) -> list[Job]:
    """A run of each of `configs` with each of the seeds 0 to `seeds` - 1, seed by seed; written in `out`.

    InputError where `out` holds a run of other settings.
    """
    jobs = []
    for seed in range(seeds):
        for config in configs:
            config = replace(config, seed=seed)
            jobs.append(Job(replace(config, run_dir=out / run_name(config))))
            check_settings(jobs[-1])
    return jobs


def saved_backend(out: Path) -> str | None:
    """The backend of the runs in a sweep's folder; None where there is none, or not one."""
    backends = {load_config(path.parent).env for path in out.glob(f"*/{FILE_NAME}")}
    return backends.pop() if len(backends) == 1 else None


def check_settings(job: Job) -> None:
    """InputError when the run directory of a job holds a run of other settings."""
    if not (job.run_dir / FILE_NAME).exists():
        return
    saved = load_config(job.run_dir)
    if job.config.steps > saved.steps:  # a sweep may be made longer: its runs go on
        saved = replace(saved, steps=job.config.steps)
    if changed := changes(saved, job.config, Free.IN_SWEEP):
        raise InputError(
            f"{job.run_dir} holds a run of other settings ({', '.join(changed)}): choose another --out, "
            "or repeat the command that began this sweep"
        )


def train_flags(config: ResolvedConfig) -> list[str]:
    """The flags of `lan-train` that give `config`; what equals the default is left out, and a map's text."""
    words = []
    for field in fields(TrainConfig):
        value = getattr(config, field.name)
        if value == field.default or field.name == "map_text":
            continue
        if isinstance(value, bool):
            words.append(flag(field.name) if value else flag(f"no_{field.name}"))
        else:
            words += [flag(field.name), str(value)]
    return words


def read_progress(run_dir: Path) -> Progress:
    """How far a run is, by the end of its metrics, which may still be growing."""
    try:
        with open_regular(run_dir / METRICS_NAME, os.O_RDONLY) as file:
            file.seek(max(0, file.seek(0, 2) - TAIL_BYTES))
            lines = file.read().split(b"\n")[:-1]
    except (OSError, InputError):  # not there yet, a shared disk that is away, or no file
        return Progress()
    records = [record for line in lines if (record := parse(line)) is not None]
    evaluation: dict[str, Any] = {}
    for record in records:
        if record["kind"] == "evaluation":
            evaluation = record
    steps = records[-1]["env_steps"] if records else 0
    return Progress(steps, evaluation.get("win_rate"), evaluation.get("return_mean"))


def parse(line: bytes) -> dict[str, Any] | None:
    """A line of metrics; None when it is only the rest of one."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    known = isinstance(record, dict) and {"kind", "env_steps"} <= set(record)
    return record if known else None
