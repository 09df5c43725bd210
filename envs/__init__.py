"""Environments for teams of agents: `with make_env("3m", n_battles=8, seed=1) as env: step = env.reset()`.

The names below are loaded on first use, so that `import envs` costs nothing. `envs.conformance.check_env`
checks an environment against the contract of `MultiAgentEnv`.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from envs.errors import DivergedError, EpisodeLostError, InputError, LanError, ModelError
    from envs.make import env_spec, make_env
    from envs.smac.maps import MAP_NAMES
    from envs.types import EnvSpec, MultiAgentEnv, TimeStep

__all__ = [
    "MAP_NAMES",
    "DivergedError",
    "EnvSpec",
    "EpisodeLostError",
    "InputError",
    "LanError",
    "ModelError",
    "MultiAgentEnv",
    "TimeStep",
    "env_spec",
    "make_env",
]

_HOMES = {
    "errors": ("DivergedError", "EpisodeLostError", "InputError", "LanError", "ModelError"),
    "make": ("env_spec", "make_env"),
    "smac.maps": ("MAP_NAMES",),
    "types": ("EnvSpec", "MultiAgentEnv", "TimeStep"),
}


def __getattr__(name: str) -> Any:
    for module, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"envs.{module}"), name)
    raise AttributeError(f"module 'envs' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
