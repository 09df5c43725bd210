"""What tests hand a learner: its settings, and batches of episodes as they come out of replay."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from trainer.config import TrainConfig, resolve
from trainer.learning.batch import EpisodeBatch
from trainer.learning.learner import LearnerSettings
from trainer.replay.buffer import pack_episodes
from trainer.replay.episode import Episode, StoredEpisode
from trainer.runs.assembly import learner_settings


def settings(**changes: Any) -> LearnerSettings:
    """LAN's, on one thread, with some changed."""
    return replace(learner_settings(resolve(TrainConfig(threads=1))), **changes)


def pack(episodes: Sequence[Episode], n_actions: int, *, bootstrap_on_timeout: bool = False) -> EpisodeBatch:
    """One batch of all of them."""
    stored = [StoredEpisode.store(episode, "float32") for episode in episodes]
    return pack_episodes(stored, n_actions, bootstrap_on_timeout=bootstrap_on_timeout)
