"""Episodes whose every value tells where it belongs."""

import numpy as np

from trainer.replay.episode import Episode

N, A = 2, 11


def numbered_episode(number: int, length: int) -> Episode:
    """Every value tells which episode, step and agent it belongs to."""
    rng = np.random.default_rng(number)
    steps = np.arange(length + 1, dtype=np.float32)
    obs = (number * 100 + steps)[:, None, None] + np.array([0.25, 0.5], np.float32)[None, :, None]
    return Episode(
        obs=np.repeat(obs, 3, axis=2),
        state=(number * 100 + steps)[:, None],
        avail_actions=rng.random((length + 1, N, A)) < 0.5,
        action=rng.integers(0, A, (length, N)),
        reward=(number * 100 + steps[1:]).astype(np.float32),
        terminated=number % 2 == 0,
        truncated=number % 2 == 1,
        won=False,
    )
