"""A small real environment: remember what you saw first, and do it at the end.

Every agent sees a cue of its own in the first step only; in the last step it must choose the action the cue
named. The team's reward is the share of agents that did. Without memory it cannot be solved.
"""

from __future__ import annotations

import numpy as np

from envs.types import BoolArray, ClosesOnExit, EnvSpec, IntArray, TimeStep

N, CUES, LENGTH = 2, 3, 4


class RecallEnv(ClosesOnExit):
    """B games; battle b, episode e of seed s is the same whatever B is. Action 0 is only for the middle."""

    idle_actions = (0,)

    def __init__(self, n_battles: int, seed: int) -> None:
        self.spec = EnvSpec("recall", N, 1 + CUES, CUES + 1, N * CUES, CUES, LENGTH)
        self.n_battles, self.seed, self.next_episode = n_battles, seed, 0
        self.t = np.full(n_battles, -1)
        self.cue = np.zeros((n_battles, N), np.int64)
        self.reward = np.zeros(n_battles, np.float32)

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        for b in range(self.n_battles):
            if mask is None or mask[b]:
                rng = np.random.default_rng([self.seed, self.next_episode])
                self.cue[b], self.t[b], self.next_episode = (
                    rng.integers(CUES, size=N),
                    0,
                    self.next_episode + 1,
                )
        self.reward[:] = 0
        return self._show()

    def step(self, actions: IntArray) -> TimeStep:
        running = self.t < LENGTH
        last = self.t == LENGTH - 1
        self.reward = np.where(last, (actions == self.cue + 1).mean(1), 0).astype(np.float32)
        self.t = self.t + running
        return self._show()

    def _show(self) -> TimeStep:
        B = self.n_battles
        cues = np.eye(CUES, dtype=np.float32)[self.cue]  # [B, N, CUES]
        obs = np.zeros((B, N, CUES + 1), np.float32)
        obs[..., :CUES] = cues * (self.t == 0)[:, None, None]
        obs[..., CUES] = (self.t / LENGTH)[:, None]
        avail = np.ones((B, N, 1 + CUES), bool)
        choosing = self.t == LENGTH - 1
        avail[choosing, :, 0] = False
        avail[~choosing, :, 1:] = False
        done = self.t == LENGTH
        return TimeStep(
            obs=obs,
            state=cues.reshape(B, -1).copy(),
            avail_actions=avail,
            reward=self.reward.copy(),
            terminated=done,
            truncated=np.zeros(B, bool),
            won=done & (self.reward == 1),
        )

    def close(self) -> None:
        return None
