"""An agent's policy as it is used from Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import runtime
from envs.errors import InputError, ModelError
from runtime.model_file.loader import load_model
from tests.runtime.support.playing import play_in_process
from tests.runtime.support.tag_env import SPEC, TagEnv

N = SPEC.n_agents


def test_a_policy_is_the_models_function_for_one_row(model_file: Path) -> None:
    model = load_model(model_file)
    policies = [runtime.AgentPolicy(model, agent_id) for agent_id in range(N)]
    rng = np.random.default_rng(2)
    kept = []
    for _ in range(30):
        agent_id, last_action = int(rng.integers(N)), int(rng.integers(-1, SPEC.n_actions))
        obs = rng.standard_normal(SPEC.obs_dim).astype(np.float32)
        avail_actions = rng.random(SPEC.n_actions) < 0.9
        hidden = rng.uniform(-1, 1, (1, 64)).astype(np.float32)
        memory, advantages = policies[agent_id].step(runtime.Memory(hidden, last_action), obs, avail_actions)
        row = (np.array([last_action]), np.array([agent_id]), avail_actions[None], hidden)
        action, wanted_advantages, wanted_hidden = model.step(obs[None], *row)
        kept.append(((memory.hidden, advantages), (wanted_hidden, wanted_advantages[0])))
        assert memory.last_action == action[0]
    for got, wanted in kept:  # after the last step: none of them was written over
        assert all(np.array_equal(a, b) for a, b in zip(got, wanted, strict=True))


def test_loaded_policies_play_as_the_team_in_one_process(model_file: Path) -> None:
    env, played = TagEnv(seed=5), []
    policies = [runtime.load_policy(model_file, agent_id) for agent_id in range(N)]
    time_step = env.reset()
    memories = [policy.initial_memory() for policy in policies]
    while not time_step.done[0]:
        for i, policy in enumerate(policies):
            memories[i], _ = policy.step(memories[i], time_step.obs[0, i], time_step.avail_actions[0, i])
        played.append([memory.last_action for memory in memories])
        time_step = env.step(np.array(played[-1:]))
    assert np.array_equal(played, play_in_process(load_model(model_file), TagEnv(seed=5), 1)[0])


def test_what_a_policy_cannot_use_is_refused(model_file: Path) -> None:
    with pytest.raises(ModelError, match="has the SHA-256"):
        runtime.load_policy(model_file, 0, sha256="0" * 64)
    with pytest.raises(ModelError, match="cannot be read"):
        runtime.load_policy(model_file.with_name("missing.onnx"), 0)
    with pytest.raises(InputError, match="agent id 3: the model's team has the ids 0 to 2"):
        runtime.load_policy(model_file, 3)
    policy = runtime.load_policy(str(model_file), 0)
    memory = policy.initial_memory()
    obs, avail_actions = np.zeros(SPEC.obs_dim, np.float32), np.ones(SPEC.n_actions, bool)
    for wrong in ((obs[1:], avail_actions), (obs, avail_actions[1:]), (obs[:1], avail_actions[:1])):
        with pytest.raises(ValueError, match=r"do not fit the model, which takes \(\(13,\), \(5,\)\)"):
            policy.step(memory, *wrong)


def test_numbers_of_other_types_are_the_same_numbers(model_file: Path) -> None:
    policy = runtime.load_policy(model_file, 0)
    obs = np.random.default_rng(3).standard_normal(SPEC.obs_dim).astype(np.float32)
    avail_actions = np.array([False, True, False, True, True])
    wanted, advantages = policy.step(policy.initial_memory(), obs, avail_actions)
    got, same = policy.step(policy.initial_memory(), obs.astype(float), avail_actions.astype(int))
    assert got.last_action == wanted.last_action
    assert np.array_equal(same, advantages)
