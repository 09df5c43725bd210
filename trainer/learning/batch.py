"""A batch of whole episodes, packed so that no row of it is padding.

Episodes differ in length. They are sorted longest first and laid out time-major: the rows of step t are
the episodes that still have an observation at t, and those are always the first ones. So the rows of
step t + 1 line up with the first rows of step t, the recurrence only ever shrinks, and "next" is a slice.
P is the number of rows, one per episode and observation.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from trainer.learning.inputs import NonZeros

Packed = TypeVar("Packed", Tensor, NonZeros)


@dataclass(frozen=True)
class EpisodeBatch:
    """P packed rows of B episodes; an episode of L steps has L + 1 rows, its last observation included.

    row_counts [T + 1]: episodes with an observation at step t, never increasing, row_counts[0] = B.
    obs [P, N, O] f32, state [P, S] f32, avail_actions [P, N, A] bool,
    last_action [P, N] i64 (-1 at t = 0); and, for the P - B rows that follow an action, in the order of
    the rows they lead to: reward [P - B] f32, terminated [P - B] f32 (1 where no future follows).
    """

    row_counts: tuple[int, ...]
    obs: Tensor
    state: Tensor
    avail_actions: Tensor
    last_action: Tensor
    reward: Tensor
    terminated: Tensor
    whole: EpisodeBatch | None = None
    """The batch of which this one is a part (see `shards`)."""

    @property
    def filled(self) -> float:
        """Steps of the whole batch as a share of the steps it would have, padded to its longest episode."""
        counts = (self.whole or self).row_counts
        return sum(counts[1:]) / (counts[0] * (len(counts) - 1))

    @property
    def n_episodes(self) -> int:
        return self.row_counts[0]

    @property
    def n_rows(self) -> int:
        return sum(self.row_counts)

    @property
    def action(self) -> Tensor:
        """[P - B, N] i64: the action that led to each next row, which is that row's last action."""
        return self.last_action[self.n_episodes :]

    @cached_property
    def now(self) -> Tensor:
        """[P - B] i64: for each next row the row before it, i.e. every row in which an action was taken."""
        counts = np.array(self.row_counts)
        first = np.repeat(np.cumsum(counts)[:-1] - counts[:-1], counts[1:])
        within = np.arange(len(first)) - np.repeat(np.cumsum(counts[1:]) - counts[1:], counts[1:])
        return torch.from_numpy(first + within).to(self.obs.device)

    @cached_property
    def nonzeros(self) -> NonZeros:
        """Where the observations are not zero."""
        return NonZeros.of(self.obs)

    def next(self, rows: Packed) -> Packed:
        """The rows [P - B, ...] that follow an action, of any packed tensor [P, ...]."""
        return rows[self.n_episodes :]

    def shards(self, n: int) -> list[EpisodeBatch]:
        """The same episodes in up to `n` batches, dealt in turn from the longest on: about equal work."""
        starts = np.concatenate(([0], np.cumsum(self.row_counts)))
        shards = []
        for first in range(min(n, self.n_episodes)):
            rows = np.concatenate(
                [
                    np.arange(starts[t] + first, starts[t] + count, n)
                    for t, count in enumerate(self.row_counts)
                ]
            )
            counts = [len(range(first, count, n)) for count in self.row_counts]
            here = torch.from_numpy(rows)
            after = here[counts[0] :] - self.n_episodes
            shards.append(
                EpisodeBatch(
                    row_counts=tuple(count for count in counts if count),
                    obs=self.obs[here],
                    state=self.state[here],
                    avail_actions=self.avail_actions[here],
                    last_action=self.last_action[here],
                    reward=self.reward[after],
                    terminated=self.terminated[after],
                    whole=self,
                )
            )
        return shards

    def to(self, device: torch.device) -> EpisodeBatch:
        """The same batch on another device."""
        if self.obs.device == device:
            return self
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("obs", "state", "avail_actions", "last_action", "reward", "terminated")
        }
        return replace(self, **moved)
