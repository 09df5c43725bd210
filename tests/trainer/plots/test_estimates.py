"""Interquartile means, chances to be better, profiles and their intervals: by hand, and against rliable."""

from __future__ import annotations

import numpy as np
import pytest

from trainer.plots.estimates import Reals, Sample, estimate, improvement, interquartile_mean, profile

OURS = np.array(
    [
        [0.15625, 0.25, 0.15625, 0.84375],
        [0.5625, 0.34375, 0.375, 0.75],
        [0.375, 0.21875, 0.75, 0.375],
        [0.8125, 0.3125, 0.28125, 0.46875],
        [0.71875, 0.125, 0.3125, 0.71875],
    ]
)  # [runs, maps], rliable's form
THEIRS = np.array(
    [
        [0.15625, 0.28125, 0.1875, 0.25],
        [0.125, 0.40625, 0.40625, 0.3125],
        [0.40625, 0.71875, 0.09375, 0.6875],
        [0.59375, 0.46875, 0.6875, 0.59375],
    ]
)
THRESHOLDS = np.linspace(0, 1, 5)


def by_map(scores: Reals) -> Sample:
    return list(scores.T)


def test_by_hand() -> None:
    three = [np.array([0.0, 0.3, 0.9])]  # a quarter of three, rounded down, is none
    five = [np.array([0.9, 0.1, 0.4, 0.2, 0.0])]  # the best and the worst are left out
    two_maps = [
        np.array([0.0, 1.0, 1.0]),
        np.array([0.2, 0.4, 0.6, 0.8, 1.0]),
    ]  # runs of a sixth and of a tenth; a quarter at each end, so of .2 a sixtieth is left, of 1 eleven
    middle = 0.2 / 60 + (0.4 + 0.6 + 0.8) / 10 + 1.0 * 11 / 60
    for sample, expected in ((three, 0.4), (five, 0.7 / 3), (two_maps, 2 * middle)):
        assert interquartile_mean(sample) == pytest.approx(expected)
    ours, theirs = [np.array([0.5, 0.9])], [np.array([0.5, 0.1, 0.7])]
    assert improvement(ours, theirs) == pytest.approx((1 + 0.5 + 3) / 6)  # .5 beats .1, ties .5; .9 beats all
    assert improvement(theirs, ours) == pytest.approx(1 - (1 + 0.5 + 3) / 6)
    mixed = improvement([*ours, np.array([1.0])], [*theirs, np.array([0.0])])
    assert mixed == pytest.approx((4.5 / 6 + 1) / 2), "every map counts the same"
    shares = [(2 / 3 + 1) / 2, (2 / 3 + 3 / 5) / 2, 0]
    np.testing.assert_allclose(profile(two_maps, np.array([0.0, 0.4, 1.0])), shares)


def test_along_a_grid_every_point_is_what_it_is_alone() -> None:
    curves = [np.random.default_rng(1).random((6, 5)), np.random.default_rng(2).random((6, 3))]
    whole = estimate(interquartile_mean, curves)
    assert whole.low is not None
    assert whole.high is not None
    for point in range(6):
        alone = estimate(interquartile_mean, [values[point] for values in curves])
        assert whole.value[point] == alone.value
        assert (whole.low[point], whole.high[point]) == (alone.low, alone.high)
    assert (whole.low < whole.value).all()
    assert (whole.value < whole.high).all()


def test_two_runs_have_no_interval_and_equal_ones_an_empty_one() -> None:
    assert estimate(interquartile_mean, [np.array([0.1, 0.9])]).low is None
    assert estimate(interquartile_mean, [np.ones(5), np.array([0.1, 0.9])]).low is None
    same = estimate(interquartile_mean, [np.full(5, 0.25)])
    assert same.low == same.high == same.value == 0.25


def test_values_and_intervals_are_those_of_rliable() -> None:
    """Its numbers were written down: rliable 1.2.0 with arch 7.2.0, 50 000 replications (chances: 4 000)."""
    for scores, value, interval in (
        (OURS, 0.4125, (0.315625, 0.540625)),
        (THEIRS, 0.390625, (0.26953125, 0.53125)),
    ):
        found = estimate(interquartile_mean, by_map(scores))
        assert found.value == pytest.approx(value)
        assert (found.low, found.high) == pytest.approx(interval, abs=0.01)
    chance = estimate(improvement, by_map(OURS), by_map(THEIRS))
    assert chance.value == pytest.approx(0.54375)
    assert (chance.low, chance.high) == pytest.approx((0.3625, 0.7), abs=0.015)
    shares = estimate(lambda sample: profile(sample, THRESHOLDS), by_map(OURS))
    np.testing.assert_allclose(shares.value, [1, 0.75, 0.35, 0.1, 0])
    assert shares.low is not None
    assert shares.high is not None
    np.testing.assert_allclose(shares.low, [1, 0.6, 0.2, 0, 0], atol=0.02)
    np.testing.assert_allclose(shares.high, [1, 0.9, 0.5, 0.25, 0], atol=0.02)


def test_values_are_those_of_rliable_where_it_is_installed() -> None:
    metrics = pytest.importorskip("rliable.metrics")
    rng = np.random.default_rng(5)
    for _ in range(20):
        n_maps = int(rng.integers(1, 5))
        ours, theirs = (np.round(rng.random((int(rng.integers(1, 9)), n_maps)) * 8) / 8 for _ in range(2))
        assert interquartile_mean(by_map(ours)) == pytest.approx(metrics.aggregate_iqm(ours))
        chance = metrics.probability_of_improvement(ours, theirs)
        assert improvement(by_map(ours), by_map(theirs)) == pytest.approx(chance)
