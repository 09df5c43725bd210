"""`lan-eval --absolute RUN`: the absolute metric of a run, kept in its directory for `lan-plot`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from envs.errors import InputError
from envs.outcomes import EpisodeStats


def flags_of(run_dir: Path, said: Sequence[str]) -> dict[str, Any]:
    """The flags that the metric has, by name; InputError where one is among those that were `said`."""
    from trainer.runs.absolute import BATTLES, SEED
    from trainer.runs.config_file import load_config
    from trainer.runs.opponents import scripted

    opponent = load_config(run_dir).opponent
    flags = {"episodes": BATTLES, "seed": SEED, "opponent": opponent}
    for name in said:
        if name in (*flags, "env"):
            raise InputError(
                f"--{name}: the absolute metric is {BATTLES} battles of one seed, as in training"
            )
    if opponent not in scripted():
        raise InputError(f"--absolute {run_dir}: it was trained against a file, {opponent}")
    return flags


def best_of(run_dir: Path) -> Path:
    """The run's best checkpoint; InputError where it has none, is of other rules, or has seen the battles."""
    from trainer.runs.absolute import check_unseen
    from trainer.runs.config_file import BEST_NAME, check_rules, load_config

    config = load_config(run_dir)
    check_rules(run_dir)
    check_unseen(run_dir, config.seed)
    best = run_dir / BEST_NAME
    if not best.is_file():
        raise InputError(f"--absolute {run_dir}: it has no {BEST_NAME} yet")
    return best


def mark_of(run_dir: Path) -> tuple[int, str]:
    """The best checkpoint's steps and digest, by which its metric is known.

    InputError as `best_of`, and where the checkpoint is another run's.
    """
    from trainer.runs.absolute import digest_of_best
    from trainer.runs.assembly import check_own
    from trainer.runs.checkpoint import load_checkpoint
    from trainer.runs.config_file import load_config

    digest, best = digest_of_best(run_dir), best_of(run_dir)
    checkpoint = load_checkpoint(best)
    check_own(best, checkpoint, load_config(run_dir))
    return checkpoint.env_steps, digest or ""


def check_mark(run_dir: Path, mark: tuple[int, str]) -> None:
    """InputError where a run that trains on has another best checkpoint by now, which may be what plays."""
    from trainer.runs.absolute import digest_of_best

    if digest_of_best(run_dir) != mark[1]:
        raise InputError(f"--absolute {run_dir}: its best checkpoint was replaced just now; try again")


def save(run_dir: Path, mark: tuple[int, str], stats: Sequence[EpisodeStats]) -> Path:
    """Write the metric; the file's path."""
    from trainer.runs.absolute import save_absolute

    return save_absolute(run_dir, *mark, stats)
