"""The checkpoint `run.pt`: tensors and plain data, written atomically, read with `weights_only=True`."""

from __future__ import annotations

import io
import pickle
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from envs.errors import InputError
from envs.files import replacing
from envs.types import CONTRACT_VERSION, EnvSpec
from trainer.learning.algorithms import types_to_split
from trainer.learning.networks import AdvantageNet, advantage_net

FORMAT = "lan-checkpoint"
FILE_NAME = "run.pt"


@dataclass(frozen=True)
class Checkpoint:
    """A run at the end of an iteration.

    `learner` is the learner's state (networks, targets, optimiser); `trainer` the rest that a resumed run
    needs (random states, episode numbers). `win_rate` is the last evaluation's, None before the first.
    """

    spec: EnvSpec
    algorithm: str
    backend: str
    config: dict[str, Any]
    env_steps: int
    episodes: int
    updates: int
    win_rate: float | None
    project_version: str
    learner: dict[str, Any]
    trainer: dict[str, Any]

    @property
    def sharing(self) -> str:
        """Which agents share a network: `all`, or those of one `type`."""
        return str(self.config.get("sharing", "all"))

    @property
    def agent_types(self) -> tuple[str, ...] | None:
        """[N] agents' types where only agents of one type share a network, else None."""
        return types_to_split(self.sharing, self.spec.name)

    @property
    def advantage(self) -> dict[str, Tensor]:
        """State dict of the advantage network: all that is ever deployed."""
        state: dict[str, Tensor] = self.learner["advantage"]
        return state


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path` whole or not at all; OSError when the disk says no."""
    data = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    data["spec"] = checkpoint.spec.to_json()
    content = io.BytesIO()  # torch turns what a full disk says into an error of its own
    torch.save({"format": FORMAT, "contract_version": CONTRACT_VERSION, **data}, content)
    with replacing(path) as file:
        file.write(content.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, or in a run directory's `run.pt`; tensors on the CPU.

    InputError when it is missing, truncated, not one of ours, or of another contract version.
    """
    if path.is_dir():
        path = path / FILE_NAME
    if not path.is_file():
        raise InputError(f"no checkpoint at {path}: lan-train writes one as RUN_DIR/{FILE_NAME}")
    try:
        data = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, OSError, ValueError, KeyError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0][:120]
        raise InputError(f"{path} is truncated or no checkpoint of lan-train ({reason})") from None
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise InputError(f"{path} is a torch file, but no checkpoint of lan-train")
    version = data.get("contract_version")
    if version != CONTRACT_VERSION:
        raise InputError(
            f"{path} is of contract version {version}, this project reads version {CONTRACT_VERSION}; "
            "use the project version that wrote it, or train again"
        )
    missing = [field.name for field in fields(Checkpoint) if field.name not in data]
    if missing:
        raise InputError(f"{path} is damaged: it lacks {', '.join(missing)}")
    try:
        spec = EnvSpec.from_json(data["spec"])
    except (TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    return Checkpoint(**{f.name: data[f.name] for f in fields(Checkpoint)} | {"spec": spec})


def load_advantage_net(checkpoint: Checkpoint) -> AdvantageNet:
    """The advantage network of a checkpoint, and nothing else of it; InputError when it does not fit."""
    net = advantage_net(checkpoint.spec, checkpoint.agent_types)
    try:
        net.load_state_dict(checkpoint.advantage)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the checkpoint's advantage network does not fit its {checkpoint.spec.name}: {reason}"
        ) from None
    return net.eval()
