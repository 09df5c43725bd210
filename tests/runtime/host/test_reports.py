from __future__ import annotations

import pytest

from envs.outcomes import wilson_interval


@pytest.mark.parametrize(
    ("won", "battles", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),
        (10, 10, 0.7225, 1.0),
        (5, 10, 0.2366, 0.7634),
        (32, 32, 0.8928, 1.0),
        (81, 263, 0.2553, 0.3662),  # Newcombe (1998), table I, method 3
        (15, 148, 0.0624, 0.1605),  # the same
        (0, 0, 0.0, 1.0),
    ],
)
def test_the_interval_is_wilsons(won: int, battles: int, low: float, high: float) -> None:
    assert wilson_interval(won, battles) == pytest.approx((low, high), abs=5e-5)
