"""Environments that are no SMAC maps, by the first word of their names."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from envs.errors import InputError

if TYPE_CHECKING:
    from envs.types import MultiAgentEnv


def is_smac_map(name: str) -> bool:
    """Whether a name stands for a SMAC map, known or not: its first word is not in `PLAIN`."""
    return name.partition(":")[0] not in PLAIN


def make_plain(name: str, *, n_battles: int, seed: int) -> MultiAgentEnv | None:
    """An environment that is no SMAC map, None when the name stands for one; InputError for a wrong name."""
    if is_smac_map(name):
        return None
    env = PLAIN[name.partition(":")[0]](name, n_battles, seed)
    if env is None:
        raise InputError(
            f"unknown environment {name!r}: write checkers, spread:N with N from 1 to 100 (e.g. spread:3), "
            "or pettingzoo:MODULE (e.g. pettingzoo:mpe2.simple_spread_v3)"
        )
    return env


def checkers(name: str, n_battles: int, seed: int) -> MultiAgentEnv | None:
    """`checkers`; nothing in it is random."""
    from envs.checkers import CheckersEnv

    return CheckersEnv(n_battles=n_battles) if name == "checkers" else None


def spread(name: str, n_battles: int, seed: int) -> MultiAgentEnv | None:
    """`spread:N`: simple spread with N agents."""
    from envs.spread import SpreadEnv, SpreadSettings

    n_agents = name.removeprefix("spread:")
    if not (n_agents.isdecimal() and len(n_agents) <= 3 and 1 <= int(n_agents) <= 100):
        return None
    return SpreadEnv(SpreadSettings(n_agents=int(n_agents)), n_battles=n_battles, seed=seed)


def pettingzoo(name: str, n_battles: int, seed: int) -> MultiAgentEnv | None:
    """The PettingZoo environment that `pettingzoo:MODULE` names."""
    from envs.pettingzoo import PettingZooEnv

    return PettingZooEnv(name, n_battles=n_battles, seed=seed) if name.partition(":")[2] else None


PLAIN: dict[str, Callable[[str, int, int], MultiAgentEnv | None]] = {
    "checkers": checkers,
    "spread": spread,
    "pettingzoo": pettingzoo,
}
"""Makers of environments that are no SMAC maps, by the first word of the name, which ends at a colon.

Called with the name, B and the seed. They return None when no environment has that name.
"""

NO_MAPS = ("checkers", "spread:3")
"""Names that stand for `PLAIN` where the nearest names are told."""
