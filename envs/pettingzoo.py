"""Any PettingZoo parallel environment with discrete actions, behind the project's own contract.

Named `pettingzoo:MODULE` or `pettingzoo:MODULE?key=value&…`: the module's `parallel_env` is called with the
given keywords, e.g. `pettingzoo:mpe2.simple_spread_v3?N=5`. The name is code that is imported: take it from
the command line, never from a file.
"""

from __future__ import annotations

import ast
import contextlib
import importlib
import sys
from typing import Any
from urllib.parse import parse_qsl

import numpy as np

from envs.errors import InputError
from envs.guest import Guest
from envs.slots import Outcome, SlotEnv
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray

PREFIX = "pettingzoo:"
DEFAULT_EPISODE_LIMIT_STEPS = 1000
"""Episodes are cut after this number of steps where the environment has no `max_cycles`."""
MAX_STATE = 1 << 18
"""Numbers of a state: the networks that learn from more would take gigabytes."""


class PettingZooEnv(SlotEnv):
    """B parallel environments, side by side in one process.

    Agents are numbered as in `possible_agents`. Observations are flattened (`envs.spaces.features`) and
    padded with zeros to the longest; actions are padded to the largest number, and an agent's padding is
    never available. An `action_mask` in a Dict observation or in the agent's info tells which are. An agent
    that is not there shows zeros and only has action 0, which is not played. The reward is the mean of the
    agents' rewards, 0 for those that left. The state is the environment's `state()`, or where it has none
    the joint observation; zeros fill it up to a number per agent. InputError for everything else: see
    `envs.guest`.
    """

    def __init__(self, name: str, *, n_battles: int = 1, seed: int = 0) -> None:
        with contextlib.ExitStack() as opened:
            first = opened.enter_context(Guest(name, parallel_env(name)))
            first.try_out(seed)
            N, obs_dim = len(first.agents), first.obs_dim
            state_dim = max(first.state_dim or obs_dim * N, N)
            if state_dim > MAX_STATE:
                raise InputError(
                    f"{name}: its state has {state_dim} numbers; at most {MAX_STATE} can be learned"
                )
            spec = EnvSpec(
                name=name,
                n_agents=N,
                n_actions=first.n_actions,
                obs_dim=obs_dim,
                state_dim=state_dim,
                unit_dim=state_dim // N,
                episode_limit=first.episode_limit or DEFAULT_EPISODE_LIMIT_STEPS,
            )
            super().__init__(spec, n_battles)
            self.seed = seed
            self._guests = [first]
            for _ in range(1, n_battles):
                guest = opened.enter_context(Guest(name, parallel_env(name)))
                guest.take_after(first)
                self._guests.append(guest)
            self._opened = opened.pop_all()
        self._obs = np.zeros((n_battles, N, obs_dim), np.float32)
        self._state = np.zeros((n_battles, state_dim), np.float32)
        self._available = np.zeros((n_battles, N, spec.n_actions), np.bool_)
        self._available[:, :, 0] = True

    def begin(self, slots: IntArray, episodes: IntArray) -> None:
        for slot, episode in zip(slots.tolist(), episodes.tolist(), strict=True):
            self._guests[slot].reset(self.seed, episode, self._obs[slot], self._available[slot])
            self._show_state(slot)

    def advance(self, actions: IntArray, live: BoolArray) -> Outcome:
        outcome = Outcome.nothing(self.n_battles)
        for slot in np.flatnonzero(live).tolist():
            ending = self._guests[slot].step(actions[slot], self._obs[slot], self._available[slot])
            outcome.reward[slot], outcome.terminated[slot] = ending.reward, ending.terminated
            outcome.truncated[slot], outcome.won[slot] = ending.truncated, ending.won
            self._show_state(slot)
        return outcome

    def observe(self) -> tuple[FloatArray, FloatArray, BoolArray]:
        return self._obs.copy(), self._state.copy(), self._available.copy()

    def available(self) -> BoolArray:
        return self._available

    def close(self) -> None:
        super().close()
        self._opened.close()

    def _show_state(self, slot: int) -> None:
        guest = self._guests[slot]
        shown = self._obs[slot].ravel() if guest.state_dim is None else guest.read_state()
        self._state[slot, : len(shown)] = shown


def parallel_env(name: str) -> Any:
    """A new environment that `pettingzoo:MODULE?key=value` names; InputError when it cannot be had.

    What the module prints while it is imported goes to stderr, since stdout may be read by a program.
    """
    module_name, _, query = name.removeprefix(PREFIX).partition("?")
    keywords = read_keywords(name, query)
    with contextlib.redirect_stdout(sys.stderr):
        try:
            module = importlib.import_module(module_name)
        except ImportError as error:
            raise InputError(
                f"{name}: the module {module_name!r} cannot be imported ({error}); "
                "install the package that holds it, or write e.g. pettingzoo:mpe2.simple_spread_v3"
            ) from error
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{name}: the module {module_name!r} cannot be imported: {type(error).__name__}: {error}"
            ) from error
        make = getattr(module, "parallel_env", None)
        if not callable(make):
            turns = hasattr(module, "env")
            why = f", only env, whose agents take turns: {AS_PARALLEL}" if turns else ""
            raise InputError(f"{name}: the module {module_name!r} has no parallel_env{why}")
        try:
            env = make(**keywords)
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{name}: parallel_env refuses its keywords: {type(error).__name__}: {error}"
            ) from error
    if hasattr(env, "agent_iter"):
        raise InputError(
            f"{name}: parallel_env makes an AEC environment, whose agents take turns: {AS_PARALLEL}"
        )
    return env


AS_PARALLEL = (
    "where they could act at once, give the module parallel_env = pettingzoo.utils.parallel_wrapper_fn(env)"
)


def read_keywords(name: str, query: str) -> dict[str, Any]:
    """The keywords in `key=value&…`; InputError when it is written otherwise or a key comes twice."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=True) if query else []
    except ValueError:
        raise InputError(f"{name}: {query!r} is not written as key=value&key=value") from None
    keywords = {key: literal(value) for key, value in pairs}
    if len(keywords) < len(pairs):
        raise InputError(f"{name}: {query!r} gives a keyword twice")
    return keywords


def literal(text: str) -> Any:
    """A Python literal (number, tuple …), `true`, `false` or `none`; any other text is itself."""
    words = {"true": True, "false": False, "none": None}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return text
