"""A random stream per battle: splitmix64, seeded from (seed, episode) and nothing else."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from envs.compiled import helper

Seeds = npt.NDArray[np.uint64]

_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31, _S11 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(11)
_UNIT = 1.0 / 9007199254740992.0  # 2^-53


@helper
def _mix(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> _S30)) * _MIX_1
    z = (z ^ (z >> _S27)) * _MIX_2
    return z ^ (z >> _S31)


@helper
def seed_stream(rng: Seeds, seed: np.uint64, episode: np.uint64) -> None:
    """Start the stream rng[0] of one episode of one seed (Steele et al. 2014, SplitMix)."""
    rng[0] = _mix(_mix(seed + _GAMMA) ^ (episode * _GAMMA))


@helper
def uniform(rng: Seeds) -> float:
    """The next number of the stream rng[0], in [0, 1)."""
    rng[0] = rng[0] + _GAMMA
    return float(_mix(rng[0]) >> _S11) * _UNIT
