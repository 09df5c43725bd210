"""Environments for teams of agents: `with make_env("3m", n_battles=8, seed=1) as env: step = env.reset()`.

The names below are loaded on first use, so that `import envs` costs nothing. `envs.conformance.check_env`
checks an environment against the contract of `MultiAgentEnv`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from envs.lazy import lazy_names

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

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "MAP_NAMES": "envs.smac.maps",
        **dict.fromkeys(["env_spec", "make_env"], "envs.make"),
        **dict.fromkeys(["EnvSpec", "MultiAgentEnv", "TimeStep"], "envs.types"),
        **{name: "envs.errors" for name in __all__ if name.endswith("Error")},
    },
)
