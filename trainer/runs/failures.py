"""What can go wrong with updates: none is due, no replay, a full GPU, a loss that is not finite."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path

import numpy as np

from envs.errors import DivergedError, InputError
from trainer.config import ResolvedConfig
from trainer.learning.batch import EpisodeBatch
from trainer.replay.buffer import ReplayBuffer
from trainer.runs.checkpoint import write_tensors
from trainer.runs.config_file import RUN_NAME

READ_AGAIN_AFTER_S = (1.0, 4.0, 15.0)
"""When a file of replay that could not be read is tried again."""


def learns_nothing(config: ResolvedConfig) -> str | None:
    """A warning where a run's steps cannot bring one update, even in episodes of one step; None otherwise."""
    most = config.steps
    if most >= config.first_update_episodes and most * config.updates_per_episode >= 1:
        return None
    return (
        f"nothing will be learned: updates begin with {config.first_update_episodes:,} episodes in replay, "
        f"then {config.updates_per_episode:g} an episode, and the run has {config.steps:,} steps; give more "
        "--steps, or change --first-update-episodes or --updates-per-episode"
    )


def draw(
    replay: ReplayBuffer, rng: np.random.Generator, n_episodes: int, warn: Callable[[str], None]
) -> EpisodeBatch:
    """A batch from replay; InputError when a file of it cannot be read, again and again."""
    before = rng.bit_generator.state
    for wait_s in READ_AGAIN_AFTER_S:
        try:
            return replay.sample(rng, n_episodes)
        except OSError as error:
            rng.bit_generator.state = before
            warn(f"replay cannot be read now, trying again in {wait_s:.0f} s: {error}")
            time.sleep(wait_s)
    try:
        return replay.sample(rng, n_episodes)
    except OSError as error:
        raise InputError(f"replay cannot be read: {error}") from None


def gpu_is_full(batch: EpisodeBatch, update: int, resume_words: str) -> InputError:
    """The error of an update that did not fit the GPU's memory; `resume_words` go on with the run."""
    n = batch.n_episodes
    return InputError(
        f"the GPU ran out of memory at update {update}, on {n} episodes with {batch.n_rows:,} observations "
        f"per agent: train anew with a lower --batch-episodes than {n}, or go on from the last checkpoint on "
        f"the processor: lan-train {resume_words} --device cpu"
    )


def diverged(batch: EpisodeBatch, update: int, result: dict[str, float], folder: Path) -> DivergedError:
    """The error of an update whose loss is not finite; writes its batch to the run's folder."""
    path = folder / "diverged-batch.pt"
    try:
        write_tensors(path, {field.name: getattr(batch, field.name) for field in fields(batch)})
        where = f"is in {path}"
    except OSError as error:
        where = f"could not be written ({error})"
    return DivergedError(
        f"update {update} gave loss {result['loss']} and gradient norm {result['grad_norm']}; its batch "
        f"{where}, the last good checkpoint in {folder / RUN_NAME}"
    )
