"""The algorithms by name: how each one's learner is made, and its default settings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from envs.errors import InputError
from envs.make import agent_types, enemy_rows

if TYPE_CHECKING:
    import torch

    from envs.types import EnemyRows, EnvSpec
    from trainer.learning.learner import Learner, LearnerSettings


@dataclass(frozen=True)
class Algorithm:
    """How a learner is made, and its default settings; those here are LAN's.

    `make(spec, settings, device, agent_types=...)` is called when training begins. `first_update_episodes`:
    episodes in replay before the first update, never fewer than a batch. `no_fog`: trained and run on
    observations without sight limit. `central`: what is learned beside the agents' networks, "value" or
    "mixer"; "" for nothing.
    """

    make: Callable[..., Learner]
    updates_per_episode: int = 2
    optimizer: str = "adam"
    first_update_episodes: int = 0
    no_fog: bool = False
    central: str = ""


OPTIMIZER_NAMES = ("adam", "rmsprop")
NETWORK_NAMES = ("flat", "entity")


def lan(*args: Any, **options: Any) -> Learner:
    """A `LanLearner`; torch is imported now and not before."""
    from trainer.learning.lan import LanLearner

    return LanLearner(*args, **options)


def q_learner(*args: Any, **options: Any) -> Learner:
    """A `QLearner`; torch is imported now and not before."""
    from trainer.learning.qlearner import QLearner

    return QLearner(*args, **options)


def pymarl(mixer: str | None) -> Algorithm:
    """A Q-learner with PyMARL's settings."""
    central = "" if mixer in (None, "vdn") else "mixer"  # VDN's sum has no weights
    make = partial(q_learner, mixer=mixer)
    return Algorithm(make, updates_per_episode=1, optimizer="rmsprop", central=central)


ALGORITHMS: dict[str, Algorithm] = {
    "lan": Algorithm(lan, central="value"),
    "lan-mean": Algorithm(partial(lan, subtract_mean=True), central="value"),
    "iql": pymarl(None),
    "iql-nofog": replace(pymarl(None), no_fog=True),
    "vdn": pymarl("vdn"),
    "qmix": pymarl("qmix"),
    "qplex": replace(pymarl("qplex"), updates_per_episode=2, first_update_episodes=100),
}
"""The LAN paper's, PyMARL's, and for QPLEX its official implementation's settings."""


def make_learner(
    algorithm: str,
    spec: EnvSpec,
    settings: LearnerSettings,
    device: torch.device,
    agent_types: Sequence[str] | None = None,
    enemies: EnemyRows | None = None,
) -> Learner:
    """A fresh learner; its weights come from torch's global generator.

    `agent_types` [N]: agents of one type share their local network; all agents do when it is None.
    `enemies`: local networks read every enemy by itself.
    """
    return ALGORITHMS[algorithm].make(spec, settings, device, agent_types=agent_types, enemies=enemies)


def types_to_split(sharing: str, environment: str) -> tuple[str, ...] | None:
    """[N] agents' types where `sharing` is `type`, None where all share; InputError if there is but one."""
    if sharing == "all":
        return None
    types = agent_types(environment)
    if types is None:
        raise InputError(f"--sharing type: the agents of {environment} have no types; leave it out")
    if not types:
        raise InputError(
            f"--sharing type: the agents of {environment} are of other types in every episode, so no network "
            "can belong to a type; leave it out"
        )
    if len(set(types)) < 2:
        raise InputError(
            f"--sharing type: all agents of {environment} are of one type, {types[0]}, so there is nothing "
            "to split; leave it out"
        )
    return types


def enemies_to_read(network: str, environment: str) -> EnemyRows | None:
    """Where networks read every enemy by itself, if `network` is `entity`; InputError if none can be seen."""
    if network == "flat":
        return None
    rows = enemy_rows(environment)
    if rows is None:
        raise InputError(f"--network entity: {environment} shows no enemies; leave it out, or say flat")
    return rows
