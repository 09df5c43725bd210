"""Any PettingZoo parallel environment with discrete actions, behind the project's own contract.

Named `pettingzoo:MODULE` or `pettingzoo:MODULE?key=value&…`: the module's `parallel_env` is called with the
given keywords, e.g. `pettingzoo:mpe2.simple_spread_v3?N=5`. The name is code that is imported: take it from
the command line, never from a file.
"""

from __future__ import annotations

import ast
import importlib
import math
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from envs.errors import InputError
from envs.slots import Outcome, SlotEnv
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray

PREFIX = "pettingzoo:"
DEFAULT_EPISODE_LIMIT_STEPS = 1000
"""Episodes are cut after this number of steps where the environment has no `max_cycles`."""
WIN_KEYS = ("battle_won", "won", "is_success")
"""Keys of an agent's last `info` that say that the team won."""


class PettingZooEnv(SlotEnv):
    """B parallel environments, side by side in one process.

    Agents are numbered as in `possible_agents`. Observations are flattened (an integer becomes a one-hot)
    and padded with zeros to the longest; actions are padded to the largest number, and an agent's padding is
    never available. Where observations are `{"observation", "action_mask"}`, the mask tells which are.
    An agent that has left shows zeros and only has action 0, which is not played. The reward is the mean of
    the agents' rewards, 0 for those that left. The state is the environment's `state()`, or where it has
    none the joint observation. InputError when an action space is not discrete.
    """

    def __init__(self, name: str, *, n_battles: int = 1, seed: int = 0) -> None:
        first = parallel_env(name)
        if not hasattr(first, "possible_agents"):
            raise InputError(f"{name}: it has no possible_agents, so the team has no fixed size")
        self.agents: list[str] = list(first.possible_agents)
        self.seed = seed
        self._n_own_actions = [discrete_actions(first, agent, name) for agent in self.agents]
        self._spaces = [first.observation_space(agent) for agent in self.agents]
        obs_dim = max(flat_dim(space, name) for space in self._spaces)
        self._has_state = has_state(first, seed)
        state_dim = np.size(first.state()) if self._has_state else obs_dim * len(self.agents)
        spec = EnvSpec(
            name=name,
            n_agents=len(self.agents),
            n_actions=max(self._n_own_actions),
            obs_dim=obs_dim,
            state_dim=state_dim,
            unit_dim=max(1, state_dim // len(self.agents)),
            episode_limit=int(getattr(first.unwrapped, "max_cycles", None) or DEFAULT_EPISODE_LIMIT_STEPS),
        )
        super().__init__(spec, n_battles)
        self._envs = [first, *(parallel_env(name) for _ in range(n_battles - 1))]
        B, N = n_battles, spec.n_agents
        self._obs = np.zeros((B, N, obs_dim), np.float32)
        self._state = np.zeros((B, state_dim), np.float32)
        self._available = np.zeros((B, N, spec.n_actions), np.bool_)
        self._available[:, :, 0] = True

    def begin(self, slots: IntArray, episodes: IntArray) -> None:
        for slot, episode in zip(slots, episodes, strict=True):
            words = np.random.SeedSequence([self.seed, int(episode)]).generate_state(1)
            observations, _ = self._envs[slot].reset(seed=int(words[0]))
            self._show(slot, observations)

    def advance(self, actions: IntArray, live: BoolArray) -> Outcome:
        outcome = Outcome.nothing(self.n_battles)
        for slot in np.flatnonzero(live).tolist():
            env = self._envs[slot]
            playing = {agent: int(actions[slot, self.agents.index(agent)]) for agent in env.agents}
            observations, rewards, _, truncations, infos = env.step(playing)
            outcome.reward[slot] = sum(rewards.values()) / self.spec.n_agents
            if not env.agents:
                outcome.truncated[slot] = any(truncations.values())
                outcome.terminated[slot] = not outcome.truncated[slot]
                outcome.won[slot] = any(info.get(key) for info in infos.values() for key in WIN_KEYS)
            self._show(slot, observations)
        return outcome

    def observe(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        return self._obs.copy(), self._state.copy(), self._available.copy()

    def available(self) -> BoolArray:
        return self._available

    def close(self) -> None:
        super().close()
        for env in self._envs:
            env.close()

    def _show(self, slot: int, observations: dict[str, Any]) -> None:
        """Copy what the environment of a slot shows now."""
        env = self._envs[slot]
        self._obs[slot], self._available[slot] = 0, np.arange(self.spec.n_actions) == 0
        for i, agent in enumerate(self.agents):
            if agent in observations:
                flat, mask = flatten(self._spaces[i], observations[agent], self._n_own_actions[i])
                self._obs[slot, i, : len(flat)] = flat
                self._available[slot, i] = False
                self._available[slot, i, : len(mask)] = mask
        state = env.state() if self._has_state else self._obs[slot]
        self._state[slot] = np.asarray(state, np.float32).ravel()


def parallel_env(name: str) -> Any:
    """The environment that `pettingzoo:MODULE?key=value` names; InputError when it cannot be had."""
    module_name, _, query = name.removeprefix(PREFIX).partition("?")
    try:
        module = importlib.import_module(module_name)
    except (ImportError, ValueError) as error:
        raise InputError(
            f"{name}: the module {module_name!r} cannot be imported ({error}); "
            "install the package that holds it, or write e.g. pettingzoo:mpe2.simple_spread_v3"
        ) from None
    if not hasattr(module, "parallel_env"):
        raise InputError(f"{name}: the module {module_name!r} has no parallel_env")
    try:
        return module.parallel_env(**{key: literal(value) for key, value in parse_qsl(query)})
    except (TypeError, ValueError, AssertionError) as error:
        raise InputError(f"{name}: parallel_env refuses its keywords: {error}") from None


def literal(text: str) -> Any:
    """A Python literal (number, true/false, tuple …) where `text` is one, else the text itself."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def discrete_actions(env: Any, agent: str, name: str) -> int:
    """How many actions an agent has; InputError when they are not discrete and counted from 0."""
    space = env.action_space(agent)
    if type(space).__name__ != "Discrete" or getattr(space, "start", 0) != 0:
        raise InputError(
            f"{name}: {agent} has the action space {space}; "
            "only discrete actions counted from 0 can be learned"
        )
    return int(space.n)


def has_state(env: Any, seed: int) -> bool:
    """Whether an environment implements `state()`, which is optional."""
    env.reset(seed=seed)
    try:
        env.state()
    except (NotImplementedError, AttributeError):
        return False
    return True


def flat_dim(space: Any, name: str) -> int:
    """Features of a flattened observation; InputError when the space is not understood."""
    kind = type(space).__name__
    if kind == "Dict" and {"observation", "action_mask"} <= set(space.spaces):
        return flat_dim(space["observation"], name)
    if kind == "Discrete":
        return int(space.n)
    if kind in ("Box", "MultiBinary"):
        return math.prod(space.shape)
    raise InputError(
        f"{name}: the observation space {space} is not understood; Box, Discrete, MultiBinary, "
        "or a Dict of one as `observation` and an `action_mask` are"
    )


def flatten(space: Any, observation: Any, n_own_actions: int) -> tuple[FloatArray, BoolArray]:
    """An observation as a vector, and the mask of the agent's own actions."""
    mask = np.ones(n_own_actions, np.bool_)
    if type(space).__name__ == "Dict":
        mask = np.asarray(observation["action_mask"], np.bool_)
        space, observation = space["observation"], observation["observation"]
    if type(space).__name__ == "Discrete":
        return (np.arange(space.n) == observation - space.start).astype(np.float32), mask
    return np.asarray(observation, np.float32).ravel(), mask
