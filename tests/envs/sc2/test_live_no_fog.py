"""Without fog the live game shows what the simulator shows: it is one of the map's settings."""

from pathlib import Path

import numpy as np

from envs.conformance import random_actions
from envs.make import make_env


def test_the_live_battle_without_fog_is_the_simulated_one(sc2_path: Path) -> None:
    live = make_env("2s3z:no-fog", "sc2", seed=3)
    simulated = make_env("2s3z:no-fog", "sim", seed=3)
    rng = np.random.default_rng(3)
    try:
        assert live.spec == simulated.spec
        one, other = live.reset(), simulated.reset()
        for _ in range(20):
            np.testing.assert_allclose(one.obs, other.obs, rtol=0, atol=1e-6)
            assert one.obs[..., 5].max() > 1  # somebody beyond the sight range is shown
            actions = random_actions(one, rng)
            one, other = live.step(actions), simulated.step(actions)
    finally:
        live.close()
