"""The algorithms by name: how each differs from LAN's settings, and how its learner is made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from envs.errors import InputError
from envs.make import agent_types

if TYPE_CHECKING:
    import torch

    from envs.types import EnvSpec
    from trainer.learning.learner import Learner, LearnerSettings


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


def make_learner(
    algorithm: str,
    spec: EnvSpec,
    settings: LearnerSettings,
    device: torch.device,
    agent_types: Sequence[str] | None = None,
) -> Learner:
    """A fresh learner; its weights come from torch's global generator.

    `agent_types` [N]: agents of one type share their local network; all agents do when it is None.
    """
    from trainer.learning.lan import LanLearner
    from trainer.learning.qlearner import QLearner

    lan = partial(LanLearner, spec, settings, device, agent_types=agent_types)
    q_learner = partial(QLearner, spec, settings, device, agent_types=agent_types)
    makers: dict[str, Callable[[], Learner]] = {
        "lan": lan,
        "lan-mean": partial(lan, subtract_mean=True),
        "iql": partial(q_learner, mixer=None),
        "iql-nofog": partial(q_learner, mixer=None),
        "vdn": partial(q_learner, mixer="vdn"),
        "qmix": partial(q_learner, mixer="qmix"),
        "qplex": partial(q_learner, mixer="qplex"),
    }
    return makers[algorithm]()


def types_to_split(sharing: str, environment: str) -> tuple[str, ...] | None:
    """[N] agents' types where `sharing` is `type`, None where all share; InputError if there is but one."""
    if sharing == "all":
        return None
    types = agent_types(environment)
    if types is None:
        raise InputError(f"--sharing type: the agents of {environment} have no types; leave it out")
    if len(set(types)) < 2:
        raise InputError(
            f"--sharing type: all agents of {environment} are of one type, {types[0]}, so there is nothing "
            "to split; leave it out"
        )
    return types
