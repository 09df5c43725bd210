"""Who commands the enemies of a run: the map's order, a scripted team, or a trained one from a file.

The settings name a file as PATH@DIGEST, so that a run goes on against the very team that it began with.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from envs.command import nearest_names
from envs.errors import InputError
from envs.kinds import CHECKPOINT, MODEL, kind_of_bytes, unlike
from envs.make import check_commanded
from envs.smac.maps import MAP_SCRIPT
from envs.types import EnvSpec, MultiAgentEnv
from trainer.config import ResolvedConfig
from trainer.runs.marked_file import marked, parted, read_named

if TYPE_CHECKING:  # a plan is made, and refused, before torch and numba are imported
    from trainer.learning.networks import AdvantageNet


def scripted() -> tuple[str, ...]:
    """The opponents that are no files."""
    from envs.battle.opponent import SCRIPTED

    return (MAP_SCRIPT, *SCRIPTED)


def named_opponent(given: str) -> str:
    """The opponent as settings name it: a team's name, or PATH@DIGEST of a file.

    InputError when there is no such team or file, or when the file has changed.
    """
    if given == MAP_SCRIPT or given in scripted():
        return given
    path, _ = parted(given)
    if not given:
        raise InputError("--opponent '' names no team and no file: say focus, or a trained team's file")
    if path.is_dir():
        raise InputError(f"--opponent {unlike(path, MODEL)}")
    if not path.exists():
        known = nearest_names(path.name, scripted())
        raise InputError(f"--opponent {path}: no such team and no such file; {known}")
    return marked("--opponent", given)


def check_config(config: ResolvedConfig, backend: str) -> None:
    """InputError unless the settings' opponent can command the enemies there."""
    if config.opponent == MAP_SCRIPT:
        return
    check_commanded(config.opponent, config.environment, backend)
    if config.rollout_workers and config.opponent not in scripted():
        raise InputError("--rollout-workers: a trained opponent plays in this process only; leave it out")


def commanded(env: MultiAgentEnv, config: ResolvedConfig, seed: int) -> MultiAgentEnv:
    """The environment with the settings' opponent in command of the enemies; InputError where it is not."""
    if config.opponent == MAP_SCRIPT:
        return env
    from envs.battle.opponent import with_scripted_opponent, with_trained_opponent
    from trainer.playing.policy import PolicyTeam, TorchPolicy

    if config.opponent in scripted():
        return with_scripted_opponent(env, config.opponent, seed)
    path, _ = parted(named_opponent(config.opponent))
    spec, net = trained_net(path)
    policy = TorchPolicy(net)
    return with_trained_opponent(env, str(path), spec, lambda side: PolicyTeam(policy, side))


def trained_net(path: Path) -> tuple[EnvSpec, AdvantageNet]:
    """The environment and the network of a checkpoint or a model file; InputError when it is neither."""
    from trainer.learning.from_model_file import net_of_model_file
    from trainer.runs.checkpoint import load_advantage_net, load_checkpoint

    data = read_named("--opponent", path)
    if kind_of_bytes(data) != f"a {CHECKPOINT}":
        return net_of_model_file(data, f"--opponent {path}")
    checkpoint = load_checkpoint(path)
    return checkpoint.spec, load_advantage_net(checkpoint)
