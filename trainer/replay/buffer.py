"""Replay of whole episodes at their true lengths, packed into batches without padding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from envs.errors import InputError
from trainer.learning.batch import EpisodeBatch
from trainer.replay.episode import MAX_ACTIONS, Episode, KeptEpisode, StoredEpisode, unpack_available


def pack_episodes(
    episodes: Sequence[StoredEpisode], n_actions: int, *, bootstrap_on_timeout: bool = False
) -> EpisodeBatch:
    """A batch of episodes as packed rows; see `EpisodeBatch`."""
    episodes = sorted(episodes, key=lambda episode: -episode.length)
    n_rows = np.array([episode.length + 1 for episode in episodes])
    row_counts = (n_rows[None, :] > np.arange(n_rows[0])[:, None]).sum(1)
    starts = np.concatenate(([0], np.cumsum(row_counts)))
    B, P = len(episodes), int(starts[-1])
    N = episodes[0].action.shape[1]
    obs = np.empty((P, N, episodes[0].obs_dim), np.float32)
    state = np.empty((P, episodes[0].state.shape[1]), np.float32)
    bits = np.empty((P, episodes[0].avail_bits.shape[1]), np.uint8)
    last_action = np.full((P, N), -1, np.int64)
    reward, terminated = np.empty(P - B, np.float32), np.zeros(P - B, np.float32)
    for e, episode in enumerate(episodes):
        rows = starts[: episode.length + 1] + e
        episode.write_obs(rows, obs)
        state[rows], bits[rows] = episode.state, episode.avail_bits
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
    """The last `capacity` episodes; the oldest makes room. Observations and states are kept as `dtype`.

    InputError when there are more actions than a byte can tell apart.
    """

    def __init__(
        self,
        capacity_episodes: int,
        n_actions: int,
        *,
        bootstrap_on_timeout: bool = False,
        dtype: str = "float32",
    ) -> None:
        if n_actions > MAX_ACTIONS:
            raise InputError(f"replay keeps at most {MAX_ACTIONS} actions, this environment has {n_actions}")
        self.capacity_episodes = capacity_episodes
        self.n_actions = n_actions
        self.bootstrap_on_timeout = bootstrap_on_timeout
        self.dtype = np.dtype(dtype)
        self.inserted = 0
        self.memory_bytes = 0  # of the episodes that are not on disk
        self._episodes: dict[int, KeptEpisode] = {}  # by number

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

    def insert(self, *episodes: Episode) -> None:
        """Keep episodes; InputError, and none is kept, when one does not fit the number format."""
        for stored in [StoredEpisode.store(episode, self.dtype) for episode in episodes]:
            self.insert_stored(stored)

    def insert_stored(self, episode: StoredEpisode) -> None:
        """Keep an episode that was kept before."""
        if len(self._episodes) == self.capacity_episodes:
            self._put(self.oldest, None)
        self._put(self.inserted, episode)
        self.inserted += 1

    def move(self, number: int, episode: KeptEpisode) -> None:
        """Take an equal episode, one on disk, for the one of that number, where that is still kept."""
        if self.oldest <= number < self.inserted:
            self._put(number, episode)

    def episodes_since(self, first: int) -> list[KeptEpisode]:
        """The kept episodes numbered `first` and later, in the order they came."""
        return [self._episodes[number] for number in range(max(first, self.oldest), self.inserted)]

    def sample(self, rng: np.random.Generator, n_episodes: int) -> EpisodeBatch:
        """`n_episodes` different episodes, uniformly; OSError when a file of replay cannot be read now."""
        chosen = rng.choice(len(self._episodes), n_episodes, replace=False)
        episodes = [self._episodes[self.oldest + int(index)].load() for index in chosen]
        return pack_episodes(episodes, self.n_actions, bootstrap_on_timeout=self.bootstrap_on_timeout)

    def _put(self, number: int, episode: KeptEpisode | None) -> None:
        before = self._episodes.pop(number, None)
        if before is not None and not before.on_disk:
            self.memory_bytes -= before.nbytes
        if episode is not None:
            self._episodes[number] = episode
            if not episode.on_disk:
                self.memory_bytes += episode.nbytes
