"""The simulator passes the checks that every environment passes, on every map."""

from __future__ import annotations

import pytest

from envs.conformance import check_env
from envs.make import make_env
from envs.smac.maps import MAP_NAMES


@pytest.mark.parametrize("name", MAP_NAMES)
def test_every_map_passes_the_conformance_checks(name: str) -> None:
    report = check_env(make_env(name, "sim", n_battles=3, seed=3), episodes=3, seed=1)
    assert report.episodes >= 3


def test_one_battle_at_a_time_passes_too() -> None:
    assert check_env(make_env("3m", "sim", n_battles=1, seed=3), episodes=4, seed=1).env_steps > 20
