"""The algorithms by name: how each differs from LAN's settings, and how its learner is made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

    from envs.types import EnvSpec
    from trainer.learner import Learner, LearnerSettings


@dataclass(frozen=True)
class AlgorithmDefaults:
    """Settings that come with an algorithm; the defaults are LAN's.

    `first_update_episodes`: episodes in replay before the first update, never fewer than a batch. `no_fog`:
    trained and run on observations without sight limit.
    """

    updates_per_episode: int = 2
    optimizer: str = "adam"
    first_update_episodes: int = 0
    no_fog: bool = False


OPTIMIZER_NAMES = ("adam", "rmsprop")

PYMARL = AlgorithmDefaults(updates_per_episode=1, optimizer="rmsprop")

ALGORITHMS: dict[str, AlgorithmDefaults] = {
    "lan": AlgorithmDefaults(),
    "lan-mean": AlgorithmDefaults(),
    "iql": PYMARL,
    "iql-nofog": replace(PYMARL, no_fog=True),
    "vdn": PYMARL,
    "qmix": PYMARL,
    "qplex": AlgorithmDefaults(updates_per_episode=2, optimizer="rmsprop", first_update_episodes=100),
}
"""The LAN paper's, PyMARL's, and for QPLEX its official implementation's settings."""


def make_learner(algorithm: str, spec: EnvSpec, settings: LearnerSettings, device: torch.device) -> Learner:
    """A fresh learner; its weights come from torch's global generator."""
    from trainer.lan import LanLearner
    from trainer.qlearner import QLearner

    makers: dict[str, Callable[[], Learner]] = {
        "lan": lambda: LanLearner(spec, settings, device),
        "lan-mean": lambda: LanLearner(spec, settings, device, subtract_mean=True),
        "iql": lambda: QLearner(spec, settings, device, mixer=None),
        "iql-nofog": lambda: QLearner(spec, settings, device, mixer=None),
        "vdn": lambda: QLearner(spec, settings, device, mixer="vdn"),
        "qmix": lambda: QLearner(spec, settings, device, mixer="qmix"),
        "qplex": lambda: QLearner(spec, settings, device, mixer="qplex"),
    }
    return makers[algorithm]()
