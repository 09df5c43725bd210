"""PettingZoo environments behind the contract: mpe2's as they are, and small ones with what mpe2 lacks."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import pettingzoo
import pytest
from gymnasium import spaces
from mpe2 import simple_spread_v3

from envs.conformance import check_env
from envs.errors import InputError
from envs.make import env_spec, make_env
from envs.pettingzoo import PettingZooEnv

SPREAD = "pettingzoo:mpe2.simple_spread_v3"


class Relay(pettingzoo.ParallelEnv):  # type: ignore[misc]
    """Two agents unlike each other: `short` has 2 actions, sees a number, and leaves after `leaves` steps;
    `long` has 3 actions, sees 2×2 bits with an action mask, and finishes at step `ends` by winning."""

    metadata = {"name": "relay"}  # noqa: RUF012

    def __init__(self, leaves: int = 2, ends: int = 4, cut: bool = False) -> None:
        self.possible_agents = ["short", "long"]
        self.leaves, self.ends, self.cut = leaves, ends, cut
        self.played: list[dict[str, int]] = []

    def observation_space(self, agent: str) -> Any:
        bits = spaces.MultiBinary((2, 2))
        return {
            "short": spaces.Discrete(5),
            "long": spaces.Dict(observation=bits, action_mask=spaces.MultiBinary(3)),
        }[agent]

    def action_space(self, agent: str) -> Any:
        return spaces.Discrete(2 if agent == "short" else 3)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.t, self.agents = 0, self.possible_agents[:]
        self.first = int(np.random.default_rng(seed).integers(5))
        return self.show(), {agent: {} for agent in self.agents}

    def show(self) -> dict[str, Any]:
        mask = np.array([1, 0, 1] if self.t % 2 == 0 else [0, 1, 1], np.int8)
        all_shown = {
            "short": (self.first + self.t) % 5,
            "long": {"observation": np.eye(2) * (self.t + 1), "action_mask": mask},
        }
        return {agent: all_shown[agent] for agent in self.agents}

    def step(self, actions: dict[str, int]) -> Any:
        assert set(actions) == set(self.agents)
        self.played.append(actions)
        self.t += 1
        present = self.agents
        shown = self.show()
        gone = {"short": self.t >= self.leaves, "long": self.t >= self.ends}
        self.agents = [agent for agent in present if not gone[agent]]
        rewards = {agent: {"short": 1.0, "long": 3.0}[agent] for agent in present}
        ended = {agent: gone[agent] and not self.cut for agent in present}
        cut = {agent: gone[agent] and self.cut for agent in present}
        return shown, rewards, ended, cut, {agent: {"won": ended[agent]} for agent in present}


@pytest.fixture
def relay(monkeypatch: pytest.MonkeyPatch) -> str:
    module = ModuleType("relay_module")
    module.parallel_env = Relay  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "relay_module", module)
    return "pettingzoo:relay_module"


def test_mpe2s_spread_is_played_as_it_is() -> None:
    """The same seeds and actions, through the adapter and by hand."""
    env = make_env(SPREAD, n_battles=2, seed=5)
    assert (env.spec.n_agents, env.spec.n_actions, env.spec.obs_dim, env.spec.state_dim) == (3, 5, 18, 54)
    step = env.reset()
    assert isinstance(env, PettingZooEnv)
    by_hand = simple_spread_v3.parallel_env()
    words = np.random.SeedSequence([5, 1]).generate_state(1)
    seen, _ = by_hand.reset(seed=int(words[0]))
    rng = np.random.default_rng(0)
    while by_hand.agents:
        np.testing.assert_array_equal(step.obs[1], np.stack(list(seen.values())))
        np.testing.assert_array_equal(step.state[1], by_hand.state())
        actions = rng.integers(0, 5, (2, 3))
        names = by_hand.agents
        seen, rewards, _, _, _ = by_hand.step(dict(zip(names, actions[1].tolist(), strict=True)))
        step = env.step(actions)
        assert step.reward[1] == pytest.approx(sum(rewards.values()) / 3)
    np.testing.assert_array_equal(step.obs[1], np.stack(list(seen.values())))
    assert step.truncated.all()
    assert not step.terminated.any()


def test_keywords_in_the_name_reach_the_environment() -> None:
    spec = env_spec(f"{SPREAD}?N=4&max_cycles=7")
    assert (spec.n_agents, spec.episode_limit) == (4, 7)


def test_unequal_agents_are_filled_up_and_their_masks_kept(relay: str) -> None:
    env = make_env(relay, n_battles=1, seed=0)
    assert (env.spec.n_actions, env.spec.obs_dim, env.spec.state_dim) == (3, 5, 10)
    step = env.reset()
    assert step.obs[0, 0].sum() == 1  # a number among five, as a one-hot
    np.testing.assert_array_equal(step.obs[0, 1], [1, 0, 0, 1, 0])
    np.testing.assert_array_equal(step.avail_actions[0], [[1, 1, 0], [1, 0, 1]])
    np.testing.assert_array_equal(step.state[0], step.obs[0].ravel())
    with pytest.raises(ValueError, match="battle 0, agent 0: action 2 is not available"):
        env.step(np.array([[2, 0]]))
    with pytest.raises(ValueError, match="battle 0, agent 1: action 1 is not available"):
        env.step(np.array([[0, 1]]))


def test_an_agent_that_left_shows_nothing_and_plays_nothing(relay: str) -> None:
    env = PettingZooEnv(relay, n_battles=1, seed=0)
    env.reset()
    rewards = [env.step(np.array([actions])).reward[0] for actions in ([1, 2], [1, 1])]
    step = env.step(np.array([[0, 2]]))
    rewards.append(step.reward[0])
    np.testing.assert_array_equal(step.obs[0, 0], 0)
    np.testing.assert_array_equal(step.avail_actions[0, 0], [1, 0, 0])
    assert not step.done[0]
    step = env.step(np.array([[0, 1]]))
    assert rewards == [2.0, 2.0, 1.5]
    assert (step.reward[0], step.terminated[0], step.truncated[0], step.won[0]) == (1.5, True, False, True)
    assert env._guests[0]._env.played[-1] == {"long": 1}


def test_an_episode_that_was_cut_is_truncated(relay: str) -> None:
    env = make_env(f"{relay}?leaves=1&ends=1&cut=True", n_battles=1, seed=0)
    env.reset()
    step = env.step(np.array([[0, 0]]))
    assert (step.terminated[0], step.truncated[0], step.won[0]) == (False, True, False)


def test_an_episode_is_the_same_whatever_the_number_of_battles(relay: str) -> None:
    shown = make_env(relay, n_battles=8, seed=2).reset().obs[:, 0]
    assert len(np.unique(shown, axis=0)) > 1
    one = make_env(relay, n_battles=1, seed=2)
    np.testing.assert_array_equal([one.reset().obs[0, 0] for _ in range(8)], shown)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("pettingzoo:", "pettingzoo:MODULE"),
        ("pettingzoo:no.such_module", "cannot be imported"),
        ("pettingzoo:json", "has no parallel_env"),
        (f"{SPREAD}?color=red", "refuses its keywords"),
        (f"{SPREAD}?continuous_actions=True", "only discrete actions"),
    ],
)
def test_an_environment_that_cannot_be_had_is_one_clear_error(name: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        make_env(name)


@pytest.mark.parametrize(
    "name",
    ["spread", "spread:", "spread:0", "spread:x", "spread:101", "checkers:", "checkers:2", "pettingzoo:"],
)
def test_a_name_that_is_nearly_right_says_what_to_write(name: str) -> None:
    with pytest.raises(InputError, match="write checkers, spread:N"):
        make_env(name)


@pytest.mark.parametrize(
    "name", [SPREAD, "pettingzoo:mpe2.simple_tag_v3?max_cycles=9", "pettingzoo:relay_module"]
)
def test_pettingzoo_environments_conform(name: str, relay: str) -> None:
    check_env(make_env(name, n_battles=3, seed=1))
