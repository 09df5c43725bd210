"""`lan-inspect`: the card of a checkpoint, a model file, a map, or of a trained team (`team_card`)."""

from __future__ import annotations

import contextlib
import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from envs.command import is_said, run_command
from envs.errors import InputError
from envs.kinds import CHECKPOINT, MAP, RUN, kind_of
from envs.text import one_line
from envs.types import EnvSpec

if TYPE_CHECKING:
    from trainer.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class InspectConfig:
    """Flags of `lan-inspect`."""

    file: Annotated[Path | None, tyro.conf.Positional] = None
    """Checkpoint (run.pt), run directory, or model file (ONNX)."""
    map: str | None = None
    """Map to show, by name or file (NAME.json), instead of a checkpoint or model."""
    algorithm: str = "lan"
    """With --map: algorithm whose parameters to count."""
    sharing: Literal["all", "type"] = "all"
    """With --map: which agents share a network: all, or those of one unit type."""
    network: Literal["flat", "entity"] = "flat"
    """With --map: the paper's network, or one that reads every enemy by the same layer."""
    card: Path | None = None
    """Model file of a trained team, such as zoo/3m.onnx, whose card to check and show: how it was made."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of a table."""


@dataclass(frozen=True)
class Card:
    """The content of `lan-inspect`'s output for a map, a checkpoint or a model file.

    `parameters` counts trainable numbers by part: `advantage` is deployed, the others only serve training.
    """

    kind: str
    spec: EnvSpec
    parameters: dict[str, int]
    provenance: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Plain data: kind, the spec's fields, parameters, and where it comes from."""
        return {
            "kind": self.kind,
            **asdict(self.spec),
            "parameters": self.parameters,
            **self.provenance,
        }


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `lan-inspect`."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        InspectConfig,
        lambda config: run(config, words),
        prog="lan-inspect",
        description="Show the dimensions, parameters and origin of a checkpoint, a model file or a map.",
        argv=words,
        listing=True,
    )


def run(config: InspectConfig, words: Sequence[str]) -> None:
    """Print one card; InputError unless the flags name one file or one map."""
    if sum(each is not None for each in (config.file, config.map, config.card)) != 1:
        raise InputError(
            "give either a file or --map NAME, e.g. lan-inspect agent.onnx, lan-inspect --map 3m; or --card "
            "FILE for the card of a trained team"
        )
    for name in ("algorithm", "sharing", "network"):
        if config.map is None and is_said(name, words):
            raise InputError(f"--{name} is for --map: a file and a card say their own")
    if config.card is not None:
        from exporters.team_card import show_card

        return show_card(config.card, config.json)
    if config.file is not None:
        card = of_file(config.file)
    else:
        card = of_map(str(config.map), config.algorithm, config.sharing, config.network)
    if config.json:
        print(json.dumps(card.to_dict()))
    else:
        print_card(card)


def of_map(name: str, algorithm: str, sharing: str = "all", network: str = "flat") -> Card:
    """The card of a map: its dimensions, and the size of an algorithm's networks on it.

    InputError for unknown maps and algorithms.
    """
    from envs.make import env_spec
    from trainer.config import TrainConfig, resolve

    spec = env_spec(resolve(TrainConfig(map=name, algorithm=algorithm)).environment)
    provenance = {"algorithm": algorithm, "sharing": sharing, "network": network}
    return Card("map", spec, count_parts(spec, algorithm, sharing, network), provenance)


def of_file(path: Path) -> Card:
    """The card of a checkpoint, a run directory or a model file, whichever `path` is."""
    if not os.path.lexists(path):  # also where nobody may look
        raise InputError(f"there is no file {path}; name a checkpoint, a run directory or a model file")
    found = kind_of(path)
    if path.is_dir() and found != f"a {RUN}" and not any(path.glob("*.pt")):
        raise InputError(f"{path} is {found}; name a checkpoint, a run directory or a model file")
    if path.is_dir() or found == f"a {CHECKPOINT}":
        from trainer.runs.checkpoint import load_checkpoint

        return of_checkpoint(load_checkpoint(path))
    if found == f"a {MAP}":
        raise InputError(f"{path} is a {MAP}: lan-inspect --map {path}")
    return of_model(path)


def of_checkpoint(checkpoint: Checkpoint) -> Card:
    """The card of a checkpoint; target copies and the optimiser's state are not parameters."""
    provenance = {
        "algorithm": checkpoint.algorithm,
        "sharing": checkpoint.sharing,
        "network": network_name(checkpoint.enemies),
        "backend": checkpoint.backend,
        "env_steps": checkpoint.env_steps,
        "episodes": checkpoint.episodes,
        "updates": checkpoint.updates,
        "win_rate": checkpoint.win_rate,
        "project_version": checkpoint.project_version,
    }
    return Card("checkpoint", checkpoint.spec, checkpoint_parts(checkpoint), provenance)


def checkpoint_parts(checkpoint: Checkpoint) -> dict[str, int]:
    """Trainable parameters of a checkpoint's networks, by part."""
    import torch

    return {
        part: sum(tensor.numel() for tensor in state.values())
        for part, state in checkpoint.learner.items()
        if not part.startswith("target_")
        and isinstance(state, dict)
        and all(isinstance(value, torch.Tensor) for value in state.values())
    }


def of_model(path: Path) -> Card:
    """The card of a model file, read by the loader that serves it."""
    from runtime.model_file.loader import load_model_bytes
    from runtime.model_file.metadata import read_model_file

    data = read_model_file(path)
    model = load_model_bytes(data, str(path))
    provenance = provenance_of(model.metadata) | {"sha256": model.digest, "size_bytes": len(data)}
    return Card("model", model.spec, {"advantage": count_initializers(data)}, provenance)


def provenance_of(metadata: Mapping[str, str]) -> dict[str, Any]:
    """A model file's metadata apart from its spec and map; text that holds a number becomes that number."""
    from runtime.model_file import contract

    left_out = (
        contract.METADATA_SPEC,
        contract.METADATA_CONTRACT_VERSION,
        contract.METADATA_MAP,
        contract.METADATA_ENEMIES,
    )
    kinds = {contract.METADATA_ENV_STEPS: int, contract.METADATA_WIN_RATE: float}
    provenance: dict[str, Any] = {"network": network_name(metadata.get(contract.METADATA_ENEMIES))}
    for key, text in metadata.items():
        value: Any = text or None
        if key in kinds and text:
            with contextlib.suppress(ValueError):
                value = kinds[key](text)
        if key not in left_out:
            provenance[key.removeprefix("lan.")] = value
    return provenance


def network_name(enemies: object) -> str:
    """The name of `--network` that has these rows of enemies, or none."""
    return "flat" if enemies is None else "entity"


def count_initializers(model_bytes: bytes) -> int:
    """The number of parameters of a model file: all float initializers, without the columns for agent types.

    A GRU of networks per type also reads the agent's type; the weights of those inputs are constants.
    """
    import onnx

    graph = onnx.load_model_from_string(model_bytes).graph
    shapes = {t.name: list(t.dims) for t in graph.initializer if t.data_type == onnx.TensorProto.FLOAT}
    for node in graph.node:
        if node.op_type == "GRU":
            shapes[node.input[1]][2] = shapes[node.input[2]][2]  # W [1, 3H, H + K], R [1, 3H, H]
    return sum(math.prod(shape) for shape in shapes.values())


def count_parts(spec: EnvSpec, algorithm: str, sharing: str, network: str) -> dict[str, int]:
    """Trainable parameters of an algorithm's networks on an environment, by part."""
    import torch

    from trainer.config import TrainConfig, resolve
    from trainer.learning.algorithms import enemies_to_read, make_learner, types_to_split
    from trainer.runs.assembly import learner_settings

    settings = learner_settings(resolve(TrainConfig(map=spec.name, algorithm=algorithm)))
    networks = types_to_split(sharing, spec.name), enemies_to_read(network, spec.name)
    return make_learner(algorithm, spec, settings, torch.device("cpu"), *networks).parameter_counts()


def print_card(card: Card) -> None:
    """The card as a table on the terminal."""
    from rich.console import Console
    from rich.table import Table

    spec = card.spec
    table = Table(title=f"{card.kind}: {shown(spec.name)}", show_header=False, title_justify="left")
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for label, value in (
        ("agents", spec.n_agents),
        ("actions", spec.n_actions),
        ("observation", spec.obs_dim),
        ("state", spec.state_dim),
        ("episode limit", f"{spec.episode_limit} steps"),
        ("contract version", spec.contract_version),
    ):
        table.add_row(label, str(value))
    table.add_section()
    for part, count in card.parameters.items():
        fate = "deployed" if part == "advantage" else "training only"
        table.add_row(f"parameters, {part}", f"{count:,} ({fate})")
    table.add_section()
    for label, value in card.provenance.items():
        table.add_row(shown(label.replace("_", " ")), "-" if value is None else shown(str(value)))
    Console(highlight=False, soft_wrap=True).print(table)


def shown(text: str) -> str:
    """Text from a file, escaped so that it cannot move the cursor or act as markup."""
    from rich.markup import escape

    return escape(one_line(text))
