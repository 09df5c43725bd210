"""SMAC's reward and outcomes, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.smac.maps import load_map
from envs.smac.reward import DRAWN, LOST, RUNNING, WON, battle_outcome, step_reward
from envs.smac.settings import SMAC_V2, SmacSettings
from envs.smac.tables import layout_tables
from envs.smac.units import UnitType

MAX_REWARDS = {
    "3m": 365,
    "8m": 640,
    "25m": 1575,
    "2s3z": 1020,
    "3s5z": 1510,
    "MMM": 1015,
    "5m_vs_6m": 530,
    "8m_vs_9m": 695,
    "10m_vs_11m": 805,
    "27m_vs_30m": 1850,
    "3s5z_vs_3s6z": 1670,
    "MMM2": 1205,
    "2m_vs_1z": 360,
    "2s_vs_1sc": 510,
    "3s_vs_3z": 680,
    "3s_vs_4z": 840,
    "3s_vs_5z": 1000,
    "6h_vs_8z": 1480,
    "bane_vs_bane": 1260,
    "2c_vs_64zg": 3080,
    "corridor": 1280,
    "so_many_baneling": 1480,
    "1c3s5z": 1870,
}


@pytest.mark.parametrize(("name", "max_reward"), MAX_REWARDS.items())
def test_the_scale_counts_deaths_the_win_and_all_that_enemies_have(name: str, max_reward: float) -> None:
    assert layout_tables(load_map(name)).max_reward == max_reward


def reward(
    name: str,
    before: list[float],
    now: list[float],
    shield_before: list[float] | None = None,
    shield_now: list[float] | None = None,
    outcome: int = LOST,
) -> float:
    """Unscaled reward of a step in which all agents die: that must not matter."""
    tables = layout_tables(load_map(name))
    n, none = tables.n_agents, [0.0] * len(before)

    def column(agents: float, enemies: list[float]) -> np.ndarray:
        return np.array([agents] * n + enemies)

    scaled = step_reward(
        tables,
        column(0, now),
        column(0, shield_now or none),
        column(45, before),
        column(0, shield_before or none),
        outcome,
    )
    return scaled * tables.max_reward / 20


def test_damage_to_enemies_is_rewarded_point_by_point() -> None:
    assert reward("3m", [45, 45, 45], [39, 45, 27]) == pytest.approx(6 + 18)
    assert reward("3m", [45, 45, 45], [45, 45, 45]) == 0


def test_a_death_counts_ten_and_all_that_was_left() -> None:
    assert reward("3m", [3, 45, 45], [0, 45, 45]) == pytest.approx(3 + 10)


def test_who_was_dead_before_counts_no_more() -> None:
    assert reward("3m", [0, 45, 45], [0, 40, 45]) == pytest.approx(5)


def test_a_dying_enemy_counts_its_shield_too() -> None:
    assert reward("3s_vs_3z", [8, 100, 100], [0, 100, 100], [5, 50, 50], [0, 50, 30]) == pytest.approx(
        8 + 5 + 10 + 20
    )


def test_regeneration_is_taken_off_and_rewarded_when_it_outweighs_damage() -> None:
    assert reward("3s_vs_3z", [90] * 3, [80, 90, 90], [40] * 3, [40, 42, 42]) == pytest.approx(10 - 4)
    assert reward("3s_vs_3z", [90] * 3, [90] * 3, [40] * 3, [41, 41, 41]) == pytest.approx(3)  # abs(-3)


def test_a_win_adds_two_hundred_after_the_sign_is_dropped() -> None:
    assert reward("3m", [0, 0, 6], [0, 0, 0], outcome=WON) == pytest.approx(6 + 10 + 200)


def test_a_won_battle_without_regeneration_returns_twenty() -> None:
    tables = layout_tables(load_map("3m"))
    before = np.array([45.0] * 6)
    after = np.array([45.0] * 3 + [0.0] * 3)
    assert step_reward(tables, after, after * 0, before, before * 0, WON) == pytest.approx(20)


def outcome(name: str, agents: list[float], enemies: list[float]) -> int:
    smac_map = load_map(name)
    types = np.array(smac_map.ally_types + smac_map.enemy_types, np.int64)
    return battle_outcome(layout_tables(smac_map), types, np.array(agents + enemies))


def test_battles_end_when_a_side_is_dead() -> None:
    assert outcome("3m", [1, 0, 0], [0, 0, 1]) == RUNNING
    assert outcome("3m", [1, 0, 0], [0, 0, 0]) == WON
    assert outcome("3m", [0, 0, 0], [1, 0, 0]) == LOST
    assert outcome("3m", [0, 0, 0], [0, 0, 0]) == DRAWN


def test_a_side_with_only_medivacs_left_has_lost() -> None:
    nobody, medivac, marauder = [0.0] * 10, [0.0] * 9 + [150.0], [125.0] + [0.0] * 9
    assert load_map("MMM").ally_types[9] is UnitType.MEDIVAC
    assert load_map("MMM").enemy_types[9] is UnitType.MEDIVAC
    assert outcome("MMM", medivac, marauder) == LOST
    assert outcome("MMM", marauder, medivac) == WON
    assert outcome("MMM", marauder, [0.0] * 8 + [125.0, 150.0]) == RUNNING
    assert outcome("MMM", medivac, medivac) == LOST
    assert outcome("MMM", nobody, nobody) == LOST  # SMAC looks at the agents first
    assert outcome("MMM", medivac, nobody) == LOST
    assert outcome("MMM", marauder, nobody) == WON


def reward_with(settings: SmacSettings, allies: list[float], enemies: list[float], end: int) -> float:
    """The reward on 3m when all marines had 45 and now have that."""
    smac_map = replace(load_map("3m"), settings=settings)
    now, before, none = np.array(allies + enemies), np.full(6, 45.0), np.zeros(6)
    return step_reward(layout_tables(smac_map), now, none, before, none, end)


def test_sparse_rewards_are_one_for_a_win_and_minus_one_for_a_loss() -> None:
    sparse = SmacSettings(reward_sparse=True, reward_scale=False)
    assert [reward_with(sparse, [45] * 3, [0, 9, 9], end) for end in (RUNNING, WON, LOST, DRAWN)] == [
        0,
        1,
        -1,
        0,
    ]
    scaled = SmacSettings(reward_sparse=True)
    assert reward_with(scaled, [45] * 3, [0] * 3, WON) == pytest.approx(20 / 365)


def test_losses_count_when_rewards_may_be_negative() -> None:
    both = SmacSettings(reward_only_positive=False, reward_scale=False)
    # enemies lose 45 and 5, one dies; agents lose 45 and 15, one dies; those count half
    assert reward_with(both, [0, 45, 30], [0, 40, 45], RUNNING) == 50 + 10 - 0.5 * (60 + 10)
    quarter = SmacSettings(reward_only_positive=False, reward_scale=False, reward_negative_scale=0.25)
    assert reward_with(quarter, [0, 45, 30], [45] * 3, RUNNING) == -0.25 * (60 + 10)


def test_deaths_wins_and_defeats_are_worth_what_the_settings_say() -> None:
    settings = SmacSettings(reward_death_value=7, reward_win=90, reward_defeat=-50, reward_scale=False)
    assert reward_with(settings, [45] * 3, [0] * 3, WON) == 3 * 45 + 3 * 7 + 90
    assert reward_with(settings, [0] * 3, [40, 45, 45], LOST) == 5 - 50
    scaled = replace(settings, reward_scale=True, reward_scale_rate=5)
    assert reward_with(scaled, [45] * 3, [0] * 3, WON) == pytest.approx(5)  # everything there is


def test_regeneration_pays_nothing_in_smacv2() -> None:
    assert reward_with(replace(SMAC_V2, reward_scale=False), [45] * 3, [48, 45, 45], RUNNING) == 0
    assert reward_with(SmacSettings(reward_scale=False), [45] * 3, [48, 45, 45], RUNNING) == 3


def test_in_smacv2_a_side_with_several_medivacs_alone_has_lost_too() -> None:
    enemies = [0.0] * 8 + [150.0] * 2
    smac_map = replace(load_map("MMM"), map_type="terran_gen")
    types = np.array([*smac_map.ally_types, *smac_map.enemy_types], np.int64)
    types[-2:] = UnitType.MEDIVAC
    health = np.array([45.0] * 10 + enemies)
    assert battle_outcome(layout_tables(smac_map), types, health) == WON
    assert battle_outcome(layout_tables(load_map("MMM")), types, health) == RUNNING
