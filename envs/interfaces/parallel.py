"""A PettingZoo `ParallelEnv` of battles on the simulator. The other direction is `envs.pettingzoo`."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from envs.errors import InputError
from envs.interfaces.keywords import map_with
from envs.interfaces.single import SingleBattle
from envs.types import FloatArray, IntArray

try:
    from gymnasium import spaces
    from pettingzoo import ParallelEnv
except ImportError as error:
    raise InputError(f"the PettingZoo interface needs PettingZoo ({error}): pip install pettingzoo") from None

Shown = dict[str, Any]


class SmacParallelEnv(ParallelEnv):  # type: ignore[misc]
    """The agents `agent_0` … of one battle after the other; all share the team's reward.

    Agents that die stay until the battle ends: they see zeros and can only choose no-op, and the team's
    reward goes on. So the shapes never change, which is what learners of teams expect. A time-out truncates.
    A reset with a seed begins that seed's first battle, one without goes on to the next battle. The action
    mask is part of the observation, or with mask_in "info" of the info. An unavailable action raises
    ValueError, or with unavailable "idle" the agent stops. The other keywords are SMAC's settings.
    """

    def __init__(
        self,
        map_name: str = "8m",
        *,
        seed: int | None = None,
        mask_in: Literal["observation", "info"] = "observation",
        unavailable: Literal["error", "idle"] = "error",
        **settings: Any,
    ) -> None:
        for name, value, known in (
            ("mask_in", mask_in, ("observation", "info")),
            ("unavailable", unavailable, ("error", "idle")),
        ):
            if value not in known:
                raise InputError(
                    f"parallel_env: {name} must be {' or '.join(map(repr, known))}, not {value!r}"
                )
        self._battle = SingleBattle(map_with(map_name, settings, "parallel_env"), seed)
        self._mask_in, self._unavailable = mask_in, unavailable
        spec = self._battle.spec
        self.metadata = {"name": spec.name, "render_modes": [], "is_parallelizable": True}
        self.render_mode = None
        self.possible_agents = [f"agent_{i}" for i in range(spec.n_agents)]
        self.agents: list[str] = []
        self.max_cycles = spec.episode_limit
        self.state_space = spaces.Box(-np.inf, np.inf, (spec.state_dim,), np.float32)
        self.observation_spaces = {agent: self._observed() for agent in self.possible_agents}
        self.action_spaces = {agent: spaces.Discrete(spec.n_actions) for agent in self.possible_agents}

    def _observed(self) -> spaces.Space[Any]:
        spec = self._battle.spec
        obs = spaces.Box(-np.inf, np.inf, (spec.obs_dim,), np.float32)
        if self._mask_in == "info":
            return obs
        return spaces.Dict({"observation": obs, "action_mask": spaces.Box(0, 1, (spec.n_actions,), np.int8)})

    def observation_space(self, agent: str) -> spaces.Space[Any]:
        """What an agent observes: `observation` [O] and `action_mask` [A], or [O] alone."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space[Any]:
        """The actions of an agent, A."""
        return self.action_spaces[agent]

    def reset(
        self, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Shown, dict[str, Shown]]:
        """Begin a battle; observations and infos by agent. There are no options."""
        self._battle.reset(seed)
        self.agents = self.possible_agents.copy()
        return self._observations(), self._infos()

    def step(
        self, actions: dict[str, int]
    ) -> tuple[Shown, dict[str, float], dict[str, bool], dict[str, bool], dict[str, Shown]]:
        """Play one step; observations, rewards, terminations, truncations and infos by agent.

        infos: battle_won, dead_allies, dead_enemies. ValueError when an agent's action is missing or not
        available, or when no battle runs.
        """
        if missing := [agent for agent in self.possible_agents if agent not in actions]:
            raise ValueError(f"no action of {', '.join(missing)}: every agent acts until the battle ends")
        self._battle.step(self._chosen(actions))
        shown, agents = self._battle.shown, self.agents
        observations, infos = self._observations(), self._infos()
        if shown.done[0]:
            self.agents = []
        return (
            observations,
            dict.fromkeys(agents, float(shown.reward[0])),
            dict.fromkeys(agents, bool(shown.terminated[0])),
            dict.fromkeys(agents, bool(shown.truncated[0])),
            infos,
        )

    def _chosen(self, actions: dict[str, int]) -> IntArray:
        chosen = np.array([int(actions[agent]) for agent in self.possible_agents], np.int64)
        if self._unavailable == "idle":
            available = self._battle.shown.avail_actions[0]
            stop, no_op = self._battle.env.idle_actions
            idle = np.where(available[:, stop], stop, no_op)
            is_available = np.take_along_axis(available, chosen[:, None], axis=1)[:, 0]
            chosen = np.where(is_available, chosen, idle)
        return chosen

    def _observations(self) -> Shown:
        obs, masks = self._battle.shown.obs[0], self._masks()
        if self._mask_in == "info":
            return dict(zip(self.agents, obs, strict=True))
        both = zip(self.agents, obs, masks, strict=True)
        return {agent: {"observation": seen, "action_mask": mask} for agent, seen, mask in both}

    def _masks(self) -> npt.NDArray[np.int8]:
        masks: npt.NDArray[np.int8] = self._battle.shown.avail_actions[0].astype(np.int8)
        return masks

    def _infos(self) -> dict[str, Shown]:
        agents, enemies = self._battle.alive
        told: Shown = {
            "battle_won": bool(self._battle.shown.won[0]),
            "dead_allies": int((~agents).sum()),
            "dead_enemies": int((~enemies).sum()),
        }
        if self._mask_in == "observation":
            return {agent: dict(told) for agent in self.agents}
        masks = zip(self.agents, self._masks(), strict=True)
        return {agent: told | {"action_mask": mask} for agent, mask in masks}

    def state(self) -> FloatArray:
        """The global state, [S], with last actions unless `state_last_action` is False."""
        state: FloatArray = self._battle.shown.state[0]
        return state

    def render(self) -> None:
        """Nothing can be shown while a battle runs."""

    def close(self) -> None:
        """Release what the simulator holds; calling it twice is harmless."""
        self._battle.close()


def parallel_env(map_name: str = "8m", **keywords: Any) -> SmacParallelEnv:
    """A `SmacParallelEnv`, by the name that PettingZoo's modules have for it."""
    return SmacParallelEnv(map_name, **keywords)
