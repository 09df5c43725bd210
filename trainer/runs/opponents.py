"""Who commands the enemies of a run: the map's order, a scripted team, or a trained one from a file.

The settings name a file as PATH@DIGEST, so that a run goes on against the very team that it began with.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from envs.command import nearest_names
from envs.errors import InputError
from envs.files import expanded, read_regular
from envs.make import check_commanded
from envs.smac.maps import MAP_SCRIPT
from envs.types import EnvSpec, MultiAgentEnv
from trainer.config import ResolvedConfig

if TYPE_CHECKING:  # a plan is made, and refused, before torch and numba are imported
    from trainer.learning.networks import AdvantageNet

MAX_BYTES = 1 << 28
_MARKED = re.compile(r"(.+)@([0-9a-f]{12})", re.S)


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
    path, digest = _parted(given)
    now = hashlib.sha256(_read(path)).hexdigest()[:12]
    if digest not in ("", now):
        raise InputError(f"--opponent {path} has changed: it was {digest}, and is {now} now")
    return f"{path}@{now}"


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
    path, _ = _parted(named_opponent(config.opponent))
    spec, net = trained_net(path)
    policy = TorchPolicy(net)
    return with_trained_opponent(env, str(path), spec, lambda side: PolicyTeam(policy, side))


def trained_net(path: Path) -> tuple[EnvSpec, AdvantageNet]:
    """The environment and the network of a checkpoint or a model file; InputError when it is neither."""
    from trainer.learning.from_model_file import net_of_model_file
    from trainer.runs.checkpoint import load_advantage_net, load_checkpoint

    data = _read(path)
    if not data.startswith(b"PK"):  # torch writes zip archives
        return net_of_model_file(data, str(path))
    checkpoint = load_checkpoint(path)
    return checkpoint.spec, load_advantage_net(checkpoint)


def _parted(given: str) -> tuple[Path, str]:
    """The path, and the digest or an empty text."""
    match = _MARKED.fullmatch(given)
    path, digest = (match[1], match[2]) if match and not expanded(given).exists() else (given, "")
    return expanded(path).absolute(), digest


def _read(path: Path) -> bytes:
    try:
        return read_regular(path, MAX_BYTES)
    except FileNotFoundError:
        known = nearest_names(path.name, scripted())
        raise InputError(f"--opponent {path}: no such team and no such file; {known}") from None
    except OSError as error:
        raise InputError(f"--opponent {path} cannot be read: {error.strerror or error}") from None
