"""Environments as other programs use them: made by name, stepped, pickled, closed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

import envs


def test_what_is_public_can_be_pickled() -> None:
    for value in (envs.make_env, envs.TimeStep, envs.env_spec("3m"), envs.MAP_NAMES):
        assert pickle.loads(pickle.dumps(value)) == value
    error = pickle.loads(pickle.dumps(envs.EpisodeLostError(np.array([True, False]), "it hung")))
    assert (str(error), error.slots.tolist()) == ("it hung", [True, False])


@pytest.mark.parametrize(
    "name", ["3m", "3m:no-fog", "checkers", "spread:2", "pettingzoo:mpe2.simple_spread_v3"]
)
def test_environments_of_every_kind_are_closed_by_their_block_and_may_be_closed_again(name: str) -> None:
    if name.startswith("pettingzoo:"):
        pytest.importorskip("mpe2")
    with envs.make_env(name, "sim", n_battles=2) as env:
        assert not env.reset().done.any()
        env.close()
    env.close()
    with pytest.raises(ValueError, match="plays at least one battle"):
        envs.make_env(name, "sim", n_battles=0)


def test_the_public_names_play_an_episode() -> None:
    assert "3m" in envs.MAP_NAMES
    with envs.make_env("spread:3", n_battles=2, seed=1) as env:
        assert env.spec == envs.env_spec("spread:3")
        step = env.reset()
        while not step.done.all():
            step = env.step(np.zeros((2, env.spec.n_agents), np.int64))
        with pytest.raises(envs.InputError, match="unknown map"):
            envs.make_env("3mm", "sim")
