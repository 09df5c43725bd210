"""The plain learner that curves are compared with computes what LAN's learner computes, padding and all."""

import numpy as np
import pytest
import torch

from benchmarks.learner import random_episodes
from benchmarks.plain_lan import PlainLanLearner
from envs.types import EnvSpec
from trainer.lan import LanLearner
from trainer.learner import LearnerSettings
from trainer.replay import pack_episodes

SPEC = EnvSpec(name="toy", n_agents=3, n_actions=5, obs_dim=7, state_dim=4, unit_dim=2, episode_limit=9)


@pytest.mark.parametrize("subtract_mean", [False, True])
@pytest.mark.parametrize("value_gradient_to_gru", [False, True])
def test_the_plain_update_is_the_same_update(subtract_mean: bool, value_gradient_to_gru: bool) -> None:
    batch = pack_episodes(random_episodes(SPEC, [4, 9, 1, 6, 9]), SPEC.n_actions)
    settings = LearnerSettings(value_gradient_to_gru=value_gradient_to_gru)
    updated = []
    for kind in (LanLearner, PlainLanLearner):
        torch.manual_seed(4)
        learner = kind(SPEC, settings, torch.device("cpu"), subtract_mean=subtract_mean)
        for target in learner.targets.values():  # targets that differ from the online networks
            for parameter in target.parameters():
                parameter.data += 0.1 * torch.randn_like(parameter)
        updated.append((learner.update(batch), [p.grad.clone() for p in learner.parameters]))
    (fast, fast_gradients), (plain, plain_gradients) = updated
    for name in ("loss", "grad_norm", "q_taken_mean"):
        assert float(fast[name]) == pytest.approx(float(plain[name]), rel=1e-5)
    for gradient, reference in zip(fast_gradients, plain_gradients, strict=True):
        scale = float(np.abs(reference.numpy()).max())
        torch.testing.assert_close(gradient, reference, rtol=1e-4, atol=1e-5 * scale)
