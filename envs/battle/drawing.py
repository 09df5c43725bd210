"""Teams and starts that are drawn anew in every episode, as SMACv2's generators draw them.

Source: SMACv2's `WeightedTeamsDistribution` and `SurroundedAndReflectPositionDistribution`, with the numbers
of its fifteen scenarios. The draws come from a stream of their own: the battle's begins as on any map.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.fields import CREATED, PLANE, RADIUS, S_ROWS, T_ROWS, TYPE
from envs.battle.spots import GRID, find_spot
from envs.battle.world import Draw, Ints, Reals, Worlds
from envs.compiled import helper
from envs.smac.rng import Seeds, seed_stream, uniform
from envs.smac.smac_map import MAP_SIZE_CELLS

DRAW_STREAM: Final = np.uint64(0x5EED0F7EA4D0D4A3)
"""Tells the stream of the draws from that of the battle, whose seed and episode it has."""

REFLECT_SHARE: Final = 0.5
"""How many battles begin with the enemies in the agents' mirror image; the others surround the agents."""
NEAR_CELLS: Final = 2.0
"""How far from the centre, in x and in y, the enemies' groups come at the closest."""
BUFFER_CELLS: Final = 1.0
"""How far agents stand from the middle line, at least."""

_CENTRE: Final = MAP_SIZE_CELLS / 2
_X, _Y, _RADIUS = 0, 1, 2  # rows of the bodies that stand already


@helper
def draw_battle(
    worlds: Worlds, draw: Draw, b: int, f: Reals, rng: Seeds, seed: np.uint64, episode: np.uint64
) -> None:
    """Draw the teams and starts of battle b into `worlds`; f [F_ROWS, U] is room to work in."""
    seed_stream(rng, seed ^ DRAW_STREAM, episode)
    n, kinds, sites = worlds.n_agents, worlds.t[b, TYPE], worlds.sites[b, 0]
    _draw_teams(draw, n, kinds, rng)
    if uniform(rng) < REFLECT_SHARE:
        _reflect(n, sites, rng)
    else:
        _surround(n, sites, worlds.t[b, PLANE], rng)
    _settle(worlds, draw, b, f)


@helper
def _draw_kind(draw: Draw, rng: Seeds) -> int:
    """The place of a kind, drawn by its probability."""
    at = uniform(rng)
    for kind in range(len(draw.up_to) - 1):
        if at < draw.up_to[kind]:
            return kind
    return len(draw.up_to) - 1


@helper
def _draw_some(draw: Draw, kinds: Ints, first: int, last: int, rng: Seeds) -> None:
    """Draw kinds[first:last], again while all are of the kind that only supports others."""
    if first == last:
        return
    only_support = True
    while only_support:
        only_support = False
        others = 0
        for i in range(first, last):
            kinds[i] = _draw_kind(draw, rng)
            others += kinds[i] != draw.support
        only_support = others == 0


@helper
def _draw_teams(draw: Draw, n: int, kinds: Ints, rng: Seeds) -> None:
    """Draw the agents; the enemies are the same, in the same order, and further ones."""
    units = len(kinds)
    _draw_some(draw, kinds, 0, n, rng)
    same = min(n, units - n)
    for i in range(same):
        kinds[n + i] = kinds[i]
    _draw_some(draw, kinds, n + same, units, rng)


@helper
def _on_grid(cells: float) -> float:
    """A coordinate on the game's grid; float32 holds it, in which the game's API takes points."""
    return float(np.floor(cells * GRID) / GRID)


@helper
def _reflect(n: int, sites: Reals, rng: Seeds) -> None:
    """Points: agents anywhere on the left, enemies in their mirror image, further ones on the right."""
    for i in range(n):
        sites[i, 0] = _on_grid((_CENTRE - BUFFER_CELLS) * uniform(rng))
        sites[i, 1] = _on_grid(MAP_SIZE_CELLS * uniform(rng))
    for u in range(n, len(sites)):
        if u - n < n:
            sites[u, 0], sites[u, 1] = MAP_SIZE_CELLS - sites[u - n, 0], sites[u - n, 1]
        else:
            sites[u, 0] = _on_grid(_CENTRE + _CENTRE * uniform(rng))
            sites[u, 1] = _on_grid(MAP_SIZE_CELLS * uniform(rng))


@helper
def _surround(n: int, sites: Reals, group: Ints, rng: Seeds) -> None:
    """Points: agents in the centre, enemies in up to four groups, each on another diagonal from a corner.

    group [U] is room to work in.
    """
    for i in range(n):
        sites[i, 0] = sites[i, 1] = _CENTRE
    n_groups = 1 + int(4 * uniform(rng))
    for u in range(n, len(sites)):
        group[u] = int(n_groups * uniform(rng))
    taken = 0  # bit per diagonal
    u = n
    for g in range(n_groups):
        away = NEAR_CELLS + _on_grid((_CENTRE - NEAR_CELLS) * uniform(rng))
        skip = int((4 - g) * uniform(rng))
        diagonal = 0
        while taken >> diagonal & 1 or skip > 0:
            skip -= 1 - (taken >> diagonal & 1)
            diagonal += 1
        taken |= 1 << diagonal
        right, up = 2.0 * (diagonal >> 1) - 1.0, 2.0 * (diagonal & 1) - 1.0
        for other in range(n, len(sites)):
            if group[other] == g:
                sites[u, 0], sites[u, 1] = _CENTRE + away * right, _CENTRE + away * up
                u += 1


@helper
def _settle(worlds: Worlds, draw: Draw, b: int, f: Reals) -> None:
    """Place the units in the order in which they are created, sort the agents by type, fill their traits."""
    n, kinds, planes, sites = worlds.n_agents, worlds.t[b, TYPE], worlds.t[b, PLANE], worlds.sites[b, 0]
    units, created = len(kinds), worlds.t[b, CREATED]
    for u in range(units):
        created[u] = u
        side = 1 if u >= n else 0
        planes[u] = draw.t[side, kinds[u], PLANE]
        f[_RADIUS, u] = np.floor(draw.s[side, kinds[u], RADIUS] * GRID + 0.5)
        px, py, radius = int(sites[u, 0] * GRID), int(sites[u, 1] * GRID), int(f[_RADIUS, u])
        x, y = find_spot(worlds.terrain, draw.lattice, f, planes, u, planes[u], px, py, radius)
        f[_X, u], f[_Y, u] = x, y
        sites[u, 2], sites[u, 3] = (x - px) / GRID, (y - py) / GRID
    for i in range(1, n):
        j = i
        while j > 0 and kinds[j - 1] > kinds[j]:
            kinds[j - 1], kinds[j] = kinds[j], kinds[j - 1]
            created[j - 1], created[j] = created[j], created[j - 1]
            for part in range(sites.shape[1]):
                sites[j - 1, part], sites[j, part] = sites[j, part], sites[j - 1, part]
            j -= 1
    _fill(worlds, draw, b)


@helper
def _fill(worlds: Worlds, draw: Draw, b: int) -> None:
    """The traits of battle b's units, whose kinds stand in the row TYPE."""
    n, damage = worlds.n_agents, worlds.damage[b]
    s, t = worlds.s[b], worlds.t[b]
    units = t.shape[1]
    for u in range(units):
        for v in range(units):
            damage[u, v] = draw.damage[t[TYPE, u], t[TYPE, v]] if (u < n) != (v < n) else 0.0
    for u in range(units):
        side, kind = 1 if u >= n else 0, t[TYPE, u]
        for row in range(S_ROWS):
            s[row, u] = draw.s[side, kind, row]
        for row in range(T_ROWS):
            if row != CREATED:
                t[row, u] = draw.t[side, kind, row]
