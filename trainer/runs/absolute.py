"""The absolute metric of a run: its best checkpoint's battles, of a seed that is used for nothing else.

The best of many evaluations is lucky in part; new battles tell what it is worth (Gorsane et al., "Towards a
Standardised Performance Evaluation Protocol for Cooperative MARL", 2022, section 5).
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.files import read_regular, write_atomically
from envs.outcomes import EpisodeStats, battles_of, summarise
from trainer.runs.config_file import BEST_NAME

FILE_NAME = "absolute.json"
BATTLES = 320
SEED = 50_000_001
"""Of these battles: nothing is chosen by them, and no run may have seen them."""


@dataclass(frozen=True)
class AbsoluteMetric:
    """What `FILE_NAME` holds: the checkpoint's steps, rates and means, and every battle."""

    env_steps: int
    checkpoint_sha256: str
    seed: int
    win_rate: float
    win_rate_interval: tuple[float, float]
    return_mean: float
    episode_length_steps: float
    battles: dict[str, list[float]]


def check_unseen(path: Path, seed: int) -> None:
    """InputError when a run of that seed was trained or evaluated on these battles."""
    from trainer.runs.assembly import EVALUATION_SEED_OFFSET  # with torch, which lan-plot does without

    if SEED in (seed, seed + EVALUATION_SEED_OFFSET):
        raise InputError(f"{path} has seen the battles of the absolute metric: train with another --seed")


def digest_of_best(run_dir: Path) -> str | None:
    """The digest of the run's best checkpoint; None where it is not there any more."""
    try:
        return hashlib.sha256(read_regular(run_dir / BEST_NAME)).hexdigest()
    except OSError:
        return None


def save_absolute(
    run_dir: Path, env_steps: int, checkpoint_sha256: str, stats: Sequence[EpisodeStats]
) -> Path:
    """Write the metric of a checkpoint into the run directory; InputError when that fails."""
    summary = summarise(stats)
    metric = AbsoluteMetric(
        env_steps=env_steps,
        checkpoint_sha256=checkpoint_sha256,
        seed=SEED,
        win_rate=summary.win_rate,
        win_rate_interval=summary.win_rate_interval,
        return_mean=summary.return_mean,
        episode_length_steps=summary.length_mean_steps,
        battles=battles_of(stats),
    )
    path = run_dir / FILE_NAME
    write_atomically(path, json.dumps(asdict(metric)).encode())
    return path


def load_absolute(run_dir: Path) -> AbsoluteMetric | None:
    """The metric of a run directory's best checkpoint; None where there is none of it yet.

    InputError where the file says something else.
    """
    path = run_dir / FILE_NAME
    try:
        data = json.loads(read_regular(path))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}; lan-eval --absolute writes it anew") from None
    if not is_metric(data):
        raise InputError(f"{path} holds no absolute metric; lan-eval --absolute {run_dir} writes it anew")
    metric = AbsoluteMetric(**data)
    return metric if digest_of_best(run_dir) in (None, metric.checkpoint_sha256) else None


def is_metric(data: Any) -> bool:
    """Whether plain data is what `save_absolute` writes."""
    if not isinstance(data, dict) or set(data) != {field.name for field in fields(AbsoluteMetric)}:
        return False
    battles, n_steps = data["battles"], data["env_steps"]
    return (
        data["seed"] == SEED
        and type(n_steps) is int
        and n_steps >= 0
        and are_battles(battles)
        and len(battles["won"]) == BATTLES
        and all(is_number(data[name]) for name in ("win_rate", "return_mean", "episode_length_steps"))
        and data["win_rate"] == sum(battles["won"]) / BATTLES
    )


def are_battles(data: Any) -> bool:
    """Whether plain data is what `battles_of` gives: equally many finite numbers each, wins of 0 or 1."""
    if not isinstance(data, dict) or set(data) != {"return", "length_steps", "won"}:
        return False
    return (
        all(isinstance(rows, list) and len(rows) == len(data["won"]) for rows in data.values())
        and all(is_number(value) for rows in data.values() for value in rows)
        and set(data["won"]) <= {0, 1}
    )


def is_number(value: Any) -> bool:
    """Whether a value is a finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
