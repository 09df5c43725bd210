"""`lan-export`: checkpoint in, one ONNX file out, and only if it acts exactly as the checkpoint does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from envs.command import run_command
from envs.errors import InputError
from envs.files import write_atomically

if TYPE_CHECKING:
    from exporters.parity import ParityReport
    from trainer.learning.networks import AdvantageNet
    from trainer.runs.checkpoint import Checkpoint


@dataclass(frozen=True)
class ExportConfig:
    """Flags of `lan-export`."""

    ckpt: Path
    """Checkpoint of lan-train (run.pt), or the run directory that holds one."""
    out: Path
    """The ONNX file to write."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the file if it exists."""
    map: str | None = None
    """The checkpoint's environment once more; needed where its name is code to import (pettingzoo:…)."""
    env: str | None = None
    """Backend that plays the battles of the check: auto, sim, sc2, smac; the checkpoint's own by default."""
    battles: int = 8
    """Battles over which file and checkpoint are compared: half greedy, half with random actions."""
    seed: int = 0
    """Seed of these battles."""


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `lan-export`."""
    return run_command(
        ExportConfig,
        run,
        prog="lan-export",
        description="Export the advantage network of a checkpoint to one ONNX file, checked against torch.",
        argv=argv,
    )


def run(config: ExportConfig) -> None:
    """Export one checkpoint; InputError when the input cannot be used or the file would differ from torch."""
    check_flags(config)
    import torch

    from trainer.runs.checkpoint import load_advantage_net, load_checkpoint

    torch.set_num_threads(1)
    checkpoint = load_checkpoint(config.ckpt)
    net = load_advantage_net(checkpoint)
    model_bytes = build(net, checkpoint)
    report = check_parity(model_bytes, net, checkpoint, config)
    write_atomically(config.out, model_bytes)
    print_summary(checkpoint, config.out, model_bytes, report)


def check_flags(config: ExportConfig) -> None:
    """InputError when a flag cannot be used, before any work is done."""
    if config.battles < 2:
        raise InputError(f"--battles {config.battles}: the check needs at least 2, one greedy and one not")
    if config.seed < 0:
        raise InputError(f"--seed {config.seed}: it must not be negative")
    if not config.out.parent.is_dir():
        raise InputError(f"--out {config.out}: there is no directory {config.out.parent}; make it first")
    if config.out.is_dir():
        raise InputError(
            f"--out {config.out} is a directory; name a file in it, e.g. {config.out}/agent.onnx"
        )
    if config.out.exists() and not config.force:
        raise InputError(f"--out {config.out} exists; say --force to replace it, or name another file")


def build(net: AdvantageNet, checkpoint: Checkpoint) -> bytes:
    """The model file's bytes: the advantage network, and where it comes from."""
    from exporters.model import build_model

    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    try:
        return build_model(weights, checkpoint.spec, metadata(checkpoint), checkpoint.agent_types)
    except ValueError as error:
        raise InputError(f"the checkpoint cannot be exported: {error}") from None


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Where the model comes from, under the keys that the runtime reads."""
    from runtime.model_file import contract

    config_json = json.dumps(checkpoint.config, sort_keys=True)
    return {
        contract.METADATA_CONTRACT_VERSION: str(checkpoint.spec.contract_version),
        contract.METADATA_SPEC: checkpoint.spec.to_json(),
        contract.METADATA_ALGORITHM: checkpoint.algorithm,
        contract.METADATA_SHARING: checkpoint.sharing,
        contract.METADATA_BACKEND: checkpoint.backend,
        contract.METADATA_ENV_STEPS: str(checkpoint.env_steps),
        contract.METADATA_WIN_RATE: "" if checkpoint.win_rate is None else repr(checkpoint.win_rate),
        contract.METADATA_CONFIG_SHA256: hashlib.sha256(config_json.encode()).hexdigest(),
        contract.METADATA_PROJECT_VERSION: checkpoint.project_version,
    }


def check_parity(
    model_bytes: bytes, net: AdvantageNet, checkpoint: Checkpoint, config: ExportConfig
) -> ParityReport:
    """Compare the model, through the loader that serves it, with the checkpoint on its own environment.

    InputError when they differ in any greedy action, or by more than the tolerance in any advantage.
    """
    from exporters.environment import environment_of
    from exporters.parity import compare
    from runtime.model_file.loader import load_model_bytes
    from trainer.playing.rollout import TorchPolicy

    candidate = load_model_bytes(model_bytes, str(config.out))
    env = environment_of(
        checkpoint.spec,
        config.env or checkpoint.backend,
        named=config.map,
        n_battles=min(4, config.battles // 2),
        seed=config.seed,
    )
    try:
        report = compare(env, TorchPolicy(net), candidate, n_battles=config.battles, seed=config.seed)
    finally:
        env.close()
    if not report.equal:
        raise InputError(
            f"{config.out} was not written: over {report.agent_steps} agent steps the model differs from "
            f"the checkpoint in {report.differing_actions} greedy actions, and by up to "
            f"{report.max_difference:.3g} in the advantages"
        )
    return report


def print_summary(checkpoint: Checkpoint, out: Path, model_bytes: bytes, report: ParityReport) -> None:
    """Say what was written, what was left behind, and how it was checked."""
    from exporters.card import checkpoint_parts

    parts = checkpoint_parts(checkpoint)
    win_rate = "not evaluated" if checkpoint.win_rate is None else f"win rate {checkpoint.win_rate:.1%}"
    print(f"wrote        {out} ({len(model_bytes):,} bytes)")
    print(f"sha256       {hashlib.sha256(model_bytes).hexdigest()}")
    print(
        f"from         {checkpoint.algorithm} on {checkpoint.spec.name} ({checkpoint.backend}), "
        f"{checkpoint.env_steps:,} steps, {win_rate}"
    )
    print(f"exported     advantage network: {parts.pop('advantage'):,} parameters")
    for part, count in parts.items():
        print(f"left behind  {part} network: {count:,} parameters")
    print(
        f"checked      {report.battles} battles, {report.agent_steps:,} agent steps: "
        f"every greedy action equal, advantages within {report.max_difference:.1e}"
    )
