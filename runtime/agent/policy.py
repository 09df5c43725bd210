"""One agent's policy as a function: memory and observation in, memory and action out."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.errors import InputError
from envs.types import HIDDEN_DIM, BoolArray, EnvSpec, FloatArray
from runtime.model_file.contract import NO_ACTION, OUTPUTS
from runtime.model_file.loader import Model, import_onnxruntime, load_model, zero_feeds


class Memory(NamedTuple):
    """What an agent carries from step to step: hidden [1, H] f32 and its own last action (-1: none yet)."""

    hidden: FloatArray
    last_action: int


class AgentPolicy:
    """Agent `agent_id` of the team that `model` was trained for; no step depends on the one before.

    It binds its arrays once, so that onnxruntime neither looks up names nor allocates at every step. The next
    step writes over them: only one thread may use a policy.
    """

    def __init__(self, model: Model, agent_id: int) -> None:
        check_agent_id(agent_id, model.spec.n_agents)
        self.model = model
        self.agent_id = agent_id
        H, A = HIDDEN_DIM, model.spec.n_actions
        self._shapes = (model.spec.obs_dim,), (A,)
        # onnxruntime computes in these very arrays: an OrtValue on the CPU is the array that it is made of.
        self._inputs = zero_feeds(model.spec)
        self._inputs["agent_id"][0] = agent_id
        self._action = np.zeros(1, np.int64)
        self._advantages = np.zeros((1, A), np.float32)
        self._next_hidden = np.zeros((1, H), np.float32)
        bind = import_onnxruntime().OrtValue.ortvalue_from_numpy
        self._binding = model.session.io_binding()
        for name, array in self._inputs.items():
            self._binding.bind_ortvalue_input(name, bind(array))
        for name, output in zip(OUTPUTS, (self._action, self._advantages, self._next_hidden), strict=True):
            self._binding.bind_ortvalue_output(name, bind(output))

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

        The greedy available action is the new memory's `last_action`. ValueError when obs or avail_actions
        have another shape; values are not checked here.
        """
        inputs = self._inputs
        if (obs.shape, avail_actions.shape) != self._shapes:
            given = f"obs {obs.shape} and avail_actions {avail_actions.shape}"
            raise ValueError(f"{given} do not fit the model, which takes {self._shapes}")
        inputs["obs"][0] = obs
        inputs["last_action"][0] = memory.last_action
        inputs["avail_actions"][0] = avail_actions
        inputs["hidden"][:] = memory.hidden
        self.model.session.run_with_iobinding(self._binding)
        return Memory(self._next_hidden.copy(), int(self._action[0])), self._advantages[0].copy()


def load_policy(path: Path | str, agent_id: int, *, sha256: str | None = None) -> AgentPolicy:
    """Load a model file and act as agent `agent_id` of its team.

    `sha256`: the digest that the file must have, in hexadecimal. ModelError when the file cannot be used,
    InputError when its team has no such agent.
    """
    return AgentPolicy(load_model(path, sha256), agent_id)


def check_agent_id(agent_id: int, n_agents: int) -> None:
    """InputError unless the team has this agent."""
    if agent_id not in range(n_agents):
        raise InputError(f"agent id {agent_id}: the model's team has the ids 0 to {n_agents - 1}")
