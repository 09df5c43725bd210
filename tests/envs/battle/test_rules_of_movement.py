"""Walking, acquiring, colliding, walls: one test per rule."""

import numpy as np
import pytest
from small_battles import Battle

from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.smac_map import EnemyOrder
from envs.smac.units import UnitType
from trainer.rollout import random_actions

MARINE, MARAUDER, MEDIVAC, STALKER, ZEALOT, COLOSSUS, HYDRALISK, ZERGLING, BANELING, CRAWLER = UnitType


@pytest.mark.parametrize(
    ("unit", "cells"),
    [(MARINE, 1.125), (STALKER, 1.47655), (ZEALOT, 1.125), (ZERGLING, 1.47655), (BANELING, 1.25)],
)
def test_free_movement_per_step_is_half_a_normal_second_of_speed(unit: UnitType, cells: float) -> None:
    battle = Battle([(unit, 10, 16)], [(MARINE, 30, 30)])
    battle.loops(8, Order.MOVE, point=(20, 16))
    assert battle.position(0) == pytest.approx((10 + cells, 16), abs=1 / 4096)  # the grid of positions


def test_a_move_of_two_cells_is_not_completed_in_one_step_and_is_in_two() -> None:
    battle = Battle([(MARINE, 10, 16)], [(MARINE, 30, 30)])
    battle.loops(8, Order.MOVE, point=(12, 16))
    assert battle.position(0)[0] == pytest.approx(11.125)
    battle.loops(8)
    assert battle.position(0) == pytest.approx((12, 16))
    battle.loops(8)
    assert battle.position(0) == pytest.approx((12, 16))


def test_a_medivac_takes_time_to_reach_its_speed() -> None:
    battle = Battle([(MARINE, 2, 2), (MEDIVAC, 10, 16)], [(MARINE, 30, 30)])
    battle.loops(8, Order.MOVE, agent=battle.env.units.types.tolist().index(MEDIVAC), point=(25, 16))
    medivac = battle.env.units.types.tolist().index(MEDIVAC)
    # from rest with 2.3125 cells/s^2 for half a second: .289 cells
    assert battle.position(medivac)[0] - 10 == pytest.approx(0.289, abs=0.09)


def test_agents_never_act_without_orders() -> None:
    battle = Battle([(MARINE, 10, 16)], [(ZERGLING, 11, 16)])
    zergling = battle.life(1)
    battle.loops(24)
    assert battle.life(0) < 45
    assert battle.life(1) == zergling
    assert battle.position(0)[0] == pytest.approx(10, abs=0.3)  # pushed at most


def test_an_attack_order_walks_into_range_fires_until_death_and_then_idles() -> None:
    battle = Battle([(MARINE, 6, 16)], [(BANELING, 16, 16), (MARINE, 28, 16)], EnemyOrder("none"))
    battle.loops(1, Order.ATTACK_UNIT, target=1)
    battle.put(1, 16, 16)
    while battle.health(1) > 0:
        battle.loops(1)
    here = battle.position(0)
    battle.loops(40)
    assert battle.position(0) == pytest.approx(here)
    assert battle.life(2) == 45


def test_stop_ends_an_attack() -> None:
    battle = Battle([(MARINE, 10, 16)], [(ZEALOT, 14, 16)])
    battle.loops(10, Order.ATTACK_UNIT, target=1)
    assert battle.life(1) < 150
    battle.loops(2, Order.STOP)
    battle.put(0, 2, 2)
    battle.put(1, 30, 30)
    left = battle.life(1)
    battle.loops(40)
    assert battle.life(1) == pytest.approx(left)


def test_enemies_on_attack_move_walk_past_what_is_beyond_their_reach() -> None:
    order = EnemyOrder("attack_move", ((4.0, 16.0),))
    battle = Battle([(MARINE, 16, 26)], [(ZERGLING, 20, 16)], order)
    battle.loops(40)
    x, y = battle.position(1)
    assert x < 20 - 40 * 2.9531 / 16 + 0.5
    assert y == pytest.approx(16, abs=0.2)


@pytest.mark.parametrize(("gap", "acquired"), [(4.8, True), (5.4, False)])
def test_melee_enemies_acquire_within_five_cells_edge_to_edge(gap: float, acquired: bool) -> None:
    battle = Battle([(MARINE, 10, 16)], [(ZERGLING, 10 + gap + 0.75, 16)], EnemyOrder("none"))
    battle.loops(8)
    assert (battle.position(1)[0] < 10 + gap + 0.7) is acquired


def test_enemies_take_the_closest_that_can_fight() -> None:
    battle = Battle([(MARINE, 10, 12), (MARINE, 13, 16)], [(MARINE, 16, 16)])
    battle.loops(4)
    assert battle.env.units.target[0, 2] == 1


def test_an_enemy_out_of_reach_answers_who_shoots_at_it() -> None:
    """A marine at 7 cells is beyond a zergling's five; shot at, the zergling comes for it."""
    battle = Battle([(MARINE, 10, 16)], [(ZERGLING, 15.7, 16)])
    before = battle.position(1)[0]
    battle.loops(12, Order.ATTACK_UNIT, target=1)
    assert battle.life(1) < 35
    assert battle.position(1)[0] < before - 0.5


def test_ground_units_do_not_stand_in_each_other() -> None:
    marines = [(MARINE, 10 + 0.1 * i, 16) for i in range(4)]
    battle = Battle(marines, [(MARINE, 30, 30)])
    battle.loops(24)
    units = battle.env.units
    for i in range(4):
        for j in range(i):
            assert np.hypot(units.x[0, i] - units.x[0, j], units.y[0, i] - units.y[0, j]) > 0.75 - 0.05


def test_air_units_pass_over_ground_units() -> None:
    battle = Battle([(MARINE, 10, 16), (MEDIVAC, 10, 16)], [(MARINE, 30, 30)])
    battle.loops(16)
    assert battle.position(0) == battle.position(1)


def test_melee_units_surround_their_victim() -> None:
    """Eight zerglings from one side all get to bite: some of them walk around."""
    zerglings = [(ZERGLING, 16 + 0.8 * (i // 4), 14.8 + 0.8 * (i % 4)) for i in range(8)]
    battle = Battle([(COLOSSUS, 12, 16)], zerglings)
    seen = set()
    for _ in range(100):
        battle.loops(1)
        shot = battle.env.units.shot_at[0, 1:]
        seen |= set(np.flatnonzero(shot == 0).tolist())
    assert len(seen) >= 7
    assert (battle.env.units.x[0, 1:] < 12).any()


def test_enemies_find_their_way_through_corridors_choke() -> None:
    """Six agents out of the way in the far corner: the zerglings reach the lower room."""
    env = BattleEnv(load_map("corridor"), seed=3)
    env.reset()
    for i in range(6):
        env._battles.f[0, 0, i], env._battles.f[0, 1, i] = 27.5 - 0.8 * (i % 3), 17.5 - 0.8 * (i // 3)
    reached = False
    for _ in range(60):
        env.step_orders(np.zeros((1, 6), np.int64))
        reached |= bool((env.units.y[0, 6:] < 11).any())
    assert reached


def test_colossi_cross_cliffs_and_zerglings_do_not() -> None:
    env = BattleEnv(load_map("2c_vs_64zg"), seed=0)
    env.reset()
    smac_map = env.smac_map
    assert (smac_map.colossus_walkable & ~smac_map.walkable).any()
    on_cliff = False
    south = np.full((1, 2, 2), 8.0)
    for _ in range(12):
        env.step_orders(np.full((1, 2), int(Order.MOVE)), point=south)
        cells = np.stack((env.units.x[0], env.units.y[0])).astype(int)
        alive = env.units.alive[0] > 0
        on_cliff |= bool((~smac_map.walkable[cells[0, :2], cells[1, :2]] & alive[:2]).any())
        assert smac_map.walkable[cells[0, 2:], cells[1, 2:]][alive[2:]].all()
    assert on_cliff


@pytest.mark.parametrize("name", MAP_NAMES)
def test_random_battles_keep_the_laws(name: str) -> None:
    """Nobody leaves the ground, comes back to life, is not a number, or stays in another for long."""
    env = BattleEnv(load_map(name), n_battles=4, seed=11)
    rng = np.random.default_rng(5)
    step = env.reset()
    ground = env.smac_map.walkable | env.smac_map.colossus_walkable
    flies = env.units.types == UnitType.MEDIVAC
    dead = env.units.alive == 0
    for _ in range(60):
        step = env.step(random_actions(step.avail_actions, rng))
        units = env.units
        assert np.isfinite(step.obs).all()
        assert np.isfinite(step.state).all()
        assert not ((units.alive > 0) & dead).any()
        dead = units.alive == 0
        x, y = units.x.astype(int), units.y.astype(int)
        assert ((units.x >= 0) & (units.x <= 32) & (units.y >= 0) & (units.y <= 32)).all()
        on_ground = ground[np.clip(x, 0, 31), np.clip(y, 0, 31)]
        assert (on_ground | dead | flies).all()
        assert (units.health <= units.health_max + 1e-9).all()
        if step.done.any():
            fresh = step.done.copy()
            step = env.reset(fresh)
            dead[fresh] = False


@pytest.mark.parametrize(("name", "episodes"), [("3m", 128), ("8m", 64), ("5m_vs_6m", 64), ("corridor", 64)])
def test_a_random_team_nearly_always_loses(name: str, episodes: int) -> None:
    env = BattleEnv(load_map(name), n_battles=episodes, seed=21)
    rng = np.random.default_rng(6)
    step = env.reset()
    while not step.done.all():
        step = env.step(random_actions(step.avail_actions, rng))
    assert step.won.sum() <= 0.03 * episodes


def test_battles_do_not_depend_on_what_plays_beside_them_nor_on_threads() -> None:
    """Episode e of a seed is the same, bit by bit, one battle at a time, 16 at once, and in two threads."""
    smac_map = load_map("27m_vs_30m")

    def play(n_battles: int, threads: int) -> dict[int, np.ndarray]:
        env = BattleEnv(smac_map, n_battles=n_battles, seed=9, threads=threads)
        ends: dict[int, np.ndarray] = {}
        while len(ends) < 16:
            step = env.reset()
            for t in range(25):
                mask = np.array([np.random.default_rng([e, t]).random() for e in env.episodes.tolist()])
                highest = step.avail_actions.shape[2] - 1 - step.avail_actions[:, :, ::-1].argmax(2)
                actions = np.where(mask[:, None] < 0.5, highest, step.avail_actions.argmax(2))
                step = env.step(actions)
            for b, episode in enumerate(env.episodes.tolist()):
                ends[episode] = env._battles.f[b].copy()
        env.close()
        return ends

    one, many, threaded = play(1, 1), play(16, 1), play(16, 2)
    for episode in range(16):
        np.testing.assert_array_equal(one[episode], many[episode])
        np.testing.assert_array_equal(one[episode], threaded[episode])
