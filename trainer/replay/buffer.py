"""Replay of whole episodes at their true lengths, packed into batches without padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from envs.types import BoolArray, FloatArray, IntArray
from trainer.learning.batch import EpisodeBatch

FeatureArray = npt.NDArray[np.float32] | npt.NDArray[np.float16]


@dataclass(frozen=True)
class Episode:
    """One episode of L steps and L + 1 observations, as it was played.

    obs [L + 1, N, O] f32, state [L + 1, S] f32, avail_bits [L + 1, ceil(N A / 8)] u8 (one bit per action),
    action [L, N] u8, reward [L] f32; terminated or truncated says how the last step ended it.
    """

    obs: FloatArray
    state: FloatArray
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
    def obs_dim(self) -> int:
        """O."""
        return int(self.obs.shape[2])

    def write_obs(self, rows: IntArray, out: FloatArray) -> None:
        """Write the observations to the given rows of a batch, out [P, N, O]."""
        out[rows] = self.obs


@dataclass(frozen=True)
class StoredEpisode:
    """An episode as replay keeps it: observations without their zeros (see `trainer.replay.sparse`).

    obs_bits [L + 1, ceil(N O / 8)] u8, obs_values [V] f32 or f16, obs_counts [L + 1] i32, state f32 or f16,
    the rest as in `Episode`.
    """

    obs_dim: int
    obs_bits: npt.NDArray[np.uint8]
    obs_values: FeatureArray
    obs_counts: npt.NDArray[np.int32]
    state: FeatureArray
    avail_bits: npt.NDArray[np.uint8]
    action: npt.NDArray[np.uint8]
    reward: FloatArray
    terminated: bool
    truncated: bool
    won: bool

    @classmethod
    def store(cls, episode: Episode, dtype: npt.DTypeLike) -> StoredEpisode:
        """What replay keeps of an episode; with float16 features are rounded to three digits."""
        from trainer.replay.sparse import gather_values

        bits, values, counts = gather_values(episode.obs.reshape(episode.length + 1, -1))
        rest = {name: getattr(episode, name) for name in UNCHANGED}
        return cls(
            obs_dim=episode.obs_dim,
            obs_bits=bits,
            obs_values=values.astype(dtype, copy=False),
            obs_counts=counts,
            state=episode.state.astype(dtype, copy=False),
            **rest,
        )

    @property
    def length(self) -> int:
        """Steps taken."""
        return len(self.action)

    @property
    def nbytes(self) -> int:
        """Bytes the episode's arrays take."""
        return sum(getattr(self, name).nbytes for name in STORED_ARRAYS)

    @property
    def on_disk(self) -> bool:
        """Whether the large arrays are views of a file rather than memory of this process."""
        return isinstance(self.obs_values, np.memmap)

    @property
    def obs(self) -> FloatArray:
        """Observations [L + 1, N, O], with their zeros."""
        out = np.empty((self.length + 1, self.action.shape[1], self.obs_dim), np.float32)
        self.write_obs(np.arange(self.length + 1), out)
        return out

    def write_obs(self, rows: IntArray, out: FloatArray) -> None:
        """Write the observations to the given rows of a batch, out [P, N, O]."""
        from trainer.replay.sparse import spread_values

        starts = np.cumsum(self.obs_counts, dtype=np.int64) - self.obs_counts
        values = np.zeros(len(self.obs_values) + 1, np.float32)
        values[:-1] = self.obs_values
        words = out.reshape(len(out), -1).view(np.int32)
        spread_values(np.array(self.obs_bits), values.view(np.int32), starts, rows, words)


UNCHANGED = ("avail_bits", "action", "reward", "terminated", "truncated", "won")
STORED_ARRAYS = ("obs_bits", "obs_values", "obs_counts", "state", "avail_bits", "action", "reward")


def pack_available(avail_actions: BoolArray) -> npt.NDArray[np.uint8]:
    """[..., N, A] bool -> [..., ceil(N A / 8)] u8."""
    return np.packbits(avail_actions.reshape(*avail_actions.shape[:-2], -1), axis=-1)


def unpack_available(bits: npt.NDArray[np.uint8], n_agents: int, n_actions: int) -> BoolArray:
    """The inverse of `pack_available`."""
    flat = np.unpackbits(bits, axis=-1, count=n_agents * n_actions)
    return flat.reshape(*bits.shape[:-1], n_agents, n_actions).view(np.bool_)


def pack_episodes(
    episodes: Sequence[Episode | StoredEpisode], n_actions: int, *, bootstrap_on_timeout: bool = False
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
        self._episodes: dict[int, StoredEpisode] = {}  # by number

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
        self.insert_stored(StoredEpisode.store(episode, self.dtype))

    def insert_stored(self, episode: StoredEpisode) -> None:
        """Keep an episode that was kept before."""
        if len(self._episodes) == self.capacity_episodes:
            self._put(self.oldest, None)
        self._put(self.inserted, episode)
        self.inserted += 1

    def move(self, number: int, episode: StoredEpisode) -> None:
        """Take an equal episode, one on disk, for the one of that number."""
        self._put(number, episode)

    def episodes_since(self, first: int) -> list[StoredEpisode]:
        """The kept episodes numbered `first` and later, in the order they came."""
        return [self._episodes[number] for number in range(max(first, self.oldest), self.inserted)]

    def sample(self, rng: np.random.Generator, n_episodes: int) -> EpisodeBatch:
        """`n_episodes` different episodes, uniformly."""
        chosen = rng.choice(len(self._episodes), n_episodes, replace=False)
        episodes = [self._episodes[self.oldest + int(index)] for index in chosen]
        return pack_episodes(episodes, self.n_actions, bootstrap_on_timeout=self.bootstrap_on_timeout)

    def _put(self, number: int, episode: StoredEpisode | None) -> None:
        before = self._episodes.pop(number, None)
        if before is not None and not before.on_disk:
            self.memory_bytes -= before.nbytes
        if episode is not None:
            self._episodes[number] = episode
            if not episode.on_disk:
                self.memory_bytes += episode.nbytes
