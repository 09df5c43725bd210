"""Spread against PyPI's mpe2, and what the sight radius and the size of the world change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from mpe2 import simple_spread_v3

from envs.conformance import check_env
from envs.spread import SpreadEnv, SpreadSettings


def mpe2_world(n_agents: int, seed: int) -> Any:
    """mpe2's own environment, with its default settings, after a reset."""
    reference = simple_spread_v3.parallel_env(N=n_agents)
    reference.reset(seed=seed)
    return reference


def places(entities: list[Any]) -> np.ndarray:
    return np.array([entity.state.p_pos for entity in entities])


@pytest.mark.parametrize("n_agents", [1, 3, 5])
def test_spread_is_mpe2_simple_spread_step_by_step(n_agents: int) -> None:
    """Equal first states and actions give equal positions, velocities, rewards, observations and ends."""
    settings = SpreadSettings(n_agents=n_agents, half_width=1.0, sight_radius=math.inf)
    rng = np.random.default_rng(3)
    collisions = 0
    for episode in range(12):
        reference = mpe2_world(n_agents, seed=episode)
        world = reference.unwrapped.world
        env = SpreadEnv(settings, n_battles=1)
        env.reset()
        env.position[0] = places(world.agents) * 0.4  # closer together: agents run into each other
        for agent, place in zip(world.agents, env.position[0], strict=True):
            agent.state.p_pos = place.copy()
        env.landmark[0] = places(world.landmarks)
        while reference.agents:
            actions = rng.integers(0, 5, n_agents)
            named = dict(zip(reference.agents, actions.tolist(), strict=True))
            observations, rewards, _, truncations, _ = reference.step(named)
            step = env.step(actions[None])
            np.testing.assert_allclose(env.position[0], places(world.agents), atol=1e-9)
            np.testing.assert_allclose(env.velocity[0], [a.state.p_vel for a in world.agents], atol=1e-9)
            assert step.reward[0] == pytest.approx(np.mean(list(rewards.values())), abs=1e-6)
            assert step.truncated[0] == all(truncations.values())
            assert not step.terminated[0]
            for agent, observed in enumerate(observations.values()):
                np.testing.assert_allclose(
                    mpe2_part(step.obs[0, agent]), observed[: 4 * n_agents + 2], atol=1e-5
                )
            collisions += sum(reward != max(rewards.values()) for reward in rewards.values())
    assert collisions > 0 or n_agents == 1, "the episodes never showed a collision"


def mpe2_part(obs: np.ndarray) -> np.ndarray:
    """Our observation as mpe2 has it: no visibility bits (and mpe2's communication, always zero, cut off)."""
    entities = obs[4:].reshape(-1, 3)
    assert (entities[:, 0] == 1).all()
    return np.concatenate((obs[:4], entities[:, 1:].ravel()))


def test_what_is_beyond_the_sight_radius_is_not_observed() -> None:
    env = SpreadEnv(SpreadSettings(n_agents=2, sight_radius=1.0), n_battles=1, seed=0)
    env.reset()
    env.position[0] = [[0.0, 0.0], [3.0, 0.0]]
    env.landmark[0] = [[0.6, 0.8], [0.61, 0.8]]  # at a distance of exactly 1, and beyond
    obs = env.observe()[0][0, 0]
    np.testing.assert_allclose(obs[4:7], [1, 0.6, 0.8], atol=1e-6)
    np.testing.assert_array_equal(obs[7:10], 0)
    np.testing.assert_array_equal(obs[10:13], 0)


def test_an_agents_observation_does_not_depend_on_who_it_cannot_see() -> None:
    env = SpreadEnv(SpreadSettings(n_agents=4, sight_radius=0.5), n_battles=3, seed=1)
    env.reset()
    before = env.observe()[0][:, 0]
    far = np.linalg.norm(env.position - env.position[:, :1], axis=-1) > 0.5
    assert far.any()
    env.position[far] = 9.0
    np.testing.assert_array_equal(env.observe()[0][:, 0], before)


@pytest.mark.parametrize("n_agents", [3, 6, 9])
def test_the_world_gives_every_agent_the_same_area(n_agents: int) -> None:
    env = SpreadEnv(SpreadSettings(n_agents=n_agents), n_battles=200, seed=0)
    env.reset()
    half_width = max(np.abs(env.position).max(), np.abs(env.landmark).max())
    assert half_width**2 / n_agents == pytest.approx(1 / 3, rel=0.01)


def test_agents_on_the_landmarks_at_the_end_win() -> None:
    env = SpreadEnv(SpreadSettings(n_agents=2, episode_limit=3), n_battles=2, seed=0)
    env.reset()
    env.landmark[:] = [[-1.0, 0.0], [1.0, 0.0]]
    env.position[0] = [[1.0, 0.0], [-1.0, 0.0]]
    env.position[1] = [[1.0, 0.0], [0.5, 0.0]]
    stay = np.zeros((2, 2), np.int64)
    steps = [env.step(stay) for _ in range(3)]
    assert [step.won.tolist() for step in steps] == [[False, False], [False, False], [True, False]]
    assert [step.truncated.all() for step in steps] == [False, False, True]


def test_an_episode_is_the_same_whatever_the_number_of_worlds() -> None:
    many = SpreadEnv(SpreadSettings(), n_battles=3, seed=7)
    one = SpreadEnv(SpreadSettings(), n_battles=1, seed=7)
    start = many.reset()
    one.next_episode = 2
    np.testing.assert_array_equal(one.reset().obs[0], start.obs[2])
    actions = np.random.default_rng(0).integers(0, 5, (25, 3, 3))
    for step_actions in actions:
        of_many, of_one = many.step(step_actions), one.step(step_actions[2:])
        np.testing.assert_array_equal(of_one.obs[0], of_many.obs[2])
        assert of_one.reward[0] == of_many.reward[2]
    assert of_one.truncated[0]


@pytest.mark.parametrize("n_agents", [1, 3, 9])
def test_spread_conforms(n_agents: int) -> None:
    report = check_env(SpreadEnv(SpreadSettings(n_agents=n_agents), n_battles=3, seed=1))
    assert report.truncated == report.episodes
