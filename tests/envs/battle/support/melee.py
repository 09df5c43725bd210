"""A melee of all unit types on both sides: a number that changes it is read by the simulator."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from envs.battle.env import BattleEnv
from envs.battle.fields import COOLDOWN, ENERGY, HEALTH, SHIELD, Order, X, Y
from envs.smac.smac_map import EnemyOrder, SmacMap, SpawnGroup
from envs.smac.units import UnitType

SHOWN_ROWS = [X, Y, HEALTH, SHIELD, ENERGY, COOLDOWN]
GROUND = np.zeros((32, 32), np.bool_)
GROUND[6:26, 6:26] = True  # a rectangle needs no tables of ways, which take long without numba
REACH_CELLS = (4.0, 7.0, 9.5)


def melee_map(each: int, reach: float, rng: np.random.Generator) -> SmacMap:
    """`each` units of every type on both sides, mixed, at most `reach` cells from the middle of a map."""
    allies, enemies = (
        tuple(SpawnGroup(kind, each, *rng.uniform(16 - reach, 16 + reach, 2)) for kind in UnitType)
        for _ in range(2)
    )
    return SmacMap(
        name="melee",
        episode_limit=1000,
        ally_race="T",
        enemy_race="T",
        map_type="MMM",
        unit_type_bits=0,
        ally_spawns=allies,
        enemy_spawns=enemies,
        enemy_order=EnemyOrder("attack_move", ((16.0, 16.0),)),
        walkable=GROUND,
        colossus_walkable=GROUND,
        cliff_level=np.ones((32, 32), np.float32),
    )


def play_crowd(units: int, steps: int) -> Iterator[bytes]:
    """Where every step leaves a crowd of zealots that all walk into one corner."""
    allies = tuple(
        SpawnGroup(UnitType.ZEALOT, 1, 10 + 1.5 * (u % 6), 10 + 1.5 * (u // 6)) for u in range(units)
    )
    enemies = (SpawnGroup(UnitType.MARINE, 1, 25.0, 25.0),)
    quiet = replace(melee_map(1, 1.0, np.random.default_rng(0)), enemy_order=EnemyOrder("none"))
    env = BattleEnv(replace(quiet, ally_spawns=allies, enemy_spawns=enemies))
    env.reset()
    for _ in range(steps):
        env.step_orders(np.full((1, units), Order.MOVE), point=np.full((1, units, 2), 6.4))
        yield env._battles.f[0, :, :units].tobytes()


def play_melee(each: int, steps: int, seed: int) -> Iterator[bytes]:
    """What every step of a melee shows, as bytes: random actions and random orders take turns.

    Some seeds begin in a crowd, others further apart.
    """
    rng = np.random.default_rng(seed)
    env = BattleEnv(melee_map(each, REACH_CELLS[seed % 3], rng), seed=seed)
    N, U = env.spec.n_agents, env.spec.n_agents + env.smac_map.n_enemies
    types = env.units.types[0]
    heals, explodes = types[:N] == UnitType.MEDIVAC, types[:N] == UnitType.BANELING
    structure = N + int((types[N:] == UnitType.SPINE_CRAWLER).argmax())
    shown = env.reset()
    f = env._battles.f[0]
    f[SHIELD] = np.minimum(f[SHIELD], rng.uniform(0, 12, U))
    f[ENERGY] *= rng.choice([0.05, 1.0, 3.99], U)  # spent, as at the start, nearly full
    for step in range(steps):
        if step % 2:
            chances = rng.random(shown.avail_actions.shape)
            shown = env.step(np.where(shown.avail_actions, chances, -1.0).argmax(axis=2))
        else:
            order = rng.choice([Order.KEEP, Order.MOVE, Order.ATTACK_UNIT, Order.ATTACK_MOVE], (1, N))
            target = rng.integers(N, U, (1, N))
            order[:, heals] = rng.choice([Order.HEAL, Order.ATTACK_MOVE], heals.sum())
            target[:, heals] = rng.integers(0, N, heals.sum())
            order[:, explodes] = rng.choice([Order.MOVE, Order.ATTACK_UNIT], explodes.sum())
            target[:, explodes] = structure
            shown = env.step_orders(order, target, rng.uniform(5, 27, (1, N, 2)))
        arrays = (f[SHOWN_ROWS], shown.obs, shown.state, shown.avail_actions, shown.reward)
        yield b"".join(array.tobytes() for array in arrays)
