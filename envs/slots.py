"""Base classes of environments.

`BatchEnv` checks arguments, `SlotEnv` also counts steps and keeps ends, `WrappedEnv` wraps another one.
"""

from __future__ import annotations

import operator
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, SupportsIndex

import numpy as np

from envs.errors import InputError
from envs.text import one_line
from envs.types import BoolArray, ClosesOnExit, EnvSpec, FloatArray, IntArray, MultiAgentEnv, TimeStep

MAX_ACTIONS = 256
"""Replay and recordings keep an action in one byte."""


@dataclass(frozen=True)
class Outcome:
    """The outcome of a step, [B] each, read only where a battle is live; `SlotEnv` adds the time limit."""

    reward: FloatArray
    terminated: BoolArray
    truncated: BoolArray
    won: BoolArray

    @classmethod
    def nothing(cls, n_battles: int) -> Outcome:
        """No reward and no end, to be filled in."""
        return cls(np.zeros(n_battles, np.float32), *np.zeros((3, n_battles), np.bool_))


def whole_seed(seed: SupportsIndex) -> int:
    """A seed as a Python number, numpy's too; InputError unless it is whole and not negative."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if number < 0:
        raise InputError(f"seed is {one_line(repr(seed), 80)}; say a whole number, 0 or more")
    return number


class BatchEnv(ClosesOnExit):
    """B slots side by side, each with one episode: holds the spec, counts episodes, checks arguments.

    A subclass in which an agent can do nothing says by which `idle_actions`; see `MultiAgentEnv`.
    InputError when there are more than `MAX_ACTIONS` actions.
    """

    idle_actions: tuple[int, ...] = ()

    def __init__(self, spec: EnvSpec, n_battles: int) -> None:
        if n_battles < 1:
            raise ValueError(f"n_battles is {n_battles}; {type(self).__name__} plays at least one battle")
        if spec.n_actions > MAX_ACTIONS:
            raise InputError(
                f"{spec.name} has {spec.n_actions} actions; at most {MAX_ACTIONS} can be learned"
            )
        self.next_episode = 0
        self._spec = spec
        self._n_battles = n_battles

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @property
    def n_battles(self) -> int:
        return self._n_battles

    def _chosen(self, mask: BoolArray | None) -> BoolArray:
        """The slots to reset, [B]: all when `mask` is None; ValueError when it is not [B] bool."""
        chosen = np.ones(self.n_battles, np.bool_) if mask is None else np.asarray(mask)
        if chosen.shape != (self.n_battles,) or chosen.dtype != np.bool_:
            raise ValueError(f"mask is {chosen.dtype} {chosen.shape}, not bool ({self.n_battles},)")
        return chosen


class WrappedEnv(ClosesOnExit):
    """An environment around another one, whose attributes it has, the simulator's units for example."""

    def __init__(self, env: MultiAgentEnv) -> None:
        self._env = env

    def __getattr__(self, name: str) -> Any:
        return getattr(object.__getattribute__(self, "_env"), name)

    @property
    def spec(self) -> EnvSpec:
        return self._env.spec

    @property
    def n_battles(self) -> int:
        return self._env.n_battles

    @property
    def idle_actions(self) -> tuple[int, ...]:
        return self._env.idle_actions

    @property
    def next_episode(self) -> int:
        return self._env.next_episode

    @next_episode.setter
    def next_episode(self, episode: int) -> None:
        self._env.next_episode = episode

    def close(self) -> None:
        """Close the inner environment."""
        self._env.close()


def check_actions(actions: IntArray, avail_actions: BoolArray, live: BoolArray) -> IntArray:
    """Actions [B, N] as an array of integers, all available in the battles that are `live` [B].

    avail_actions [B, N, A]. ValueError names the first battle, agent and action that cannot be played.
    """
    actions = integer_actions(actions, avail_actions.shape[:2])
    clipped = np.clip(actions, 0, avail_actions.shape[2] - 1)
    playable = (actions == clipped) & np.take_along_axis(avail_actions, clipped[..., None], axis=2)[..., 0]
    for battle, agent in np.argwhere(~playable & live[:, None])[:1]:
        raise unavailable(actions, avail_actions, battle, agent)
    return actions


def integer_actions(actions: IntArray, shape: tuple[int, ...]) -> IntArray:
    """Actions as an array; ValueError unless they are integers of `shape`, which is [B, N]."""
    actions = np.asarray(actions)
    if actions.shape != shape or actions.dtype.kind not in "iu":
        raise ValueError(f"actions are {actions.dtype} {actions.shape}, not integers {shape}")
    return actions


def unavailable(actions: IntArray, avail_actions: BoolArray, battle: int, agent: int) -> ValueError:
    """The error of an action that is not available."""
    able = np.flatnonzero(avail_actions[battle, agent]).tolist()
    action = actions[battle, agent]
    return ValueError(f"battle {battle}, agent {agent}: action {action} is not available; {able} are")


class SlotEnv(BatchEnv):
    """An environment written in numpy; satisfies `envs.types.MultiAgentEnv`.

    A subclass begins episodes (`begin`), plays steps (`advance`) and makes observations (`observe`).
    """

    def __init__(self, spec: EnvSpec, n_battles: int) -> None:
        super().__init__(spec, n_battles)
        self._steps = np.zeros(n_battles, np.int64)
        self._reward = np.zeros(n_battles, np.float32)
        self._terminated = np.ones(n_battles, np.bool_)  # nothing goes on before the first reset
        self._truncated = np.zeros(n_battles, np.bool_)
        self._won = np.zeros(n_battles, np.bool_)

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """Start a new episode in every slot where `mask` [B] is true (all when None); the others stay."""
        slots = np.flatnonzero(self._chosen(mask))
        self.begin(slots, np.arange(self.next_episode, self.next_episode + len(slots)))
        self.next_episode += len(slots)
        self._steps[slots] = 0
        self._reward[:] = 0
        self._terminated[slots] = self._truncated[slots] = self._won[slots] = False
        return self._time_step()

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step in every battle that has not ended; ValueError names an unavailable action."""
        live = ~self._terminated & ~self._truncated
        actions = check_actions(actions, self.available(), live)
        outcome = self.advance(actions, live)
        self._steps += live
        self._reward = np.where(live, outcome.reward, 0).astype(np.float32)
        out_of_time = outcome.truncated | (self._steps >= self.spec.episode_limit)
        self._terminated |= live & outcome.terminated
        self._truncated |= live & ~outcome.terminated & out_of_time
        self._won |= live & outcome.won
        return self._time_step()

    def close(self) -> None:
        """End every episode; there is nothing to release."""
        self._terminated[:], self._truncated[:] = True, False

    @abstractmethod
    def begin(self, slots: IntArray, episodes: IntArray) -> None:
        """Put `slots` into the first state of `episodes`; both [K]."""

    @abstractmethod
    def advance(self, actions: IntArray, live: BoolArray) -> Outcome:
        """Play actions [B, N] in the battles that are `live` [B]."""

    @abstractmethod
    def observe(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        """obs [B, N, O], state [B, S], avail_actions [B, N, A], in new arrays."""

    def available(self) -> BoolArray:
        """avail_actions [B, N, A] now; all of them unless a subclass says otherwise."""
        return np.ones((self.n_battles, self.spec.n_agents, self.spec.n_actions), np.bool_)

    def _time_step(self) -> TimeStep:
        ends = self._terminated.copy(), self._truncated.copy(), self._won.copy()
        return TimeStep(*self.observe(), self._reward.copy(), *ends)
