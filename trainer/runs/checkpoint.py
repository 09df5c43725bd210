"""The checkpoint `run.pt`: tensors and plain data, written atomically, read with `weights_only=True`."""

from __future__ import annotations

import io
import zipfile
import zlib
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from envs.errors import InputError
from envs.files import read_regular, replacing
from envs.kinds import CHECKPOINT, RUN, WHENCE, kind_of, unlike
from envs.types import CONTRACT_VERSION, OLD_BATTLEFIELD, EnemyRows, EnvSpec
from trainer.learning.networks import AdvantageNet, advantage_net
from trainer.runs.clocks import Clocks, brief
from trainer.runs.config_file import BEST_NAME, RUN_NAME

FORMAT = "lan-checkpoint"
FORMAT_VERSION = 2


class Stateful(Protocol):
    """A part of a run that a checkpoint asks for its state, and gives it back."""

    def state_dict(self) -> dict[str, Any]:
        """All that the next step depends on, as tensors and plain data."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        ...


@dataclass(frozen=True)
class GeneratorState:
    """A numpy generator as a part of a run."""

    rng: np.random.Generator

    def state_dict(self) -> dict[str, Any]:
        """The state of its bit generator."""
        return dict(self.rng.bit_generator.state)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.rng.bit_generator.state = state


@dataclass(frozen=True)
class Checkpoint:
    """A run at the end of an iteration.

    `states`: the state of each part of the run, by the part's name (see `TrainingRun.parts`).
    `agent_types` [N]: the agents' types where only agents of one type share a network, else None.
    `enemies`: where networks read every enemy by itself, else None.
    """

    spec: EnvSpec
    backend: str
    config: dict[str, Any]
    agent_types: tuple[str, ...] | None
    enemies: EnemyRows | None
    project_version: str
    states: dict[str, dict[str, Any]]

    @property
    def algorithm(self) -> str:
        """The learner's name."""
        return str(self.config["algorithm"])

    @property
    def sharing(self) -> str:
        """Which agents share a network: `all`, or those of one `type`."""
        return str(self.config["sharing"])

    @property
    def map_text(self) -> str | None:
        """The map of one's own that it was trained on, as JSON; None for other environments."""
        text: str | None = self.config.get("map_text")  # older ones do not have it
        return text

    @property
    def clocks(self) -> Clocks:
        """How far the run was."""
        clocks = Clocks()
        clocks.load_state_dict(self.states["clocks"])
        return clocks

    @property
    def env_steps(self) -> int:
        """Environment steps of finished episodes."""
        return self.clocks.env_steps

    @property
    def episodes(self) -> int:
        """Finished episodes."""
        return self.clocks.episodes

    @property
    def updates(self) -> int:
        """Gradient updates."""
        return int(self.learner["updates"])

    @property
    def win_rate(self) -> float | None:
        """The last evaluation's; None before the first."""
        return self.clocks.win_rate

    @property
    def learner(self) -> dict[str, Any]:
        """The learner's state: networks, targets, optimiser."""
        return self.states["learner"]

    @property
    def advantage(self) -> dict[str, Tensor]:
        """State dict of the advantage network: all that is ever deployed."""
        follows = self.learner.get("deployed") == "target_advantage"
        state: dict[str, Tensor] = self.learner["target_advantage" if follows else "advantage"]
        return state


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write `path` whole or not at all; OSError when the disk says no."""
    data = {field.name: getattr(checkpoint, field.name) for field in fields(Checkpoint)}
    data["spec"] = checkpoint.spec.to_json()
    data["enemies"] = None if checkpoint.enemies is None else list(checkpoint.enemies)
    versions = {"format_version": FORMAT_VERSION, "contract_version": CONTRACT_VERSION}
    write_tensors(path, {"format": FORMAT, **versions, **data})


def write_tensors(path: Path, data: dict[str, Any]) -> None:
    """Write tensors and plain data to `path`, whole or not at all; OSError when the disk says no."""
    content = io.BytesIO()  # given the file, torch would answer a full disk with a RuntimeError
    torch.save(data, content)
    with replacing(path) as file:
        file.write(content.getbuffer())


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in a file, or in a run directory's `run.pt`; tensors on the CPU.

    InputError when it is missing, truncated, not one of ours, of another version of format or contract, or
    cannot be read.
    """
    try:
        return read_checkpoint(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror or error}") from None


def read_checkpoint(path: Path) -> Checkpoint:
    """As `load_checkpoint`, with an OSError when the file cannot be read now, which says nothing about it."""
    if path.is_dir():
        if not (path / RUN_NAME).exists() and kind_of(path) != f"a {RUN}":
            raise InputError(unlike(path, CHECKPOINT))
        path = path / RUN_NAME
    if not path.exists():
        newest = path.with_name(RUN_NAME)
        if path.name == BEST_NAME and newest.exists():
            why = "a run has one from its second evaluation on"
            raise InputError(f"no checkpoint at {path}: {why}; take {newest}, or --resume the run")
        raise InputError(f"no checkpoint at {path}: {WHENCE[CHECKPOINT]}")
    content = io.BytesIO(read_regular(path))  # from here on an error is the file's
    if not zipfile.is_zipfile(content):  # as torch writes them
        raise InputError(unlike(path, CHECKPOINT))
    if not is_whole(content):
        raise InputError(unlike(path, CHECKPOINT, "its contents do not have their checksums"))
    content.seek(0)
    try:
        data = torch.load(content, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # torch has many for damaged bytes
        raise InputError(unlike(path, CHECKPOINT)) from error
    if not isinstance(data, dict) or not isinstance(data.get("format"), str) or data["format"] != FORMAT:
        raise InputError(f"{path} is a torch file, but no checkpoint of lan-train; {WHENCE[CHECKPOINT]}")
    for key, ours in (("format_version", FORMAT_VERSION), ("contract_version", CONTRACT_VERSION)):
        version = data.get(key, 1)  # the first format did not name its version
        if key == "contract_version" and type(version) is int and version == 1:
            raise InputError(f"{path} is of {OLD_BATTLEFIELD}")
        if type(version) is not int or version != ours:
            raise InputError(
                f"{path} is of {key.replace('_', ' ')} {brief(version)}, this project reads version {ours}; "
                "use the project version that wrote it, or train again"
            )
    data.setdefault("enemies", None)  # older ones do not have it
    missing = [field.name for field in fields(Checkpoint) if field.name not in data]
    if missing:
        raise InputError(f"{path} is damaged: it lacks {', '.join(missing)}")
    try:
        checkpoint = Checkpoint(
            **{field.name: data[field.name] for field in fields(Checkpoint)}
            | {"spec": EnvSpec.from_json(data["spec"]), "enemies": EnemyRows.from_plain(data["enemies"])}
        )
        check(checkpoint)
    except (TypeError, ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged: {error}") from None
    return checkpoint


def is_whole(content: io.BytesIO) -> bool:
    """Whether all parts of a zip archive have their checksums, at which torch does not look."""
    try:
        with zipfile.ZipFile(content) as archive:
            return archive.testzip() is None
    except (zipfile.BadZipFile, EOFError, ValueError, NotImplementedError, RuntimeError, zlib.error):
        return False


def check(checkpoint: Checkpoint) -> None:
    """ValueError, KeyError or TypeError unless the plain data of a checkpoint has the types that we write."""
    if not isinstance(checkpoint.config, dict):
        raise ValueError(f"its config is {brief(checkpoint.config)}")
    plain = {
        "backend": checkpoint.backend,
        "project_version": checkpoint.project_version,
        "config.algorithm": checkpoint.config["algorithm"],
        "config.sharing": checkpoint.config["sharing"],
    }
    if checkpoint.map_text is not None:
        plain["config.map_text"] = checkpoint.map_text
    for name, value in plain.items():
        if not isinstance(value, str):
            raise ValueError(f"its {name} is {brief(value)}")
    states: Any = checkpoint.states
    if not isinstance(states, dict) or not all(isinstance(state, dict) for state in states.values()):
        raise ValueError("its states are not those of the parts of a run")
    Clocks().load_state_dict(checkpoint.states["clocks"])
    if type(checkpoint.learner["updates"]) is not int:
        raise ValueError(f"it counts {brief(checkpoint.learner['updates'])} updates")
    types, n_agents = checkpoint.agent_types, checkpoint.spec.n_agents
    named = isinstance(types, list | tuple) and all(type(name) is str for name in types)
    if checkpoint.enemies is not None and not checkpoint.enemies.fit(checkpoint.spec):
        raise ValueError(f"its rows of enemies, {brief(checkpoint.enemies)}, do not fit its environment")
    if types is not None and not (named and len(types) == n_agents):
        raise ValueError(f"its agent types are {brief(types)}, for {n_agents} agents")


def load_advantage_net(checkpoint: Checkpoint) -> AdvantageNet:
    """The advantage network of a checkpoint, and nothing else of it; InputError when it does not fit."""
    try:
        weights = checkpoint.advantage
        with torch.device("meta"):  # where the dimensions that the file claims take no memory
            wanted = advantage_net(checkpoint.spec, checkpoint.agent_types, checkpoint.enemies).state_dict()
        for name in wanted | weights:
            own, shape = weights[name], wanted[name].shape
            if own.shape != shape or own.dtype != torch.float32 or not own.is_contiguous():
                raise ValueError(f"{name} is {own.dtype} {list(own.shape)}, not {list(shape)}")
        net = advantage_net(checkpoint.spec, checkpoint.agent_types, checkpoint.enemies)
        net.load_state_dict(weights)
    except (KeyError, RuntimeError, AttributeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the checkpoint's advantage network does not fit its {checkpoint.spec.name}: {reason}"
        ) from None
    return net.eval()
