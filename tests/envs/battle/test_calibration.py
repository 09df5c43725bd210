"""The heuristic team against what it did in the real game (SMAC paper, results table)."""

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.heuristic import REAL_WIN_RATES, HeuristicTeam, heuristic_win_rate
from envs.smac.maps import load_map


@pytest.mark.slow
def test_the_heuristic_teams_win_rates_agree_with_the_real_games():
    ours = {name: 100 * heuristic_win_rate(name, battles=256, seed=0) for name in REAL_WIN_RATES}
    errors = {name: abs(ours[name] - real) for name, real in REAL_WIN_RATES.items()}
    assert np.mean(list(errors.values())) <= 6, errors
    assert max(errors.values()) <= 25, errors


@pytest.mark.parametrize(
    ("map_name", "low", "high"), [("2s3z", 0.75, 1), ("3s_vs_5z", 0, 0), ("corridor", 0, 0.2)]
)
def test_the_heuristic_team_does_as_in_the_real_game(map_name, low, high):
    assert low <= heuristic_win_rate(map_name, battles=64, seed=1) <= high


def test_the_heuristic_takes_the_closest_enemy_and_keeps_it_until_it_is_dead():
    env = BattleEnv(load_map("3m"), n_battles=4, seed=0)
    team = HeuristicTeam(env)
    env.reset()
    chosen = None
    for _ in range(60):
        distance = np.hypot(
            env.units.x[:, :3, None] - env.units.x[:, None, 3:],
            env.units.y[:, :3, None] - env.units.y[:, None, 3:],
        )
        alive = env.units.alive.copy()
        team.step()
        target = team.targets - 3
        if chosen is None:
            assert (target == distance.argmin(-1)).all()
        else:
            kept = np.take_along_axis(alive[:, 3:], chosen, 1) > 0
            assert (target == chosen)[kept].all()
        chosen = target.copy()
        if (chosen < 0).any():
            break
