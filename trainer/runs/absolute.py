"""The absolute metric of a run: its best checkpoint's battles, of a seed that is used for nothing else.

The best of many evaluations is lucky in part; new battles tell what it is worth (Gorsane et al., "Towards a
Standardised Performance Evaluation Protocol for Cooperative MARL", 2022, section 5).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from envs.errors import InputError
from envs.files import read_regular, write_atomically
from envs.outcomes import EpisodeStats, battles_of, summarise
from trainer.runs.assembly import EVALUATION_SEED_OFFSET

FILE_NAME = "absolute.json"
BATTLES = 320
SEED = 50_000_001
"""Of these battles: nothing is chosen by them, and no run may have seen them."""


@dataclass(frozen=True)
class AbsoluteMetric:
    """What `FILE_NAME` holds: the checkpoint's steps, rates and means, and every battle."""

    env_steps: int
    seed: int
    win_rate: float
    win_rate_interval: tuple[float, float]
    return_mean: float
    episode_length_steps: float
    battles: dict[str, list[float]]


def check_unseen(path: Path, seed: int) -> None:
    """InputError when a run of that seed was trained or evaluated on these battles."""
    if SEED in (seed, seed + EVALUATION_SEED_OFFSET):
        raise InputError(f"{path} has seen the battles of the absolute metric: train with another --seed")


def save_absolute(run_dir: Path, env_steps: int, stats: Sequence[EpisodeStats]) -> Path:
    """Write the metric into the run directory; OSError when that fails."""
    summary = summarise(stats)
    metric = AbsoluteMetric(
        env_steps=env_steps,
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
    """The metric of a run directory; None where there is none yet, InputError where the file is another."""
    path = run_dir / FILE_NAME
    try:
        data = json.loads(read_regular(path))
        return AbsoluteMetric(**data)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise InputError(f"{path} cannot be read: {error}; lan-eval --absolute writes it anew") from None
