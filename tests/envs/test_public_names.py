"""What `envs` offers to other programs: every name is there, and none is loaded before it is used."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest

import envs


@pytest.mark.parametrize("name", envs.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(envs, name) is not None
    assert name in dir(envs)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'make_envs'"):
        envs.make_envs  # noqa: B018


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from envs import *", names)
    assert set(envs.__all__) == set(names) - {"__builtins__"}


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


def test_import_loads_nothing_heavy() -> None:
    code = "import envs, sys; print(*sorted({'numba', 'numpy', 'torch', 'envs.make'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []


def test_the_public_names_play_an_episode() -> None:
    assert "3m" in envs.MAP_NAMES
    with envs.make_env("spread:3", n_battles=2, seed=1) as env:
        assert env.spec == envs.env_spec("spread:3")
        step = env.reset()
        while not step.done.all():
            step = env.step(np.zeros((2, env.spec.n_agents), np.int64))
        with pytest.raises(envs.InputError, match="unknown map"):
            envs.make_env("3mm", "sim")
