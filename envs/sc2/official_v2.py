"""OfficialV2Env: SMACv2 as its authors distribute it, behind the contract of every environment here."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any, Final

from envs.errors import InputError
from envs.sc2.client import RACES, GameSettings
from envs.sc2.official import OfficialEnv
from envs.smac.scenarios import FIELD
from envs.smac.smac_map import MAP_SIZE_CELLS, SmacMap

COMMIT: Final = "577ab5a"
INSTALL: Final = f"pip install --no-deps 'smacv2 @ git+https://github.com/oxwhirl/smacv2.git@{COMMIT}'"


def official_wrapper() -> Any:
    """The official StarCraftCapabilityEnvWrapper; InputError when it is not installed."""
    if importlib.util.find_spec("smacv2") is None:
        raise InputError(f"--env smacv2 needs the official SMACv2 package: {INSTALL}")
    try:
        return importlib.import_module("smacv2.env").StarCraftCapabilityEnvWrapper
    except (ImportError, AttributeError) as error:
        raise InputError(f"the official SMACv2 package cannot be imported ({error}): {INSTALL}") from None


def package_arguments(smac_map: SmacMap) -> dict[str, Any]:
    """What SMACv2's configuration of a scenario says, beyond the package's defaults."""
    draw, settings = smac_map.draw, smac_map.settings
    assert draw is not None
    teams = {
        "dist_type": "weighted_teams",
        "unit_types": [kind.name.lower() for kind in draw.kinds],
        "weights": list(draw.weights),
        "exception_unit_types": [] if draw.support is None else [draw.support.name.lower()],
        "observe": True,
    }
    size = {"map_x": MAP_SIZE_CELLS, "map_y": MAP_SIZE_CELLS}
    return {
        "map_name": f"10gen_{RACES[smac_map.ally_race].lower()}",
        "capability_config": {
            "n_units": draw.n_agents,
            "n_enemies": draw.n_enemies,
            "team_gen": teams,
            "start_positions": {"dist_type": "surrounded_and_reflect", "p": 0.5, **size},
        },
        "obs_own_pos": settings.obs_own_pos,
        "use_unit_ranges": settings.use_unit_ranges,
        "min_attack_range": settings.min_attack_range,
        "conic_fov": settings.conic_fov,
        "prob_obs_enemy": settings.prob_obs_enemy,
        "action_mask": settings.action_mask,
        "state_last_action": settings.state_last_action,
    }


class OfficialV2Env(OfficialEnv):
    """B = `n_battles` battles, each a StarCraftCapabilityEnvWrapper (a `MultiAgentEnv`).

    The package draws teams and starts itself, from generators that have no seed.
    """

    @staticmethod
    def _game_map(smac_map: SmacMap) -> str:
        return FIELD

    @staticmethod
    def _maker(smac_map: SmacMap, settings: GameSettings) -> Callable[[int], Any]:
        kind = official_wrapper()
        return lambda seed: kind(
            **package_arguments(smac_map),
            seed=seed,
            game_version=settings.version,
            difficulty=str(settings.difficulty),
        )
