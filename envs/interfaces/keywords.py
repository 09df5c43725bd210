"""The keywords of SMAC's `StarCraft2Env`: settings of a map, and what cannot be changed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from os import PathLike
from typing import Any, Final

from envs.command import nearest_names
from envs.errors import InputError
from envs.make import find_map
from envs.plain import is_smac_map
from envs.smac.own_maps import environment_name
from envs.smac.settings import SmacSettings
from envs.smac.smac_map import SmacMap

SETTINGS: Final = tuple(each.name for each in fields(SmacSettings))

FIXED: Final[dict[str, Any]] = {
    "step_mul": 8,
    "move_amount": 2,
    "difficulty": "7",
    "heuristic_ai": False,
    "obs_starcraft": True,
}
"""What the simulator plays, and nothing else."""

WITHOUT_MEANING: Final = (
    "game_version",
    "heuristic_rest",
    "num_fov_actions",
    "kill_unit_step_mul",
    "window_size_x",
    "window_size_y",
    "debug",
)
"""Keywords about the game's program, or about what `FIXED` rules out: any value is accepted."""

OWN: Final = ("map_name", "seed", "continuing_episode", "replay_dir", "replay_prefix")


def map_with(map_name: str | PathLike[str], keywords: Mapping[str, Any], where: str) -> SmacMap:
    """A map, by name or file, with the settings among `keywords`; the state shows last actions by default.

    InputError, with the nearest names, when a map or a keyword is unknown; when the simulator cannot play
    what a keyword says. `where` is the name of the class.
    """
    given: dict[str, Any] = {"state_last_action": True}
    for name, value in keywords.items():
        if name in SETTINGS:
            given[name] = value
        elif name in FIXED:
            if value != FIXED[name]:
                raise InputError(f"{where}: {name} can only be {FIXED[name]!r}, not {value!r}")
        elif name not in WITHOUT_MEANING:
            known = (*OWN, *SETTINGS, *FIXED, *WITHOUT_MEANING)
            raise InputError(f"{where}: unknown keyword {name!r}: {nearest_names(name, known)}")
    name = environment_name(map_name)
    if not is_smac_map(name):
        raise InputError(
            f"{where} plays SMAC's maps, SMACv2's scenarios and maps of one's own; {name!r} is none of them, "
            "envs.make_env makes it"
        )
    smac_map = find_map(name)
    return replace(smac_map, settings=replace(smac_map.settings, **given))
