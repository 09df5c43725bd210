"""One PettingZoo parallel environment, seen from outside: it is code of somebody else, so nothing is taken
for granted. What its documentation allows is followed; anything else is an InputError that names it.
"""

from __future__ import annotations

import contextlib
import logging
import math
import traceback
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import numpy as np

from envs.errors import InputError
from envs.spaces import MASK, SpaceError, allowed, features, is_a, n_features, number, numbers, shown
from envs.text import one_line
from envs.types import BoolArray, FloatArray, IntArray

log = logging.getLogger(__name__)

MAX_AGENTS: Final = 1024
MAX_FEATURES: Final = 14_400
"""Of an agent's observation: a model file with more would be larger than agents accept."""
_TRIALS: Final = 8
"""Resets in which an environment has to show agents once; some episodes may have none."""
WIN_KEYS: Final = ("battle_won", "won", "is_success")
"""Keys of an agent's last `info` that say that the team won."""


class Ending(NamedTuple):
    """A step's reward, and how it ended the episode."""

    reward: float
    terminated: bool = False
    truncated: bool = False
    won: bool = False


class Guest(contextlib.AbstractContextManager["Guest"]):
    """An environment and the team of its `possible_agents`, numbered in that order.

    InputError, here and in every call, when it does what PettingZoo does not allow or raises anything. Then
    `__cause__` is what it raised.
    """

    def __init__(self, name: str, env: Any) -> None:
        self.name, self._env, self._where = name, env, "at the start"
        for method in ("reset", "step", "observation_space", "action_space"):
            if not callable(getattr(env, method, None)):
                self._refuse(f"{type(env).__name__} has no {method}(), so it is no parallel environment")
        with self._calling("possible_agents"):
            possible = getattr(env, "possible_agents", None)
            self.agents = [] if possible is None else list(possible)
            self.index = {agent: i for i, agent in enumerate(self.agents)}
        if possible is None:
            self._refuse("it has no possible_agents, so the team has no fixed size")
        if not 1 <= len(self.index) == len(self.agents) <= MAX_AGENTS:
            self._refuse(f"possible_agents is {shown(possible)}; 1 to {MAX_AGENTS} different agents can play")
        self._actions = [self._read_actions(agent) for agent in self.agents]
        self._spaces, self._sizes = self._read_spaces()
        self.n_actions, self.obs_dim = max(map(len, self._actions)), max(self._sizes)
        self.state_dim: int | None = None
        self._ended: set[Any] = set()

    @property
    def episode_limit(self) -> int | None:
        """Its `max_cycles`, None where it has none."""
        with self._calling("max_cycles"):
            limit = getattr(getattr(self._env, "unwrapped", self._env), "max_cycles", None)
            if limit is None or limit == 0 or limit == math.inf:
                return None
            steps = int(limit)
        if steps < 1:
            self._refuse(f"max_cycles is {shown(limit)}, no number of steps")
        return steps

    def try_out(self, seed: int) -> None:
        """Reset it once, look at all that it shows, and find out whether it has a state: see `state_dim`.

        It has one where `state()`, or an attribute of that name, gives numbers right after a reset.
        """
        N = len(self.agents)
        obs, available = np.zeros((N, self.obs_dim), np.float32), np.ones((N, self.n_actions), np.bool_)
        for episode in range(_TRIALS):
            self.reset(seed, episode, obs, available)
            if self._present():
                break
        else:
            self._refuse("it has no agents")
        try:
            given = self._env.state() if callable(self._env.state) else self._env.state
            count = np.asarray(given).size if np.asarray(given).dtype.kind in "biuf" else 0
        except (NotImplementedError, AttributeError, TypeError):
            return  # a state is optional
        except (Exception, SystemExit) as error:
            raise self._raised("state()", error) from error
        self.state_dim = count or None

    def reset(self, seed: int, episode: int, obs: FloatArray, available: BoolArray) -> None:
        """Begin an episode of a run's seed; fills in obs [N, O] and available [N, A]."""
        self.episode, self.steps, self._ended = episode, 0, set()
        self._where = f"at the reset of episode {episode}"
        words = np.random.SeedSequence([seed, episode]).generate_state(1)
        with self._calling("reset()"):
            given = self._env.reset(seed=int(words[0]))
        observations, infos = self._mappings("reset()", given, "observations", "infos")
        self._show(self._present(), observations, infos, obs, available)

    def step(self, chosen: IntArray, obs: FloatArray, available: BoolArray) -> Ending:
        """Play the actions [N] of the agents that are present; fills in obs [N, O] and available [N, A].

        The episode is over when all present agents have ended, which a few environments leave in `agents`.
        An agent that left may come back. An episode that begins without agents is over at once.
        """
        acting = self._present()
        if not acting:
            return Ending(0.0, terminated=True)
        self.steps += 1
        self._where = f"at step {self.steps} of episode {self.episode}"
        actions = {agent: self._actions[self.index[agent]][chosen[self.index[agent]]] for agent in acting}
        with self._calling("step()"):
            given = self._env.step(actions)
        names = ("observations", "rewards", "terminations", "truncations", "infos")
        observations, rewards, terminations, truncations, infos = self._mappings("step()", given, *names)
        reward = self._mean_reward(rewards, acting)
        gone = {a for a in acting for flags in (terminations, truncations) if self._flag(flags, a)}
        present = self._present()
        self._ended = (self._ended | gone) & set(present)
        self._show(present, observations, infos, obs, available)
        if len(self._ended) < len(set(present)):
            return Ending(reward)
        truncated = any(self._flag(truncations, agent) for agent in acting)
        ends = [info for info in infos.values() if isinstance(info, Mapping)]
        won = any(bool(np.any(info.get(key, False))) for info in ends for key in WIN_KEYS)
        return Ending(reward, not truncated, truncated, won)

    def read_state(self) -> FloatArray:
        """[S] what `state()` gives now."""
        with self._calling("state()"):
            given = self._env.state() if callable(self._env.state) else self._env.state
        try:
            return numbers(given, self.state_dim or 0)
        except SpaceError as error:
            self._refuse(f"its state {error}")

    def take_after(self, first: Guest) -> None:
        """Have the form of another environment of that name; InputError when it differs, or is the same."""
        if self._env is first._env:
            self._refuse("parallel_env gives the same object again, where a new environment is needed")
        for what in ("agents", "_actions", "_sizes"):
            if getattr(self, what) != getattr(first, what):
                self._refuse("parallel_env gives another team or other spaces each time it is called")
        self.state_dim = first.state_dim

    def __exit__(self, *exception: object) -> None:
        """Close it; what `close()` raises is logged, since everything has been played."""
        try:
            self._env.close()
        except (Exception, SystemExit) as error:
            log.warning("%s", one_line(self._raised("close()", error), 400))

    def _read_actions(self, agent: Any) -> range:
        with self._calling(f"action_space({agent!r})"):
            space = self._env.action_space(agent)
            if not is_a(space, "Discrete"):
                self._refuse(
                    f"{agent} has the action space {shown(space)}; only discrete actions can be learned"
                )
            start = int(getattr(space, "start", 0))
            return range(start, start + int(space.n))

    def _read_spaces(self) -> tuple[list[Any], list[int]]:
        spaces, sizes = [], []
        for agent in self.agents:
            with self._calling(f"observation_space({agent!r})"):
                spaces.append(self._env.observation_space(agent))
            try:
                sizes.append(n_features(spaces[-1]))
            except SpaceError as error:
                self._refuse(f"{agent}'s observation space {error}")
            if sizes[-1] > MAX_FEATURES:
                self._refuse(
                    f"{agent}'s observation has {sizes[-1]} features; agents accept at most {MAX_FEATURES}"
                )
        if not any(sizes):
            self._refuse("no agent observes anything")
        return spaces, sizes

    def _present(self) -> list[Any]:
        """The agents that the environment says are there."""
        with self._calling("agents"):
            present = list(self._env.agents)
            strangers = [agent for agent in present if agent not in self.index]
        for stranger in strangers:
            self._refuse(
                f"{stranger} is in agents, but not in possible_agents, which is {shown(self.agents)}"
            )
        return present

    def _show(
        self, present: list[Any], observations: Any, infos: Any, obs: FloatArray, available: BoolArray
    ) -> None:
        obs[:], available[:] = 0, np.arange(available.shape[1]) == 0
        for agent in present:
            if agent not in self._ended and observations.get(agent) is None:
                self._refuse(f"{agent} is in agents, but gets no observation")
        for i, agent in enumerate(self.agents):
            if (observation := observations.get(agent)) is None:
                continue  # it is not there
            masks: list[Any] = []
            what = "observation"
            try:
                obs[i, : self._sizes[i]] = features(self._spaces[i], observation, masks)
                info = infos.get(agent)
                if isinstance(info, Mapping) and info.get(MASK) is not None:
                    masks.append(info[MASK])
                what, own = MASK, len(self._actions[i])
                available[i, :own] = allowed(masks, own) if masks else True
            except SpaceError as error:
                self._refuse(f"{agent}'s {what} {error}")

    def _mean_reward(self, rewards: Any, acting: list[Any]) -> float:
        """The mean over the team, 0 for agents that left."""
        if missing := [agent for agent in acting if agent not in rewards]:
            self._refuse(f"{missing[0]} acted, but gets no reward")
        total = 0.0
        for agent, value in rewards.items():
            if agent not in self.index:
                self._refuse(f"{agent} gets a reward, but is not in possible_agents")
            try:
                total += number(value)
            except SpaceError as error:
                self._refuse(f"{agent}'s reward {error}")
        return total / len(self.agents)

    def _flag(self, flags: Any, agent: Any) -> bool:
        if agent not in flags:
            self._refuse(f"{agent} acted, but is missing in its terminations or truncations")
        try:
            return bool(number(flags[agent]))
        except SpaceError as error:
            self._refuse(f"{agent}'s termination or truncation {error}")

    def _mappings(self, call: str, given: Any, *names: str) -> tuple[Any, ...]:
        wanted = f"({', '.join(names)})"
        if not isinstance(given, tuple | list) or len(given) != len(names):
            parts = f"{len(given)} values" if isinstance(given, tuple | list) else type(given).__name__
            self._refuse(f"{call} gives {parts}, not {wanted}")
        for name, value in zip(names, given, strict=True):
            if not isinstance(value, Mapping):
                self._refuse(f"{call} gives {type(value).__name__} as {name}, not a dict by agent")
        return tuple(given)

    @contextlib.contextmanager
    def _calling(self, what: str) -> Iterator[None]:
        """Whatever is raised while the environment's code runs is an InputError."""
        try:
            yield
        except (InputError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # sys.exit(0) would end the command as if all were done
            raise self._raised(what, error) from error

    def _raised(self, what: str, error: BaseException) -> InputError:
        frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename != __file__]
        place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
        return InputError(f"{self.name}: {self._where}, {what} raised {type(error).__name__}: {error}{place}")

    def _refuse(self, problem: str) -> NoReturn:
        raise InputError(f"{self.name}: {self._where}, {problem}")
