"""`lan-export`: turns a checkpoint into one ONNX file, if the file acts exactly as the checkpoint does."""

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
from envs.outputs import check_apart, check_output
from envs.smac.own_maps import learn_map
from envs.text import one_line

if TYPE_CHECKING:
    from envs.types import EnvSpec, MultiAgentEnv
    from exporters.parity import ParityReport
    from runtime.model_file.loader import Model
    from trainer.learning.networks import AdvantageNet
    from trainer.runs.checkpoint import Checkpoint

N_BATTLES = 8


@dataclass(frozen=True)
class ExportConfig:
    """Flags of `lan-export`."""

    ckpt: Path
    """Checkpoint of lan-train (run.pt) or its run directory."""
    out: Path
    """ONNX file to write."""
    force: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Replace the file if it exists."""
    map: str | None = None
    """Only needed to confirm a checkpoint's environment that is code to import (pettingzoo:...)."""
    env: str | None = None
    """Backend of the check's battles: auto, sim, sc2, smac or smacv2; by default the checkpoint's."""
    battles: int = N_BATTLES
    """Battles of the check, which compares file and checkpoint: half greedy, half with random actions."""
    seed: int = 0
    """Seed of these battles."""


@dataclass(frozen=True)
class ExportReport:
    """The file that was written, the checkpoint it came from, and the check that it passed.

    `parameters` counts trainable numbers by part: `advantage` is in the file, the other parts are not.
    `win_rate` is None for a checkpoint that was never evaluated.
    """

    path: Path
    sha256: str
    n_bytes: int
    map: str
    algorithm: str
    backend: str
    env_steps: int
    win_rate: float | None
    parameters: dict[str, int]
    parity: ParityReport


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point of `lan-export`."""
    return run_command(
        ExportConfig,
        run,
        prog="lan-export",
        description="Export the advantage network of a checkpoint to one ONNX file, checked against torch.",
        argv=argv,
        listing=True,
    )


def run(config: ExportConfig) -> None:
    """Export one checkpoint and print the report."""
    report = export_checkpoint(
        config.ckpt,
        config.out,
        force=config.force,
        map=config.map,
        env=config.env,
        battles=config.battles,
        seed=config.seed,
    )
    print_report(report)


def export_checkpoint(
    ckpt: Path | str,
    out: Path | str,
    *,
    force: bool = False,
    map: str | None = None,
    env: str | None = None,
    battles: int = N_BATTLES,
    seed: int = 0,
) -> ExportReport:
    """Write a checkpoint's advantage network to the ONNX file `out`, if it acts as the checkpoint does.

    The arguments are the flags of `lan-export`; see `ExportConfig`. Gives torch one thread. InputError, with
    `out` as it was, when an argument or the checkpoint cannot be used, or when the file would act otherwise.
    """
    ckpt, out = Path(ckpt), Path(out)
    check_arguments(ckpt, out, force, battles, seed)
    out = out.absolute()  # an environment may change the current folder
    import torch

    from exporters.card import checkpoint_parts
    from exporters.environment import environment_of
    from runtime.model_file.loader import load_model_bytes
    from trainer.runs.checkpoint import load_advantage_net, load_checkpoint

    torch.set_num_threads(1)
    checkpoint = load_checkpoint(ckpt)
    learn_map(checkpoint.spec.name, checkpoint.map_text, str(ckpt))
    net = load_advantage_net(checkpoint)
    model_bytes = build(net, checkpoint)
    check_size(model_bytes, checkpoint.spec)
    model = load_model_bytes(model_bytes, str(out))
    spec, backend, n_at_once = checkpoint.spec, env or checkpoint.backend, min(4, battles // 2)
    with environment_of(spec, backend, named=map, n_battles=n_at_once, seed=seed) as environment:
        parity = check_parity(model, net, environment, out, battles, seed)
    write_atomically(out, model_bytes)
    return ExportReport(
        path=out,
        sha256=model.digest,
        n_bytes=len(model_bytes),
        map=spec.name,
        algorithm=checkpoint.algorithm,
        backend=checkpoint.backend,
        env_steps=checkpoint.env_steps,
        win_rate=checkpoint.win_rate,
        parameters=checkpoint_parts(checkpoint),
        parity=parity,
    )


def check_arguments(ckpt: Path, out: Path, force: bool, battles: int, seed: int) -> None:
    """InputError, naming the flag, when an argument cannot be used; before any work is done."""
    if battles < 2:
        raise InputError(f"--battles {battles}: the check needs at least 2, one greedy and one not")
    if not 0 <= seed < 2**64:
        raise InputError(f"--seed {seed}: a seed is 0 or more, and less than 2^64")
    check_output("--out", out, force=force)
    check_apart({"--ckpt": ckpt}, {"--out": out})


def build(net: AdvantageNet, checkpoint: Checkpoint) -> bytes:
    """The model file's bytes: the advantage network, and where it comes from."""
    from exporters.model import build_model

    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    try:
        return build_model(
            weights, checkpoint.spec, metadata(checkpoint), checkpoint.agent_types, checkpoint.enemies
        )
    except ValueError as error:
        raise InputError(f"the checkpoint cannot be exported: {error}") from None


def check_size(model_bytes: bytes, spec: EnvSpec) -> None:
    """InputError when agents would refuse the file for its size, naming the limit and what is too large."""
    from runtime.model_file.metadata import MAX_MODEL_BYTES
    from runtime.model_file.operators import MAX_DIM

    inputs = spec.obs_dim + spec.n_actions + spec.n_agents
    if len(model_bytes) > MAX_MODEL_BYTES or inputs > MAX_DIM:
        raise InputError(
            f"{one_line(spec.name)} has {spec.obs_dim:,} features, {spec.n_actions:,} actions and "
            f"{spec.n_agents:,} agents, which makes a file of {len(model_bytes):,} bytes; agents accept "
            f"at most {MAX_MODEL_BYTES:,} bytes and {MAX_DIM:,} inputs: show the agents less"
        )


def metadata(checkpoint: Checkpoint) -> dict[str, str]:
    """Where the model comes from, under the keys that the runtime reads."""
    from runtime.model_file import contract

    config_json = json.dumps(checkpoint.config, sort_keys=True)
    optional = {} if checkpoint.map_text is None else {contract.METADATA_MAP: checkpoint.map_text}
    if checkpoint.enemies is not None:
        optional[contract.METADATA_ENEMIES] = json.dumps(list(checkpoint.enemies))
    return optional | {
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
    model: Model, net: AdvantageNet, env: MultiAgentEnv, out: Path, battles: int, seed: int
) -> ParityReport:
    """Compare the model, through the loader that serves it, with the network over battles in `env`.

    InputError when they differ in any greedy action, or by more than the tolerance in any advantage.
    """
    from exporters.parity import compare
    from trainer.playing.policy import TorchPolicy

    report = compare(env, TorchPolicy(net), model, n_battles=battles, seed=seed)
    if not report.equal:
        raise InputError(
            f"{out} was not written: over {report.agent_steps} agent steps the model differs from "
            f"the checkpoint in {report.differing_actions} greedy actions, and by up to "
            f"{report.max_difference:.3g} in the advantages"
        )
    return report


def print_report(report: ExportReport) -> None:
    """Print the file's size, digest and origin, the parts left behind, and the check."""
    win_rate = "not evaluated" if report.win_rate is None else f"win rate {report.win_rate:.1%}"
    print(f"wrote        {one_line(report.path)} ({report.n_bytes:,} bytes)")
    print(f"sha256       {report.sha256}")
    print(
        f"from         {report.algorithm} on {one_line(report.map)} ({report.backend}), "
        f"{report.env_steps:,} steps, {win_rate}"
    )
    print(f"exported     advantage network: {report.parameters['advantage']:,} parameters")
    for part, count in report.parameters.items():
        if part != "advantage":
            print(f"left behind  {part} network: {count:,} parameters")
    parity = report.parity
    print(
        f"checked      {parity.battles} battles, {parity.agent_steps:,} agent steps: "
        f"every greedy action equal, advantages within {parity.max_difference:.1e}"
    )
