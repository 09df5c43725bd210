"""Many drawn teams and starts of a SMACv2 scenario, and how often something happens in them."""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
import numpy.typing as npt

from envs.battle.env import BattleEnv
from envs.smac.maps import load_map
from envs.types import BoolArray, IntArray

AT_ONCE = 500
CENTRE = 16.0

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Draws:
    """D draws: types [D, U] and points [D, U, 2], agents first."""

    n_agents: int
    types: IntArray
    points: Reals

    @property
    def reflects(self) -> BoolArray:
        """[D] whether the enemies are the agents' mirror image."""
        return np.asarray((self.points[:, : self.n_agents] != CENTRE).any(axis=(1, 2)))


def our_draws(name: str, count: int, seed: int) -> Draws:
    """The first `count` episodes of a seed."""
    types, points = [], []
    with BattleEnv(load_map(name), n_battles=AT_ONCE, seed=seed) as env:
        for _ in range(count // AT_ONCE):
            env.reset()
            types.append(env.units.types.copy())
            points.append(env._worlds.sites[:, 0, :, :2].copy())
        return Draws(env.spec.n_agents, np.concatenate(types), np.concatenate(points))


def shares(draws: Draws) -> dict[str, BoolArray]:
    """What may or may not be so, in every draw that could show it: a name for each, and [n] outcomes."""
    n, types, points = draws.n_agents, draws.types, draws.points
    reflects = draws.reflects
    found: dict[str, BoolArray] = {"reflects": reflects}
    for side, columns in (("agents", types[:, :n]), ("enemies", types[:, n:]), ("extra", types[:, 2 * n :])):
        for kind in np.unique(types):
            counts = (columns == kind).sum(axis=1)
            for count in range(columns.shape[1] + 1):
                found[f"{side}: {count} of type {kind}"] = counts == count
    agents, extra = points[reflects, :n], points[reflects, 2 * n :]
    for name, places in (("agent", agents), ("extra enemy", extra)):
        for axis in (0, 1):
            for cell in range(32):
                hits = places[..., axis].astype(int) == cell
                found[f"{name} {'xy'[axis]} in {cell}"] = hits.ravel()
    enemies = points[~reflects, n:] - CENTRE
    groups = np.array([len(np.unique(each, axis=0)) for each in enemies])
    for number in range(1, 5):
        found[f"{number} groups"] = groups == number
    first = enemies[:, 0]
    for number, (right, up) in enumerate(((0, 0), (0, 1), (1, 0), (1, 1))):
        found[f"diagonal {number}"] = ((first[:, 0] > 0) == right) & ((first[:, 1] > 0) == up)
    for away in range(2, 16):
        found[f"{away} off the centre"] = abs(first[:, 0]).astype(int) == away
    sizes = (enemies == first[:, None]).all(axis=2).sum(axis=1)
    for size in range(1, enemies.shape[1] + 1):
        found[f"first group of {size}"] = sizes == size
    return found


def probability_of_groups(number: int, n_enemies: int) -> float:
    """How likely `number` of one to four equally likely groups get enemies."""
    onto = sum((-1) ** k * comb(number, k) * (number - k) ** n_enemies for k in range(number + 1))
    return sum(comb(drawn, number) * onto / drawn**n_enemies for drawn in range(1, 5)) / 4


def probabilities_of_counts(size: int, weight: float, is_support: bool, support: float) -> Reals:
    """[size + 1]: how likely a team of `size` has 0, 1, ... of a kind of that weight.

    support: the weight of the kind of which no team consists alone, 0 where there is none.
    """
    found = np.array([comb(size, k) * weight**k * (1 - weight) ** (size - k) for k in range(size + 1)])
    drawn_again = support**size
    found[size if is_support else 0] -= drawn_again
    return found / (1 - drawn_again)
