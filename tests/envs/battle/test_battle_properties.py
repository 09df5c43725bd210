"""What holds in every game loop of every battle, whatever is done: random play on all maps."""

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import AIR, CLEARANCE, PLANE, SEPARATION, STEP, Order
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.units import LOOPS_PER_STEP, UnitType

FAST_STEPS, SLOW_STEPS = 6_000, 1_000_000
"""Environment steps of one battle, over all maps together."""

OVERLAP_CELLS, OVERLAP_LOOPS = 0.4, 8
"""Small units touch at .6875 cells. A crowd may press two this deep into each other, but not for long."""

DIRECTIONS = np.array([(0, 0), (0, 0), (0, 2), (0, -2), (2, 0), (-2, 0)], float)


class Referee:
    """Looks at the battles of one environment after every game loop."""

    def __init__(self, env: BattleEnv, map_name: str) -> None:
        self.env, self.units, world, smac_map = env, env.units, env._worlds, load_map(map_name)
        self.plane, apart = world.t[0, PLANE], world.s[0, SEPARATION]
        collide = (self.plane[:, None] == self.plane) & (self.plane != AIR) & ~np.eye(len(apart), dtype=bool)
        self.least_apart = np.where(collide, apart[:, None] + apart - OVERLAP_CELLS, 0)
        self.overlapping = np.zeros((env.n_battles, *collide.shape), np.int64)
        colossus = self.units.types[0] == UnitType.COLOSSUS
        self.ground = np.where(colossus[:, None, None], smac_map.colossus_walkable, smac_map.walkable)
        self.clearance = np.where(self.plane == AIR, 0, world.s[0, CLEARANCE])
        self.most_moved = LOOPS_PER_STEP * (
            world.s[0, STEP] + 0.25
        )  # walks and pushes of an environment step
        self.begin(np.ones(env.n_battles, bool))

    def begin(self, mask):
        """The battles of `mask` have been reset."""
        self.was_alive = self.units.alive > 0
        self.overlapping[mask] = 0

    def is_clear(self):
        """[B, U] whether the square of a unit's clearance around it meets no wall; it may touch one."""
        x, y, r, unit = self.units.x, self.units.y, self.clearance, np.arange(len(self.plane))
        columns = np.floor(x - r).astype(int), np.ceil(x + r).astype(int) - 1
        rows = np.floor(y - r).astype(int), np.ceil(y + r).astype(int) - 1
        corners = [self.ground[unit, column, row] for column in columns for row in rows]
        return np.logical_and.reduce(corners) | (self.plane == AIR)

    def look(self, shown):
        """Check one game loop."""
        units, alive = self.units, self.units.alive > 0
        for array in (shown.obs, shown.state, shown.reward, self.env._battles.f):
            assert np.isfinite(array).all()
        assert not (alive & ~self.was_alive).any()  # no life after death
        assert ((units.health > 0) == alive).all()
        assert (units.health <= units.health_max).all()
        assert ((units.shield >= 0) & (units.shield <= units.shield_max)).all()
        cell_x, cell_y = units.x.astype(int), units.y.astype(int)
        assert (self.ground[np.arange(len(self.plane)), cell_x, cell_y] | (self.plane == AIR) | ~alive).all()
        assert (self.is_clear() | ~alive).all()
        apart = np.hypot(units.x[:, :, None] - units.x[:, None], units.y[:, :, None] - units.y[:, None])
        deep = (apart < self.least_apart) & alive[:, :, None] & alive[:, None]
        self.overlapping = np.where(deep, self.overlapping + 1, 0)
        assert self.overlapping.max() <= OVERLAP_LOOPS
        self.was_alive = alive


def orders_of(env, actions):
    """The orders that SMAC's actions [B, N] are, for playing them loop by loop."""
    units, n = env.units, env.spec.n_agents
    heals = units.types[0, :n] == UnitType.MEDIVAC
    aims = np.where(heals, Order.HEAL, Order.ATTACK_UNIT)
    order = np.where(actions <= 1, Order.STOP, np.where(actions < 6, Order.MOVE, aims))
    target = np.where(actions >= 6, actions - 6 + np.where(heals, 0, n), -1)
    point = np.stack([units.x[:, :n], units.y[:, :n]], -1) + DIRECTIONS[np.where(actions < 6, actions, 0)]
    return order, target, point


def play_randomly(map_name, steps, battles):
    """Random available actions for `steps` environment steps of one battle, every loop looked at."""
    env = BattleEnv(load_map(map_name), n_battles=battles, seed=11)
    rng = np.random.default_rng(5)
    shown = env.reset()
    referee = Referee(env, map_name)
    for _ in range(-(-steps // battles)):
        draw = rng.random(shown.avail_actions.shape) * shown.avail_actions
        order, target, point = orders_of(env, draw.argmax(-1))
        before_x, before_y = env.units.x.copy(), env.units.y.copy()
        for _ in range(LOOPS_PER_STEP):
            shown = env.step_orders(order, target, point, loops=1)
            referee.look(shown)
            order = np.full_like(order, Order.KEEP)
        moved = np.hypot(env.units.x - before_x, env.units.y - before_y)
        assert (moved <= referee.most_moved).all()
        if shown.done.any():
            ended = shown.done
            shown = env.reset(ended)
            referee.begin(ended)
    env.close()


@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_random_play_keeps_the_laws(map_name):
    play_randomly(map_name, FAST_STEPS // len(MAP_NAMES), battles=16)


@pytest.mark.slow
@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_a_million_random_steps_keep_the_laws(map_name):
    play_randomly(map_name, -(-SLOW_STEPS // len(MAP_NAMES)), battles=64)


@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_a_battle_that_is_not_won_returns_at_most_smacs_twenty(map_name):
    env = BattleEnv(load_map(map_name), n_battles=16, seed=11)
    rng = np.random.default_rng(5)
    shown, returned = env.reset(), np.zeros(16)
    for _ in range(60):
        shown = env.step((rng.random(shown.avail_actions.shape) * shown.avail_actions).argmax(-1))
        returned += shown.reward
        assert (returned[~shown.won] < 20.5).all()


@pytest.mark.parametrize("map_name", ["3m", "8m", "5m_vs_6m", "corridor", "2s3z"])
def test_a_random_team_loses_nearly_always(map_name):
    env = BattleEnv(load_map(map_name), n_battles=128, seed=2)
    rng = np.random.default_rng(3)
    shown = env.reset()
    while not shown.done.all():
        shown = env.step((rng.random(shown.avail_actions.shape) * shown.avail_actions).argmax(-1))
    assert shown.won.mean() <= 0.02


def test_a_team_that_stands_still_never_wins():
    for map_name in ("3m", "corridor"):
        env = BattleEnv(load_map(map_name), n_battles=16, seed=2)
        shown = env.reset()
        while not shown.done.all():
            shown = env.step(np.where(shown.avail_actions[:, :, 1], 1, 0))
        assert not shown.won.any()
