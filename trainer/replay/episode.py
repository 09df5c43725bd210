"""An episode as it was played, and as replay keeps it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from envs.errors import InputError
from envs.types import BoolArray, FloatArray, IntArray

ByteArray = npt.NDArray[np.uint8]
FeatureArray = npt.NDArray[np.float32] | npt.NDArray[np.float16]

STORED_ARRAYS = ("obs_bits", "obs_values", "obs_counts", "state", "avail_bits", "action", "reward")
MAX_ACTIONS = 256
"""Replay keeps an action in one byte."""


@dataclass(frozen=True)
class Episode:
    """One episode of L steps and L + 1 observations, as it was played.

    obs [L + 1, N, O] f32, state [L + 1, S] f32, avail_actions [L + 1, N, A] bool, action [L, N] i64,
    reward [L] f32; terminated or truncated says how the last step ended it.
    """

    obs: FloatArray
    state: FloatArray
    avail_actions: BoolArray
    action: IntArray
    reward: FloatArray
    terminated: bool
    truncated: bool
    won: bool

    @property
    def length(self) -> int:
        """Steps taken."""
        return len(self.action)


@dataclass(frozen=True)
class StoredEpisode:
    """An episode as replay keeps it: observations without their zeros (see `trainer.replay.sparse`).

    obs_bits [L + 1, ceil(N O / 8)] u8, obs_values [V] f32 or f16, obs_counts [L + 1] i32, state f32 or f16,
    avail_bits [L + 1, ceil(N A / 8)] u8 (one bit per action), action [L, N] u8, the rest as in `Episode`.
    """

    obs_dim: int
    obs_bits: ByteArray
    obs_values: FeatureArray
    obs_counts: npt.NDArray[np.int32]
    state: FeatureArray
    avail_bits: ByteArray
    action: ByteArray
    reward: FloatArray
    terminated: bool
    truncated: bool
    won: bool

    @classmethod
    def store(cls, episode: Episode, dtype: npt.DTypeLike) -> StoredEpisode:
        """An episode as replay keeps it; copies, so that the round's arrays can be freed.

        With float16 features are rounded to three digits; InputError where one is beyond its range. Actions
        are below `MAX_ACTIONS`.
        """
        from trainer.replay.sparse import gather_values

        rows = episode.length + 1
        bits, values, counts = gather_values(episode.obs.reshape(rows, -1))
        return cls(
            obs_dim=episode.obs.shape[2],
            obs_bits=bits,
            obs_values=rounded(values, dtype),
            obs_counts=counts,
            state=rounded(episode.state, dtype, copy=True),
            avail_bits=np.packbits(episode.avail_actions.reshape(rows, -1), axis=1),
            action=episode.action.astype(np.uint8),
            reward=episode.reward.copy(),
            terminated=episode.terminated,
            truncated=episode.truncated,
            won=episode.won,
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
        """Whether a file holds the arrays, rather than the memory of this process."""
        return False

    def load(self) -> StoredEpisode:
        """The episode itself: it is in memory."""
        return self

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


class KeptEpisode(Protocol):
    """An episode in replay, wherever its arrays are."""

    @property
    def nbytes(self) -> int:
        """Bytes the episode's arrays take."""
        ...

    @property
    def on_disk(self) -> bool:
        """Whether a file holds the arrays, rather than the memory of this process."""
        ...

    def load(self) -> StoredEpisode:
        """The episode in memory; OSError when its file cannot be read now."""
        ...


def rounded(values: FloatArray, dtype: npt.DTypeLike, *, copy: bool = False) -> FeatureArray:
    """Features in another number format; InputError rather than infinity."""
    try:
        with np.errstate(over="raise"):
            return values.astype(dtype, copy=copy)
    except FloatingPointError:
        raise InputError(
            f"an observation or a state holds {np.abs(values[np.isfinite(values)]).max():.6g}, which "
            f"--replay-dtype {np.dtype(dtype).name} cannot hold: train anew with --replay-dtype float32"
        ) from None


def unpack_available(bits: ByteArray, n_agents: int, n_actions: int) -> BoolArray:
    """[..., ceil(N A / 8)] u8, as `StoredEpisode.avail_bits` -> [..., N, A] bool."""
    flat = np.unpackbits(bits, axis=-1, count=n_agents * n_actions)
    return flat.reshape(*bits.shape[:-1], n_agents, n_actions).view(np.bool_)
