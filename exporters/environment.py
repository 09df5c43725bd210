"""The environment that a checkpoint or a model file was made for."""

from __future__ import annotations

from envs.errors import InputError
from envs.text import shell_word
from envs.types import EnvSpec, MultiAgentEnv


def environment_of(
    spec: EnvSpec, backend: str, *, named: str | None, n_battles: int, seed: int
) -> MultiAgentEnv:
    """The environment of `spec`, B = `n_battles` (1 if live); the caller closes it.

    InputError when there is no such environment, or when it differs from `spec`. `named`: the environment's
    name if the user gave it. A name that is code to import is never taken from a file alone.
    """
    from envs.make import battles_at_once, make_env, resolve_backend
    from envs.smac.own_maps import environment_name

    named = named and environment_name(named)
    if named is not None and named != spec.name:
        raise InputError(f"--map {named}: the file was made for {spec.name}; leave --map out to play that")
    if spec.name.startswith("pettingzoo:") and named is None:
        raise InputError(
            f"the file asks to import code, as the environment {spec.name!r}; "
            f"say --map {shell_word(spec.name)} if you trust it"
        )
    backend = resolve_backend(backend, spec.name)
    env = make_env(spec.name, backend, n_battles=battles_at_once(backend, n_battles), seed=seed)
    if different := env.spec.differences(spec):
        env.close()
        raise InputError(f"the file was made for another {spec.name}: {'; '.join(different)}")
    return env
