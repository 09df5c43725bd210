"""`reward`: the map's, or SMACv2's, on the same battles."""

from pathlib import Path

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.errors import InputError
from envs.make import check_reward, make_env
from envs.types import MultiAgentEnv
from trainer.config import TrainConfig
from trainer.runs.assembly import assemble
from trainer.runs.plan import plan_run


def played_randomly(env: MultiAgentEnv, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """The states and rewards of one battle after the other."""
    rng, states, rewards = np.random.default_rng(0), [], []
    with env:
        step = env.reset()
        for _ in range(steps):
            actions = np.array([[rng.choice(np.flatnonzero(row)) for row in step.avail_actions[0]]])
            step = env.step(actions)
            states.append(step.state[0].copy())
            rewards.append(float(step.reward[0]))
            if step.done[0]:
                step = env.reset()
    return np.array(states), np.array(rewards)


@pytest.mark.parametrize("name", ["2s3z", "MMM2"])  # shields that grow back, and a medivac that heals
def test_smacv2s_pays_nothing_when_enemies_regain_and_the_same_otherwise(name: str) -> None:
    states, maps = played_randomly(make_env(name, "sim", seed=3), 1_500)
    others, smacv2s = played_randomly(make_env(name, "sim", seed=3, reward="smacv2"), 1_500)
    assert np.array_equal(states, others)
    differ = maps != smacv2s
    assert 20 < differ.sum() < 1_000
    assert (maps[differ] > 0).all()
    assert (smacv2s[differ] == 0).all()


def test_where_no_enemy_heals_both_rewards_are_the_same() -> None:
    (states, maps), (others, smacv2s) = (
        played_randomly(make_env("5m_vs_6m", "sim", seed=3, reward=reward), 1_500)
        for reward in ("map", "smacv2")
    )
    assert np.array_equal(states, others)
    assert maps.any()
    assert np.array_equal(maps, smacv2s)


@pytest.mark.parametrize(
    ("name", "backend", "reward", "said"),
    [
        ("3m", "smac", "smacv2", "the official package reckons its own"),
        ("3m", "sim", "smacv1", "unknown reward 'smacv1': did you mean 'smacv2', 'map'"),
        ("checkers", "sim", "smacv2", "checkers has a reward of its own"),
        ("zerg_5_vs_5", "sim", "smacv2", "would change nothing: zerg_5_vs_5 has it"),
    ],
)
def test_a_reward_that_cannot_be_is_refused(name: str, backend: str, reward: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        check_reward(reward, name, backend)


def test_a_run_trains_with_it_and_evaluates_with_the_maps(tmp_path: Path) -> None:
    plan = plan_run(TrainConfig(map="2s3z", env="sim", reward="smacv2", run_dir=tmp_path / "run"))
    with assemble(plan) as run:
        assert isinstance(run.env, BattleEnv)
        assert isinstance(run.eval_env, BattleEnv)
        assert not run.env.smac_map.settings.reward_regeneration
        assert run.eval_env.smac_map.settings.reward_regeneration
        assert run.env.spec == run.eval_env.spec
