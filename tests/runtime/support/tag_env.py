"""A small real environment for the runtime's tests: agents on a ring chase a runner, and some of them fall.

Actions as in SMAC: 0 no-op (only for the fallen), 1 stop, 2 left, 3 right, 4 catch (only next to the runner).
The runner moves at random from the seed; whoever it lands on falls. Caught by two at once: won.
"""

from __future__ import annotations

import numpy as np

from envs.types import BoolArray, ClosesOnExit, EnvSpec, IntArray, TimeStep

N, A, CELLS, LIMIT_STEPS = 3, 5, 9, 30
SPEC = EnvSpec("tag", N, A, CELLS + 4, 2 * N + 1, 2, LIMIT_STEPS)


class TagEnv(ClosesOnExit):
    """One battle; a function of seed, episode number and actions."""

    n_battles = 1
    idle_actions = (1, 0)
    spec = SPEC

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed
        self.next_episode = 0

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        self.rng = np.random.default_rng([self.seed, self.next_episode])
        self.next_episode += 1
        self.cells = self.rng.integers(0, CELLS, N)
        self.runner = int(self.rng.integers(0, CELLS))
        self.alive = np.ones(N, bool)
        self.steps = 0
        return self.show(0.0, False)

    def step(self, actions: IntArray) -> TimeStep:
        avail = self.avail()
        assert avail[np.arange(N), actions[0]].all(), actions
        self.steps += 1
        catching = (actions[0] == 4).sum()
        self.cells = (self.cells + (actions[0] == 3) - (actions[0] == 2)) % CELLS
        if catching < 2:
            self.runner = (self.runner + int(self.rng.integers(-1, 2))) % CELLS
            self.alive &= ~((self.cells == self.runner) & (self.rng.random(N) < 0.1))
        return self.show(float(catching), bool(catching >= 2))

    def avail(self) -> BoolArray:
        avail = np.zeros((N, A), bool)
        avail[:, 0] = ~self.alive
        avail[:, 1:4] = self.alive[:, None]
        distance = np.abs(self.cells - self.runner)
        avail[:, 4] = self.alive & (np.minimum(distance, CELLS - distance) <= 1)
        return avail

    def show(self, reward: float, won: bool) -> TimeStep:
        obs = np.zeros((1, N, SPEC.obs_dim), np.float32)
        for i in range(N):
            if self.alive[i]:
                obs[0, i, (self.runner - self.cells[i]) % CELLS] = 1.0
                obs[0, i, CELLS : CELLS + N] = np.sin(self.cells - self.cells[i])
                obs[0, i, -1] = self.rng.standard_normal()
        state = np.concatenate((np.stack((self.cells, self.alive), 1).ravel(), [self.runner]))
        flag = np.array([won])
        terminated = flag | ~self.alive.any()
        return TimeStep(
            obs=obs,
            state=state[None].astype(np.float32),
            avail_actions=self.avail()[None],
            reward=np.array([reward], np.float32),
            terminated=terminated,
            truncated=~terminated & (self.steps >= LIMIT_STEPS),
            won=flag,
        )

    def close(self) -> None:
        pass
