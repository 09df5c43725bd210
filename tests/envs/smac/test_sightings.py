"""Which enemies agents come to know of in SMACv2, by hand and against the package's rule told slowly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.conformance import random_actions
from envs.smac.maps import load_map
from envs.smac.memory import FIRST_SHOWN, ORDER, Memory, make_memory
from envs.smac.settings import SMAC_V2
from envs.smac.sightings import begin_memory, look
from envs.smac.tables import layout_tables

V2 = replace(load_map("3m"), map_type="terran_gen", unit_type_bits=3, settings=SMAC_V2)
FAR = 31.0


def memory_with(probability: float, seed: int = 0) -> tuple[Memory, object]:
    smac_map = replace(V2, settings=replace(SMAC_V2, prob_obs_enemy=probability))
    memory = Memory(*(array[0] for array in make_memory(smac_map, 1)))
    begin_memory(memory, np.uint64(seed), np.uint64(0))
    return memory, layout_tables(smac_map)


class SlowRule:
    """SMACv2's bookkeeping: `enemy_tags` and `obs_enemies` [E, N], cleared rows, for probability 0 or 1."""

    def __init__(self, everybody: bool) -> None:
        self.everybody = everybody
        self.tags: list[int | None] = [None] * 3
        self.obs_enemies = np.zeros((3, 3), bool)
        self.places = np.zeros((3, 2))

    def step(self, health: np.ndarray) -> None:
        for a in range(3):
            for e in range(3):
                if health[a] == 0 and self.tags[e] == a:
                    self.tags[e] = None
                    self.obs_enemies[e] = False
        for e in range(3):
            if health[3 + e] == 0:
                self.tags[e] = None
                self.obs_enemies[e] = False

    def shown(self, order: list[int], x: np.ndarray, y: np.ndarray, health: np.ndarray) -> np.ndarray:
        """[N, E] whether the rows of enemies are shown, agents looking in that order."""
        rows = np.zeros((3, 3), bool)
        for e in range(3):
            if health[3 + e] > 0:
                self.places[e] = x[3 + e], y[3 + e]
        for a in order:
            if health[a] == 0:
                continue
            for e in range(3):
                visible = np.hypot(*(self.places[e] - (x[a], y[a]))) < 9
                if visible and self.tags[e] is None:
                    self.tags[e] = a
                    self.obs_enemies[e, a] = True
                    if self.everybody:
                        self.obs_enemies[e] = True
                rows[a, e] = visible and self.obs_enemies[e, a] and health[3 + e] > 0
                if not self.obs_enemies[e, a]:
                    rows[a] = False
        return rows


@pytest.mark.parametrize("probability", [0.0, 1.0])
def test_agents_know_what_smacv2_lets_them_know(probability: float) -> None:
    rng = np.random.default_rng(3)
    types = np.zeros(6, np.int64)
    hidden = 0
    for battle in range(20):
        memory, tables = memory_with(probability, seed=battle)
        slow, health = SlowRule(probability == 1.0), np.full(6, 45.0)
        for _ in range(25):
            x, y = rng.uniform(4, 28, (2, 6))
            look(tables, memory, types, x, y, health)
            slow.step(health)
            expected = slow.shown(memory.agents[ORDER].tolist(), x, y, health)
            sees = np.hypot(x[None, 3:] - x[:3, None], y[None, 3:] - y[:3, None]) < 9
            alive = (health[:3, None] > 0) & (health[None, 3:] > 0)
            shown = sees & alive & (np.arange(3)[None] >= memory.agents[FIRST_SHOWN][:, None])
            np.testing.assert_array_equal(shown, expected)
            hidden += int((sees & alive & ~shown).sum())
            if rng.random() < 0.15:
                health[rng.integers(6)] = 0.0
    assert hidden > 20


def test_with_probability_zero_only_the_finder_is_shown_an_enemy() -> None:
    memory, tables = memory_with(0.0)
    x = np.array([10.0, 10.0, 10.0, 12.0, FAR, FAR])
    y = np.array([10.0, 11.0, 12.0, 11.0, FAR, FAR])
    look(tables, memory, np.zeros(6, np.int64), x, y, np.full(6, 45.0))
    first = int(memory.agents[ORDER, 0])
    known = [bool(memory.enemies[1, 0] >> i & 1) for i in range(3)]
    assert known == [i == first for i in range(3)]
    assert (memory.agents[FIRST_SHOWN] == 3).all()  # the last enemy is unknown: SMACv2 clears all before it


def test_every_order_of_looking_comes_equally_often() -> None:
    memory, tables = memory_with(1.0, seed=8)
    counts: dict[tuple[int, ...], int] = {}
    x = np.full(6, 16.0)
    for _ in range(6000):
        look(tables, memory, np.zeros(6, np.int64), x, x, np.full(6, 45.0))
        order = tuple(memory.agents[ORDER].tolist())
        counts[order] = counts.get(order, 0) + 1
    assert len(counts) == 6
    assert all(abs(count - 1000) < 4 * np.sqrt(6000 / 6 * 5 / 6) for count in counts.values())


def test_half_of_the_others_learn_of_an_enemy_with_probability_one_half() -> None:
    known = 0
    for seed in range(2000):
        memory, tables = memory_with(0.5, seed)
        x = np.array([16.0, 16.0, 16.0, 17.0, FAR, FAR])
        look(tables, memory, np.zeros(6, np.int64), x, x, np.full(6, 45.0))
        known += int(memory.enemies[1, 0]).bit_count() - 1
    assert abs(known - 2000) < 4 * np.sqrt(4000 / 4)


def test_a_battle_is_the_same_whatever_is_played_beside_it_and_reset() -> None:
    """Looking draws from the battle's own stream, and what is shown again is not looked at again."""
    smac_map = replace(V2, settings=replace(SMAC_V2, prob_obs_enemy=0.5))
    with BattleEnv(smac_map, n_battles=1, seed=6) as one, BattleEnv(smac_map, n_battles=3, seed=6) as three:
        rng, step, steps = np.random.default_rng(6), one.reset(), three.reset()
        for t in range(15):
            np.testing.assert_array_equal(steps.obs[0], step.obs[0])
            actions = random_actions(steps, rng)
            step, steps = one.step(actions[:1]), three.step(actions)
            if t % 3 == 2:
                steps = three.reset(np.array([False, True, True]))
