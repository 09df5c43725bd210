"""The simulator for other people's code: `from lan_smac import StarCraft2Env, parallel_env`.

The same names as in `envs.interfaces`. PyMARL, EPyMARL and their kin have a package `envs` of their own,
which hides this project's. Where that is so, our modules are looked for behind theirs, under the same name.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.interfaces import StarCraft2Env, StarCraftCapabilityEnvWrapper, parallel_env

__all__ = ["StarCraft2Env", "StarCraftCapabilityEnvWrapper", "parallel_env"]

_OURS = str(Path(__file__).resolve().parent / "envs")


def _join(package: Any) -> None:
    """Look for modules of `envs` in our folder too."""
    if not hasattr(package, "__path__"):
        raise ImportError(f"{package.__file__} hides the package envs of lan-smac: rename it")
    if _OURS not in map(str, package.__path__):
        package.__path__.append(_OURS)


_join(importlib.import_module("envs"))


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module("envs.interfaces"), name)
