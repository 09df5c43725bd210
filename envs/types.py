"""The contract of every environment: its spec, its time steps, and the methods of `MultiAgentEnv`.

Axes: B battles, N agents, A actions, O observation features, S state features.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import numpy.typing as npt

CONTRACT_VERSION = 2
"""Version of the layouts and of the model file; a number that differs is refused, never adapted."""

RULES_VERSION = 2
"""Version of the simulator's rules: model files fit all versions, but results of two must not mix."""

OLD_BATTLEFIELD = (
    "contract version 1, made for the old battlefield (positions in its states are divided by 32 instead of "
    "28, and other rules held); train and export again"
)
"""What is wrong with files and agents of contract version 1."""

HIDDEN_DIM = 64
"""H, the length of an agent's memory, in the networks and in the model file (LAN paper, section 4)."""

MAX_MAP_BYTES = 32 * 1024
"""Of a map of one's own, as a file and as text in a model file; real ones have a fifteenth."""

BoolArray = npt.NDArray[np.bool_]
IntArray = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float32]


@dataclass(frozen=True)
class EnvSpec:
    """Dimensions of an environment; travels in the checkpoint and in the ONNX metadata.

    `unit_dim` is the width of one agent's slice at the head of the state; `episode_limit` is in
    environment steps. The state has no last-action block, unless a map's settings say so: a learner that
    wants last actions appends them.
    """

    name: str
    n_agents: int
    n_actions: int
    obs_dim: int
    state_dim: int
    unit_dim: int
    episode_limit: int
    contract_version: int = CONTRACT_VERSION

    def to_json(self) -> str:
        """One JSON object, keys sorted, so that equal specs are equal text."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> EnvSpec:
        """The spec that `to_json` wrote; ValueError when it is not exactly one."""
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"environment spec is not JSON: {error}") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: Any) -> EnvSpec:
        """The spec held in plain data; ValueError naming the first field that is missing or mistyped."""
        if not isinstance(data, dict):
            raise ValueError(f"environment spec is not an object but {type(data).__name__}")
        for field in fields(cls):
            kind = str if field.name == "name" else int
            if type(data.get(field.name)) is not kind:
                raise ValueError(f"environment spec: field {field.name!r} is missing or no {kind.__name__}")
        if unknown := set(data) - {field.name for field in fields(cls)}:
            raise ValueError(f"environment spec: unknown fields {sorted(unknown)}")
        return cls(**data)

    def differences(self, other: EnvSpec) -> list[str]:
        """One text `field: mine, theirs` for every field in which the two differ."""
        mine, theirs = asdict(self), asdict(other)
        return [
            f"{name}: {mine[name]!r}, not {theirs[name]!r}" for name in mine if mine[name] != theirs[name]
        ]


class EnemyRows(NamedTuple):
    """Where observations hold what an agent sees of its enemies: the same features of each, in a row.

    Enemy j's features are the `width` columns from first + j width on, zeros while it is not seen; the
    column `distance` of them is never negative, and above 0 where it is seen. Action first_attack + j
    attacks it.
    """

    first: int
    n_enemies: int
    width: int
    distance: int
    first_attack: int

    @classmethod
    def from_plain(cls, numbers: Any) -> EnemyRows | None:
        """The rows whose numbers a file holds in a list, or None; ValueError when it holds something else."""
        if numbers is None:
            return None
        if not isinstance(numbers, list) or [type(number) for number in numbers] != [int] * len(cls._fields):
            raise ValueError("its rows of enemies are not five whole numbers")
        return cls(*numbers)

    @property
    def end(self) -> int:
        """The column after the last enemy's features."""
        return self.first + self.n_enemies * self.width

    def fit(self, spec: EnvSpec) -> bool:
        """Whether an environment's observations and actions have these columns and attacks."""
        return (
            min(self) >= 0
            and self.n_enemies > 0
            and self.distance < self.width
            and self.end <= spec.obs_dim
            and self.first_attack + self.n_enemies <= spec.n_actions
        )


@dataclass(frozen=True)
class TimeStep:
    """The output of B battles after a reset or a step. The arrays belong to the caller.

    obs [B, N, O] f32, state [B, S] f32, avail_actions [B, N, A] bool, reward [B] f32 (0 after a reset),
    terminated [B], truncated [B] (time-out), won [B] bool. A battle that has ended stays as it ended,
    with reward 0, until it is reset.
    """

    obs: FloatArray
    state: FloatArray
    avail_actions: BoolArray
    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    won: BoolArray

    @property
    def done(self) -> BoolArray:
        """[B] bool: the battle has ended, either way."""
        return self.terminated | self.truncated

    def copied(self) -> TimeStep:
        """The same time step in new arrays."""
        return TimeStep(*(getattr(self, field.name).copy() for field in fields(self)))


class Team(Protocol):
    """All agents of B battles: called with the last time step, it returns their actions [B, N].

    The actions of battles that have ended do not matter.
    """

    def __call__(self, step: TimeStep) -> IntArray: ...


class Arena(Protocol):
    """What every team is made from: of which spec its battles are, and how many there are."""

    @property
    def spec(self) -> EnvSpec: ...

    @property
    def n_battles(self) -> int: ...


class MultiAgentEnv(Arena, Protocol):
    """B battles side by side, every one a function of `(seed, episode number, actions)` alone.

    An environment is a context manager: the end of its block closes it.

    Episode numbers are handed out by `reset` in the order of the slots, starting at `next_episode`;
    so episode e of seed s is the same battle whatever B is, and setting `next_episode` continues a run.
    """

    next_episode: int

    @property
    def idle_actions(self) -> tuple[int, ...]:
        """The actions with which an agent does nothing, the best first; empty where there is none.

        The game host plays the first one that is available for an agent that does not answer, and where none
        is, the first available action.
        """
        ...

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """Start a new episode in every slot where `mask` [B] is true (all when None); the others stay."""
        ...

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step in every battle that has not ended; actions [B, N].

        ValueError naming battle, agent and action when one is not available; then no battle is advanced.
        The actions of a battle that has ended are not looked at. A live game may raise EpisodeLostError.
        """
        ...

    def close(self) -> None:
        """Release what the environment holds; calling it twice is harmless."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exception: object) -> None: ...


class TwoSided(Protocol):
    """An environment whose enemies are commanded from outside too, before every step, as the agents are."""

    def seen_by_enemies(self) -> TimeStep:
        """What the enemies see now, as agents of the same environment."""
        ...

    def command_enemies(self, actions: IntArray) -> None:
        """Take the actions [B, E] of the enemies for the next step; ValueError where one is not available."""
        ...


class ClosesOnExit(ABC):
    """Makes a context manager of an environment: `with make_env("3m") as env` closes it in any case."""

    @abstractmethod
    def close(self) -> None:
        """Release what the environment holds; calling it twice is harmless."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()
