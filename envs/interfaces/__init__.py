"""Battles on the simulator behind other people's interfaces: SMAC's class, SMACv2's, and PettingZoo's.

The names below are loaded on first use; PettingZoo itself is needed by `parallel_env` alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.lazy import lazy_names

if TYPE_CHECKING:
    from envs.interfaces.parallel import parallel_env
    from envs.interfaces.smacv2 import StarCraftCapabilityEnvWrapper
    from envs.interfaces.starcraft2 import StarCraft2Env

__all__ = ["StarCraft2Env", "StarCraftCapabilityEnvWrapper", "parallel_env"]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "StarCraft2Env": "envs.interfaces.starcraft2",
        "StarCraftCapabilityEnvWrapper": "envs.interfaces.smacv2",
        "parallel_env": "envs.interfaces.parallel",
    },
)
