"""SMACv2's class `StarCraftCapabilityEnvWrapper` on the simulator, for the published scenarios."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Self

import numpy as np

from envs.errors import InputError
from envs.interfaces.starcraft2 import StarCraft2Env
from envs.types import FloatArray

WEIGHTS: Final[dict[str, dict[str, float]]] = {
    "10gen_protoss": {"stalker": 0.45, "zealot": 0.45, "colossus": 0.1},
    "10gen_terran": {"marine": 0.45, "marauder": 0.45, "medivac": 0.1},
    "10gen_zerg": {"zergling": 0.45, "hydralisk": 0.45, "baneling": 0.1},
}
"""The maps of SMACv2's configurations, and how often a unit is of a type."""

NEVER_ALONE: Final = {"10gen_protoss": [], "10gen_terran": ["medivac"], "10gen_zerg": ["baneling"]}
"""The types of which no team consists alone."""

STARTS: Final = {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32}

DEFAULTS: Final[dict[str, Any]] = {"obs_own_pos": False, "use_unit_ranges": False, "prob_obs_enemy": 1.0}
"""Settings that SMACv2's class has when its caller is silent; its configurations say otherwise."""


class StarCraftCapabilityEnvWrapper(StarCraft2Env):
    """Battles of one of SMACv2's scenarios, with the methods and keywords of SMACv2's wrapper.

    capability_config says the scenario; its draws must be the published ones. map_name is one of `WEIGHTS`.
    The other keywords are as for `StarCraft2Env`, with SMACv2's defaults. InputError for everything else.
    """

    def __init__(self, *, map_name: str, capability_config: Mapping[str, Any], **keywords: Any) -> None:
        scenario = scenario_of(map_name, capability_config)
        super().__init__(scenario, **DEFAULTS | keywords)
        self._types: FloatArray = np.zeros(0, np.float32)

    @property
    def env(self) -> Self:
        """The wrapped environment: there is no other one inside."""
        return self

    def reset(self) -> tuple[list[FloatArray], FloatArray]:
        """Begin the next battle, with teams and starts of its own; its first observations and state."""
        obs, state = super().reset()
        last = self.get_obs_size() - self._map.settings.obs_timestep_number
        self._types = np.concatenate([seen[last - self._map.unit_type_bits : last] for seen in obs])
        return obs, state

    def get_capabilities(self) -> FloatArray:
        """The type one-hot of every agent of this battle, one after the other; also of those that died."""
        return self._types.copy()

    def get_cap_size(self) -> int:
        """Width of one agent's capabilities."""
        return self._map.unit_type_bits


def scenario_of(map_name: str, config: Mapping[str, Any]) -> str:
    """The scenario, such as `protoss_5_vs_5`, that a configuration of SMACv2 means.

    InputError naming what is missing, unknown, or drawn otherwise than in the published scenarios.
    """
    if map_name not in WEIGHTS:
        raise InputError(f"map_name {map_name!r} is none of SMACv2's: {', '.join(WEIGHTS)}")
    known = ("n_units", "n_enemies", "team_gen", "start_positions")
    if missing := [key for key in known if key not in config]:
        raise InputError(f"capability_config lacks {', '.join(missing)}")
    if unknown := [key for key in config if key not in known]:
        raise InputError(
            f"capability_config: {', '.join(unknown)} cannot be played; known are {', '.join(known)}"
        )
    for key in ("n_units", "n_enemies"):
        if type(config[key]) is not int:
            raise InputError(f"capability_config: {key} must be a whole number, not {config[key]!r}")
    _check_teams(map_name, config["team_gen"])
    _check_starts(config["start_positions"])
    race = map_name.removeprefix("10gen_")
    return f"{race}_{config['n_units']}_vs_{config['n_enemies']}"


def _check_teams(map_name: str, config: Mapping[str, Any]) -> None:
    types, weights = config.get("unit_types", []), config.get("weights", [])
    drawn = dict(zip(types, weights, strict=True)) if len(types) == len(weights) else None
    published = {
        "dist_type": (config.get("dist_type"), "weighted_teams"),
        "weights by unit_types": (drawn, WEIGHTS[map_name]),
        "exception_unit_types": (list(config.get("exception_unit_types", [])), NEVER_ALONE[map_name]),
        "observe": (config.get("observe", True), True),
    }
    for what, (given, only) in published.items():
        if given != only:
            raise InputError(f"capability_config: team_gen: {what} can only be {only!r}, not {given!r}")


def _check_starts(config: Mapping[str, Any]) -> None:
    for key, only in STARTS.items():
        if config.get(key) != only:
            raise InputError(
                f"capability_config: start_positions: {key} can only be {only!r}, not {config.get(key)!r}"
            )
