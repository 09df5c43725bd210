"""The PettingZoo environment: PettingZoo's own tests, masks, seeds, state, and our adapter as its user."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from envs.errors import InputError
from envs.interfaces import StarCraft2Env
from envs.make import make_env

pytest.importorskip("pettingzoo")
from envs.interfaces.parallel import parallel_env

with warnings.catch_warnings():  # PettingZoo's own tests import its old ways
    warnings.simplefilter("ignore", DeprecationWarning)
    from pettingzoo.test import parallel_api_test, parallel_seed_test, seed_test
    from pettingzoo.utils.conversions import parallel_to_aec


@pytest.mark.parametrize("keywords", [{}, {"mask_in": "info", "unavailable": "idle"}])
@pytest.mark.parametrize("map_name", ["3m", "2s3z", "MMM"])
def test_pettingzoos_own_test_passes(map_name: str, keywords: dict[str, Any]) -> None:
    parallel_api_test(parallel_env(map_name, seed=1, **keywords), num_cycles=1000)


def test_pettingzoos_seed_tests_pass() -> None:
    seed_test(lambda: parallel_to_aec(parallel_env("3m")), num_cycles=100)
    # this one does not look at masks
    parallel_seed_test(lambda: parallel_env("3m", unavailable="idle"), num_cycles=100)


def test_it_plays_smacs_battles_and_all_agents_share_the_reward() -> None:
    env, smac = parallel_env("2s3z", seed=7), StarCraft2Env("2s3z", seed=7)
    rng = np.random.default_rng(7)
    for _ in range(2):
        shown, infos = env.reset()
        smac.reset()
        ended = False
        while not ended:
            assert env.agents == [f"agent_{i}" for i in range(5)]
            for i, agent in enumerate(env.agents):
                np.testing.assert_array_equal(shown[agent]["observation"], smac.get_obs()[i])
                assert shown[agent]["action_mask"].tolist() == smac.get_avail_agent_actions(i)
                assert env.observation_space(agent).contains(shown[agent])
            np.testing.assert_array_equal(env.state(), smac.get_state())
            assert env.state_space.contains(env.state())
            actions = {
                agent: int(rng.choice(np.flatnonzero(shown[agent]["action_mask"]))) for agent in env.agents
            }
            shown, rewards, terminations, truncations, infos = env.step(actions)
            reward, ended, info = smac.step(list(actions.values()))
            assert set(rewards.values()) == {reward}
            assert set((np.array(list(terminations.values())) | list(truncations.values())).tolist()) == {
                ended
            }
            assert all(told == info for told in infos.values())
        assert env.agents == []


def test_running_out_of_time_truncates() -> None:
    env = parallel_env("2s_vs_1sc", seed=1)
    env.reset()
    while env.agents:
        _, _, terminations, truncations, _ = env.step(dict.fromkeys(env.agents, 1))
    assert terminations == {"agent_0": False, "agent_1": False}
    assert truncations == {"agent_0": True, "agent_1": True}


def test_the_dead_stay_with_no_op_alone() -> None:
    env, rng = parallel_env("3m", seed=2), np.random.default_rng(2)
    shown, _ = env.reset()
    dead = 0
    while env.agents:
        for agent in env.agents:
            if shown[agent]["action_mask"][0]:
                dead += 1
                assert shown[agent]["action_mask"].sum() == 1
                assert not shown[agent]["observation"].any()
        actions = {agent: rng.choice(np.flatnonzero(shown[agent]["action_mask"])) for agent in env.agents}
        shown = env.step(actions)[0]
    assert dead > 0


def test_a_seed_begins_its_first_battle_and_a_reset_without_goes_on() -> None:
    env, other = parallel_env("MMM2", seed=1), parallel_env("MMM2", seed=9)
    env.reset()
    starts = [env.reset(seed=9)[0], env.reset()[0], env.reset(seed=9)[0]]
    others = [other.reset()[0], other.reset()[0]]
    for mine, theirs in zip(starts, [*others, others[0]], strict=True):
        for agent in env.possible_agents:
            np.testing.assert_array_equal(mine[agent]["observation"], theirs[agent]["observation"])


def test_the_mask_may_stand_in_the_info() -> None:
    env = parallel_env("3m", seed=1, mask_in="info")
    shown, infos = env.reset()
    assert shown["agent_0"].shape == env.observation_space("agent_0").shape == (30,)
    assert infos["agent_0"]["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]


def test_an_unavailable_action_is_an_error_or_no_action() -> None:
    env = parallel_env("3m", seed=1)
    env.reset()
    with pytest.raises(ValueError, match="agent 0: action 6 is not available"):
        env.step({"agent_0": 6, "agent_1": 1, "agent_2": 1})
    with pytest.raises(ValueError, match="no action of agent_2"):
        env.step({"agent_0": 1, "agent_1": 1})
    idle, stopped = (parallel_env("3m", seed=1, unavailable="idle") for _ in range(2))
    idle.reset()
    stopped.reset()
    first = idle.step({"agent_0": 6, "agent_1": 2, "agent_2": 2})[0]
    second = stopped.step({"agent_0": 1, "agent_1": 2, "agent_2": 2})[0]
    for agent in idle.agents:
        np.testing.assert_array_equal(first[agent]["observation"], second[agent]["observation"])


@pytest.mark.parametrize("keywords", [{"mask_in": "state"}, {"unavailable": "noop"}, {"max_cycles": 25}])
def test_unknown_keywords_are_refused(keywords: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(keywords))):
        parallel_env("3m", **keywords)


def test_our_own_adapter_plays_it_as_it_plays_others() -> None:
    with make_env("pettingzoo:envs.interfaces.parallel?map_name=3m", n_battles=2, seed=3) as env:
        assert (env.spec.n_agents, env.spec.n_actions, env.spec.episode_limit) == (3, 9, 60)
        step, rng = env.reset(), np.random.default_rng(3)
        while not step.done.all():
            actions = np.where(step.avail_actions, rng.random(step.avail_actions.shape), -1).argmax(-1)
            step = env.step(actions)


def test_importing_the_room_is_cheap_and_needs_no_pettingzoo() -> None:
    code = (
        "import sys, envs.interfaces, lan_smac\n"
        "assert not {'numba', 'numpy', 'pettingzoo', 'gymnasium'} & set(sys.modules), sorted(sys.modules)\n"
        "sys.modules['pettingzoo'] = None\n"
        "from envs.errors import InputError\n"
        "try:\n    envs.interfaces.parallel_env\n"
        "except InputError as error:\n    print(error)\n"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert "pip install pettingzoo" in ran.stdout, ran.stderr
