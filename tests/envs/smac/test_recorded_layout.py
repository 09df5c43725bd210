"""The layout code against rows that SMAC recorded on the real game (benchmarks/real_game/recording.py)."""

import pytest

from benchmarks.real_game.layout import TOLERANCE, layout_errors
from benchmarks.real_game.recording import read_recording


@pytest.fixture(scope="module")
def errors():
    return layout_errors(read_recording())


def test_the_available_actions_of_every_recorded_row_are_the_real_games(errors):
    assert errors.rows > 1000
    assert errors.unequal_availability == 0


def test_the_state_and_observations_of_every_recorded_row_are_the_real_games(errors):
    assert errors.state < TOLERANCE
    assert errors.obs < TOLERANCE
