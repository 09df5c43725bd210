"""Whether LAN's fast update is the plain one on what a run really learns from: its weights and its replay.

    python -m benchmarks.same_update runs/3m-lan-seed0

Takes batches from the run's replay and computes the gradient three ways at the run's weights: fast, plain
(`benchmarks.plain_lan`), and plain in float64. Prints how far they are apart, relative to the gradient.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks.plain_lan import PlainLanLearner
from envs.command import run_command
from envs.errors import InputError
from envs.make import env_spec
from trainer.learning.batch import EpisodeBatch
from trainer.learning.lan import LanLearner
from trainer.learning.learner import Learner
from trainer.runs.assembly import learner_settings
from trainer.runs.config_file import load_config
from trainer.runs.directory import RunDirectory
from trainer.runs.run import make_replay


@dataclass(frozen=True)
class Config:
    """Flags of the comparison."""

    runs: Annotated[tuple[Path, ...], tyro.conf.Positional] = ()
    """Run directories of `lan-train --algorithm lan`, not in training now."""
    batches: int = 20
    """Batches of 32 episodes for each."""


def gradient(learner: Learner, batch: EpisodeBatch) -> Tensor:
    """The loss's gradient in all parameters, one after the other."""
    loss, _ = learner.loss(batch)
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, learner.parameters)]).double()


def in_double(batch: EpisodeBatch) -> EpisodeBatch:
    """The same batch in float64."""
    names = ("obs", "state", "reward", "terminated")
    return replace(batch, **{name: getattr(batch, name).double() for name in names})


def compare(run_dir: Path, batches: int) -> list[list[float]]:
    """For each batch, relative: fast against plain, fast against float64, plain against float64."""
    config = load_config(run_dir)
    if config.algorithm != "lan" or config.sharing != "all":
        raise InputError(
            f"{run_dir} is a run of {config.algorithm}, --sharing {config.sharing}: only lan's are"
        )
    spec = env_spec(config.environment)
    found = RunDirectory(run_dir, config.keep_checkpoints).find(lambda: make_replay(config, spec))
    settings, cpu = learner_settings(config), torch.device("cpu")
    learners = [kind(spec, settings, cpu) for kind in (LanLearner, PlainLanLearner, PlainLanLearner)]
    for learner in learners:
        learner.load_state_dict(copy.deepcopy(found.checkpoint.learner))
    for net in [*learners[2].parts.values(), *learners[2].targets.values()]:
        net.double()
    rng, rows = np.random.default_rng(0), list[list[float]]()
    for _ in range(batches):
        batch = found.replay.sample(rng, config.batch_episodes)
        fast, plain = (gradient(learner, batch) for learner in learners[:2])
        exact = gradient(learners[2], in_double(batch))
        differences = fast - plain, fast - exact, plain - exact
        rows.append([float(difference.norm() / exact.norm()) for difference in differences])
    return rows


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(Config, run, prog="same_update", description=(__doc__ or "").split("\n")[0], argv=argv)


def run(config: Config) -> None:
    """Compare and print."""
    if not config.runs or config.batches < 1:
        raise InputError("name run directories, and at least one batch")
    torch.set_num_threads(1)
    for run_dir in config.runs:
        differences = np.array(compare(run_dir, config.batches))
        if run_dir is config.runs[0]:
            print(f"{'run':40} {'':8}   fast-plain  fast-float64  plain-float64")
        for name, row in (("median", np.median(differences, 0)), ("largest", differences.max(0))):
            print(f"{run_dir.name:40} {name:8} " + "  ".join(f"{value:12.1e}" for value in row))


if __name__ == "__main__":
    sys.exit(main())
