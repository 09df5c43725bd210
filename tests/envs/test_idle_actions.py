"""What an agent does that does nothing is each environment's to say."""

from __future__ import annotations

import numpy as np
import pytest

from envs.checkers import CheckersEnv
from envs.conformance import ConformanceError, check_env
from envs.make import make_env
from envs.sc2.live import LiveEnv
from envs.spread import SpreadEnv, SpreadSettings
from envs.types import MultiAgentEnv
from runtime.host.fallback import fallback_action


def idle(env: MultiAgentEnv, avail_actions: np.ndarray) -> np.ndarray:
    """[1, N] the actions of a team none of whose agents answers."""
    return np.array([[fallback_action(row, env.idle_actions) for row in avail_actions[0]]])


def test_nobody_moves_in_checkers() -> None:
    with CheckersEnv() as env:
        before = env.reset()
        after = env.step(idle(env, before.avail_actions))
    assert np.array_equal(before.obs, after.obs)


def test_nobody_is_pushed_in_spread() -> None:
    with SpreadEnv(SpreadSettings(half_width=100.0), seed=1) as env:  # too far apart to touch
        step = env.reset()
        before = env.position.copy()
        for _ in range(5):
            step = env.step(idle(env, step.avail_actions))
        assert np.abs(env.position - before).max() < 1e-9


def test_living_units_stop_and_fallen_ones_do_nothing_on_smacs_maps() -> None:
    with make_env("3m:no-fog", "sim", seed=1) as env:
        step, played = env.reset(), set()
        while not step.done[0]:
            actions = idle(env, step.avail_actions)
            alive = ~step.avail_actions[:, :, 0]
            assert (actions == np.where(alive, 1, 0)).all()
            played |= set(actions.ravel().tolist())
            step = env.step(actions)
    assert played == {0, 1}
    assert LiveEnv.idle_actions == env.idle_actions


@pytest.mark.parametrize("wrong", [[0], (5,), (-1,), (0.0,), None])
def test_idle_actions_that_are_none_break_the_contract(wrong: object) -> None:
    env = CheckersEnv()
    env.idle_actions = wrong  # type: ignore[assignment]
    with pytest.raises(ConformanceError, match="idle_actions"):
        check_env(env)
