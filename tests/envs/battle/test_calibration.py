"""The simulator's battles against the real game's: few here, random teams on all maps in a slow test.

The real numbers, their sources and the comparison: benchmarks/real_game.
"""

import math

import pytest

from benchmarks.real_game.comparison import real_numbers
from benchmarks.real_game.forced import forced_rows
from benchmarks.real_game.recording import EXCERPT, read_recording
from benchmarks.real_game.scripted import play_random, random_rows, summary

REAL = real_numbers("random")
MAPS = tuple(dict.fromkeys(entry.map for entry in REAL))
FEW_BATTLES = 800
ERRORS = 4.0
"""Combined standard errors (our mean's and a real one's) by which our mean may lie beyond the real ones."""
WELL_KNOWN = 0.05
"""Share of a real mean that its standard error is at most, where few battles are held against it."""


@pytest.mark.parametrize(
    ("map_name", "metrics"),
    [
        ("3m", ("return", "length_steps", "dead_allies")),
        ("corridor", ("return", "length_steps", "dead_enemies")),
    ],
)
def test_a_random_teams_few_battles_agree_with_the_real_games(map_name, metrics):
    played = summary(play_random(map_name, FEW_BATTLES, seed=1))
    for metric in metrics:
        ours = played[metric]
        of_metric = [entry for entry in REAL if (entry.map, entry.metric) == (map_name, metric)]
        real = [entry for entry in of_metric if 0 < entry.standard_error < WELL_KNOWN * entry.mean]
        allowed = [ERRORS * math.hypot(ours.error, entry.standard_error) for entry in real]
        low = min(entry.mean - most for entry, most in zip(real, allowed, strict=True))
        high = max(entry.mean + most for entry, most in zip(real, allowed, strict=True))
        assert low < ours.mean < high, (metric, ours, real)


def test_steps_of_recorded_battles_of_3m_do_the_damage_and_the_walks_that_were_recorded():
    """Damage within 2 %, walks within 3 %, step by step from where the recorded units stood."""
    rows = {row.metric: row for row in forced_rows(read_recording(EXCERPT), seed=0)}
    for metric in ("damage_to_enemies", "damage_to_agents", "agents_walk", "enemies_walk"):
        assert rows[metric].allowed <= 0.03 * rows[metric].real[0].mean
        assert not rows[metric].missed, rows[metric]


@pytest.mark.slow
@pytest.mark.parametrize("map_name", MAPS)
def test_random_teams_agree_with_the_real_games_on_all_maps(map_name):
    """Return within 5 %, length within 10 % (or two errors), dead enemies within 15 % of the real ones."""
    rows = {row.metric: row for row in random_rows(map_name, REAL, battles=2000, seed=0)}
    demanded = {metric for metric, row in rows.items() if not math.isnan(row.allowed)}
    assert {"return", "length_steps"} <= demanded
    assert not [row for row in rows.values() if row.missed]
