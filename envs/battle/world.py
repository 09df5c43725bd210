"""The arrays that kernels read and write, in groups."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from envs.battle.terrain import Terrain
from envs.compiled import helper
from envs.smac.rng import Seeds

Reals = npt.NDArray[np.float64]
Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


class World(NamedTuple):
    """The constants of one battle: its units, by column (fields.py), and its ground.

    s [S_ROWS, U] and t [T_ROWS, U]: what a unit is; damage [U, U] of one hit of row on column before armor, 0
    where it cannot attack it; sites [V, U, 4]: spawn point and offset from it, in V formations of which a
    battle draws one; enemy_order: the one order that the enemies get (ATTACK_UNIT: whenever they have none),
    enemy_points [2, 2]: the ends of the line on which its point lies.
    """

    n_agents: int
    episode_limit: int
    s: Reals
    t: Ints
    damage: Reals
    sites: Reals
    enemy_order: int
    enemy_points: Reals
    terrain: Terrain


class Worlds(NamedTuple):
    """The constants of B battles: the fields of `World`, units by battle.

    s [W, S_ROWS, U], t [W, T_ROWS, U], damage [W, U, U], sites [W, V, U, 4]: W is B where each battle draws
    its units, and 1 where all have the map's.
    """

    n_agents: int
    episode_limit: int
    s: Reals
    t: Ints
    damage: Reals
    sites: Reals
    enemy_order: int
    enemy_points: Reals
    terrain: Terrain


class Draw(NamedTuple):
    """From what teams and starts are drawn.

    kinds [K] of `UnitType`, in the order of agent ids; up_to [K]: their cumulative probabilities; support:
    the place of the kind that makes no team alone, -1 none; s [2, K, S_ROWS], t [2, K, T_ROWS], damage
    [K, K]: as in `World`, by side and kind; lattice [M, 2]: sites around a point, by distance, in radii.
    """

    kinds: Ints
    up_to: Reals
    support: int
    s: Reals
    t: Ints
    damage: Reals
    lattice: Ints


@helper
def world_of(worlds: Worlds, b: int) -> World:
    """The constants of battle b."""
    v = b if len(worlds.s) > 1 else 0
    return World(
        worlds.n_agents,
        worlds.episode_limit,
        worlds.s[v],
        worlds.t[v],
        worlds.damage[v],
        worlds.sites[v],
        worlds.enemy_order,
        worlds.enemy_points,
        worlds.terrain,
    )


class Battles(NamedTuple):
    """B battles: units f [B, F_ROWS, U], k [B, K_ROWS, U] (fields.py), random streams, clocks, ends [B].

    episode: number of the episode, -1 none yet; loops: game loops played in it.
    """

    f: Reals
    k: Ints
    rng: Seeds
    episode: Ints
    loops: Ints
    terminated: Bools
    truncated: Bools
    won: Bools


class Orders(NamedTuple):
    """Orders to agents: order [B, N] (fields.Order), target [B, N] unit or -1, point [B, N, 2] in cells."""

    order: Ints
    target: Ints
    point: Reals


class Views(NamedTuple):
    """The output of battles: obs [B, N, O], state [B, S], avail [B, N, A], reward [B]."""

    obs: Floats
    state: Floats
    avail: Bools
    reward: Floats


def make_battles(n_battles: int, f_rows: int, k_rows: int, n_units: int) -> Battles:
    """Battles that have not begun: they count as ended."""
    return Battles(
        f=np.zeros((n_battles, f_rows, n_units)),
        k=np.zeros((n_battles, k_rows, n_units), np.int64),
        rng=np.zeros(n_battles, np.uint64),
        episode=np.full(n_battles, -1, np.int64),
        loops=np.zeros(n_battles, np.int64),
        terminated=np.ones(n_battles, np.bool_),
        truncated=np.zeros(n_battles, np.bool_),
        won=np.zeros(n_battles, np.bool_),
    )
