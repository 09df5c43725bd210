"""What a few runs say, and how sure that is: interquartile means, profiles, chances to be better, intervals.

The estimators and intervals are those of Agarwal et al., "Deep Reinforcement Learning at the Edge of the
Statistical Precipice" (2021), whose library is rliable; `tests/trainer/plots/test_estimates.py` compares. A
sample is a list with an array per map, whose last axis is the runs there: [R] or [G, R].
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Sample = Sequence[Reals]
Statistic = Callable[..., Reals]

MIN_RUNS = 3
"""With fewer runs on a map there is no interval: resampling two says nothing of others."""
REPLICATIONS = 2000
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A statistic, [G] or a number, and its interval; no interval where there are too few runs."""

    value: Reals
    low: Reals | None = None
    high: Reals | None = None


def interquartile_mean(sample: Sample) -> Reals:
    """The mean of the middle half of all values of all maps, along the last axis; every map counts alike.

    A quarter of the values, rounded down, is left out at each end: of three runs none, of five one. Where
    maps have different numbers of runs, it is a quarter of the weight.
    """
    values, weights = np.concatenate(sample, axis=-1), _weights(sample)
    order = np.argsort(values, axis=-1, kind="stable")
    values, weights = np.take_along_axis(values, order, axis=-1), weights[order]
    n_cut = values.shape[-1] // 4
    if np.ptp(weights) == 0.0:
        mean: Reals = values[..., n_cut : values.shape[-1] - n_cut].mean(axis=-1)
        return mean
    cut, below = n_cut / values.shape[-1], np.cumsum(weights, axis=-1)
    kept = np.clip(np.minimum(below, 1 - cut) - np.maximum(below - weights, cut), 0.0, None)
    mean = (kept * values).sum(axis=-1) / kept.sum(axis=-1)
    return mean


def _weights(sample: Sample) -> Reals:
    """[R of all maps] the weight of every run: those of a map share the map's, and sum to 1 over maps."""
    counts = [values.shape[-1] for values in sample]
    return np.repeat([1 / (len(counts) * count) for count in counts], counts)


def improvement(ours: Sample, theirs: Sample) -> Reals:
    """The chance that a run of `ours` beats one of `theirs` on a map, mean over maps; a tie is half."""
    chances = [
        ((x[..., :, None] > y[..., None, :]) + 0.5 * (x[..., :, None] == y[..., None, :])).mean(axis=(-2, -1))
        for x, y in zip(ours, theirs, strict=True)
    ]
    mean: Reals = np.mean(chances, axis=0)
    return mean


def profile(sample: Sample, thresholds: Reals) -> Reals:
    """The share of a map's runs with more than each of the `thresholds` [T], mean over maps; [..., T]."""
    shares = [(values[..., None, :] > thresholds[:, None]).mean(axis=-1) for values in sample]
    share: Reals = np.mean(shares, axis=0)
    return share


def estimate(statistic: Statistic, *samples: Sample, seed: int = 0) -> Estimate:
    """A statistic of samples, with a percentile bootstrap interval of 95 %.

    Runs are drawn with replacement, on every map on its own, `REPLICATIONS` times. The draws depend on `seed`
    alone, so that the same runs give the same interval.
    """
    value = np.asarray(statistic(*samples), float)
    if min(values.shape[-1] for sample in samples for values in sample) < MIN_RUNS:
        return Estimate(value)
    rng = np.random.default_rng(seed)
    drawn = [[_resampled(values, rng) for values in sample] for sample in samples]
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.percentile(statistic(*drawn), (tail, 100 - tail), axis=0)
    return Estimate(value, low, high)


def _resampled(values: Reals, rng: np.random.Generator) -> Reals:
    """[N, ..., R]: the runs of `values` [..., R], drawn anew N times."""
    n_runs = values.shape[-1]
    drawn = values[..., rng.integers(n_runs, size=(REPLICATIONS, n_runs))]  # [..., N, R]
    return np.moveaxis(drawn, -2, 0)
