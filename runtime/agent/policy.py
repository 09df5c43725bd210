"""One agent's policy as a function: memory and observation in, memory and action out."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from envs.types import BoolArray, EnvSpec, FloatArray
from runtime.model_file.contract import NO_ACTION
from runtime.model_file.loader import Model


class Memory(NamedTuple):
    """What an agent carries from step to step: hidden [1, H] f32 and its own last action (-1: none yet)."""

    hidden: FloatArray
    last_action: int


class AgentPolicy:
    """Agent `agent_id` of the team that `model` was trained for; no step depends on the one before."""

    def __init__(self, model: Model, agent_id: int) -> None:
        if not 0 <= agent_id < model.spec.n_agents:
            raise ValueError(f"agent id {agent_id} is not one of 0 to {model.spec.n_agents - 1}")
        self.model = model
        self.agent_id = agent_id
        self._one_row = model.one_row()
        self._agent_id = np.array([agent_id], np.int64)

    @property
    def spec(self) -> EnvSpec:
        """The environment that the policy was trained for."""
        return self.model.spec

    @property
    def digest(self) -> str:
        """SHA-256 of the model file, in hexadecimal."""
        return self.model.digest

    def initial_memory(self) -> Memory:
        """The memory at the start of an episode."""
        return Memory(self.model.initial_hidden(1), NO_ACTION)

    def step(self, memory: Memory, obs: FloatArray, avail_actions: BoolArray) -> tuple[Memory, FloatArray]:
        """The memory after seeing obs [O] with avail_actions [A], and the advantages [A].

        The greedy available action is the new memory's `last_action`. Contents are not checked here.
        """
        action, advantages, hidden = self._one_row.step(
            obs=obs[None],
            last_action=np.array([memory.last_action], np.int64),
            agent_id=self._agent_id,
            avail_actions=avail_actions[None],
            hidden=memory.hidden,
        )
        return Memory(hidden, int(action[0])), advantages[0]
