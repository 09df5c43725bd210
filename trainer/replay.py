"""Replay of whole episodes at their true lengths, packed into batches without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from envs.types import BoolArray, FloatArray
from trainer.batch import EpisodeBatch

FeatureArray = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True)
class Episode:
    """One episode of L steps and L + 1 observations.

    obs [L + 1, N, O] f32 or f16, state [L + 1, S] the same, avail_bits [L + 1, ceil(N A / 8)] u8
    (one bit per action), action [L, N] u8, reward [L] f32; terminated or truncated says how the last step
    ended it.
    """

    obs: FeatureArray
    state: FeatureArray
    avail_bits: npt.NDArray[np.uint8]
    action: npt.NDArray[np.uint8]
    reward: FloatArray
    terminated: bool
    truncated: bool
    won: bool

    @property
    def length(self) -> int:
        """Steps taken."""
        return len(self.action)

    @property
    def nbytes(self) -> int:
        """Bytes the episode's arrays take."""
        arrays = (self.obs, self.state, self.avail_bits, self.action, self.reward)
        return sum(array.nbytes for array in arrays)

    @property
    def on_disk(self) -> bool:
        """Whether the arrays are views of a file rather than memory of this process."""
        return isinstance(self.obs, np.memmap)

    def as_dtype(self, dtype: np.dtype[np.floating[Any]]) -> Episode:
        """The same episode with observations and states in `dtype`."""
        if self.obs.dtype == dtype:
            return self
        return replace(self, obs=self.obs.astype(dtype), state=self.state.astype(dtype))


def pack_available(avail_actions: BoolArray) -> npt.NDArray[np.uint8]:
    """[..., N, A] bool -> [..., ceil(N A / 8)] u8."""
    return np.packbits(avail_actions.reshape(*avail_actions.shape[:-2], -1), axis=-1)


def unpack_available(bits: npt.NDArray[np.uint8], n_agents: int, n_actions: int) -> BoolArray:
    """The inverse of `pack_available`."""
    flat = np.unpackbits(bits, axis=-1, count=n_agents * n_actions)
    return flat.reshape(*bits.shape[:-1], n_agents, n_actions).view(np.bool_)


def pack_episodes(
    episodes: Sequence[Episode], n_actions: int, *, bootstrap_on_timeout: bool = False
) -> EpisodeBatch:
    """A batch of episodes as packed rows; see `EpisodeBatch`."""
    episodes = sorted(episodes, key=lambda episode: -episode.length)
    n_rows = np.array([episode.length + 1 for episode in episodes])
    row_counts = (n_rows[None, :] > np.arange(n_rows[0])[:, None]).sum(1)
    starts = np.concatenate(([0], np.cumsum(row_counts)))
    B, P = len(episodes), int(starts[-1])
    _, N, obs_dim = episodes[0].obs.shape
    obs = np.empty((P, N, obs_dim), np.float32)
    state = np.empty((P, episodes[0].state.shape[1]), np.float32)
    bits = np.empty((P, episodes[0].avail_bits.shape[1]), np.uint8)
    last_action = np.full((P, N), -1, np.int64)
    reward, terminated = np.empty(P - B, np.float32), np.zeros(P - B, np.float32)
    for e, episode in enumerate(episodes):
        rows = starts[: episode.length + 1] + e
        obs[rows], state[rows], bits[rows] = episode.obs, episode.state, episode.avail_bits
        last_action[rows[1:]], reward[rows[1:] - B] = episode.action, episode.reward
        ends = episode.terminated or (episode.truncated and not bootstrap_on_timeout)
        terminated[rows[-1] - B] = float(ends)
    return EpisodeBatch(
        row_counts=tuple(row_counts.tolist()),
        obs=torch.from_numpy(obs),
        state=torch.from_numpy(state),
        avail_actions=torch.from_numpy(unpack_available(bits, N, n_actions)),
        last_action=torch.from_numpy(last_action),
        reward=torch.from_numpy(reward),
        terminated=torch.from_numpy(terminated),
    )


class ReplayBuffer:
    """The last `capacity` episodes; the oldest makes room. Observations and states are kept as `dtype`."""

    def __init__(
        self,
        capacity_episodes: int,
        n_actions: int,
        *,
        bootstrap_on_timeout: bool = False,
        dtype: str = "float32",
    ) -> None:
        self.capacity_episodes = capacity_episodes
        self.n_actions = n_actions
        self.bootstrap_on_timeout = bootstrap_on_timeout
        self.dtype = np.dtype(dtype)
        self.inserted = 0
        self.memory_bytes = 0  # of the episodes that are not on disk
        self._episodes: dict[int, Episode] = {}  # by number

    def __len__(self) -> int:
        return len(self._episodes)

    @property
    def oldest(self) -> int:
        """Number of the oldest episode kept."""
        return self.inserted - len(self._episodes)

    @property
    def nbytes(self) -> int:
        """Bytes of all episodes, wherever they are."""
        return sum(episode.nbytes for episode in self._episodes.values())

    def insert(self, episode: Episode) -> None:
        """Keep an episode."""
        if len(self._episodes) == self.capacity_episodes:
            self._put(self.oldest, None)
        self._put(self.inserted, episode.as_dtype(self.dtype))
        self.inserted += 1

    def move(self, number: int, episode: Episode) -> None:
        """Take an equal episode, one on disk, for the one of that number."""
        self._put(number, episode)

    def episodes_since(self, first: int) -> list[Episode]:
        """The kept episodes numbered `first` and later, in the order they came."""
        return [self._episodes[number] for number in range(max(first, self.oldest), self.inserted)]

    def sample(self, rng: np.random.Generator, n_episodes: int) -> EpisodeBatch:
        """`n_episodes` different episodes, uniformly."""
        chosen = rng.choice(len(self._episodes), n_episodes, replace=False)
        episodes = [self._episodes[self.oldest + int(index)] for index in chosen]
        return pack_episodes(episodes, self.n_actions, bootstrap_on_timeout=self.bootstrap_on_timeout)

    def _put(self, number: int, episode: Episode | None) -> None:
        before = self._episodes.pop(number, None)
        if before is not None and not before.on_disk:
            self.memory_bytes -= before.nbytes
        if episode is not None:
            self._episodes[number] = episode
            if not episode.on_disk:
                self.memory_bytes += episode.nbytes
