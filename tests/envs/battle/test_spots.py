"""The search for a free place, as a kernel, finds what `place_groups` finds."""

from __future__ import annotations

import numpy as np

from envs.battle.roster import make_draw, make_worlds, plane_of
from envs.battle.spots import GRID, find_spot
from envs.battle.terrain import Terrain
from envs.battle.world import Ints, Reals
from envs.compiled import kernel
from envs.smac.formation import place_groups
from envs.smac.maps import load_map
from envs.smac.smac_map import SpawnGroup
from envs.smac.units import UNITS, UnitType


@kernel
def spot(
    terrain: Terrain, lattice: Ints, bodies: Reals, planes: Ints, n: int, plane: int, point: Ints, at: Ints
) -> None:
    """Write the place of one more unit to at [2]."""
    x, y = find_spot(terrain, lattice, bodies, planes, n, plane, point[0], point[1], point[2])
    at[0], at[1] = x, y


def test_units_created_one_by_one_stand_where_a_formation_puts_them() -> None:
    smac_map = load_map("terran_20_vs_23")
    assert smac_map.draw is not None
    worlds, draw, rng = make_worlds(smac_map, 1), make_draw(smac_map.draw), np.random.default_rng(0)
    kinds, moved = [kind for kind in UnitType if kind != UnitType.SPINE_CRAWLER], 0
    for crowd in range(60):
        points = (
            rng.choice([16.0, 20.5, 2.0, 0.0, 31.0], (30, 2)) if crowd % 2 else rng.uniform(0, 32, (30, 2))
        )
        chosen = [kinds[i] for i in rng.integers(len(kinds), size=30)]
        groups = [SpawnGroup(kind, 1, *point) for kind, point in zip(chosen, points.tolist(), strict=True)]
        bodies, planes, at = np.zeros((3, 30)), np.zeros(30, np.int64), np.zeros(2, np.int64)
        for u, (group, placed) in enumerate(zip(groups, place_groups(smac_map, groups), strict=True)):
            radius = round(UNITS[group.unit].radius * GRID)
            point = np.array([round(group.x * GRID), round(group.y * GRID), radius])
            planes[u] = plane_of(group.unit)
            spot(worlds.terrain, draw.lattice, bodies, planes, u, planes[u], point, at)
            bodies[:, u] = *at, radius
            assert at.tolist() == [(placed.point_x + placed.dx) * GRID, (placed.point_y + placed.dy) * GRID]
            moved += bool(placed.dx or placed.dy)
    assert moved > 500
