"""What holds in every battle, whatever is done: random play on all maps."""

import os

import numpy as np
import pytest

from envs.battle.env import BattleEnv
from envs.battle.fields import AIR, PLANE, SEPARATION, STEP
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.units import UnitType

STEPS = int(os.environ.get("LAN_PROPERTY_STEPS", "6000"))
"""Steps of one battle over all maps; a million takes a few minutes."""

OVERLAP_CELLS = {"2c_vs_64zg": 0.4}  # 64 zerglings crowd below a cliff that they cannot climb
OVERLAP_CELLS_ELSE = 0.3
OVERLAP_STEPS = 2
"""Small units touch at .75 cells. Deeper than this they may be pressed for a few loops, not for steps."""


@pytest.mark.parametrize("map_name", MAP_NAMES)
def test_random_play_keeps_the_laws(map_name):
    battles, smac_map = 16, load_map(map_name)
    env = BattleEnv(smac_map, n_battles=battles, seed=11)
    rng = np.random.default_rng(5)
    shown = env.reset()
    units, world = env.units, env._world
    plane, apart = world.t[PLANE], world.s[SEPARATION]
    collide = (plane[:, None] == plane[None, :]) & (plane != AIR) & ~np.eye(len(plane), dtype=bool)
    reach = (apart[:, None] + apart[None, :]) * collide
    grids = np.where(
        (units.types == UnitType.COLOSSUS)[:, None, None], smac_map.colossus_walkable, smac_map.walkable
    )
    columns = np.arange(len(plane))
    allowed = OVERLAP_CELLS.get(map_name, OVERLAP_CELLS_ELSE)
    overlapping = np.zeros((battles, len(plane), len(plane)), np.int64)
    was_alive = units.alive.copy()
    returned = np.zeros(battles)
    for _ in range(STEPS // (battles * len(MAP_NAMES)) + 1):
        before_x, before_y = units.x.copy(), units.y.copy()
        draw = rng.random(shown.avail_actions.shape) * shown.avail_actions
        shown = env.step(draw.argmax(-1))
        alive = units.alive.astype(bool)
        for array in (shown.obs, shown.state, shown.reward, env._battles.f):
            assert np.isfinite(array).all()
        assert not (alive & (was_alive == 0)).any()  # no life after death
        assert ((units.health > 0) == alive).all()
        assert (units.health <= units.health_max).all()
        assert (units.shield <= units.shield_max).all()
        assert (units.shield >= 0).all()
        x, y = units.x.astype(int), units.y.astype(int)
        assert (grids[columns, x, y] | (plane == AIR) | ~alive).all()
        moved = np.hypot(units.x - before_x, units.y - before_y)
        assert (moved <= 8 * (world.s[STEP] + 0.25) + 1e-9).all()
        distance = np.hypot(units.x[:, :, None] - units.x[:, None], units.y[:, :, None] - units.y[:, None])
        deep = (distance < reach - allowed) & alive[:, :, None] & alive[:, None]
        overlapping = np.where(deep, overlapping + 1, 0)
        assert overlapping.max() <= OVERLAP_STEPS
        returned += shown.reward
        was_alive = units.alive.copy()
        if shown.done.any():
            assert (returned[shown.done & ~shown.won] < 20.5).all()
            returned[shown.done] = 0
            overlapping[shown.done] = 0
            shown = env.reset(shown.done)
            was_alive = units.alive.copy()


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
