"""Whether LAN's fast update equals the plain one on a real run's weights and replay.

    python -m benchmarks.same_update runs/3m-lan-seed0

Takes batches from the run's replay and computes the gradient three ways at the run's weights: fast, plain
(`benchmarks.plain_lan`), and plain in float64. Prints how far they are apart, relative to the gradient.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import torch
import tyro
from torch import Tensor, nn

from benchmarks.plain_lan import Batch, Lan, lan_loss
from envs.command import run_command
from envs.errors import InputError
from envs.make import env_spec
from trainer.learning.batch import EpisodeBatch
from trainer.learning.lan import LanLearner
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


def fast_gradient(learner: LanLearner, batch: EpisodeBatch) -> Tensor:
    """The gradient that `lan-train` computes, in all parameters end to end."""
    return flat(learner.loss(batch)[0], learner.parameters)


def plain_gradient(online: Lan, target: Lan, batch: Batch, gamma: float) -> Tensor:
    """The gradient that the page computes, in the same order."""
    return flat(lan_loss(online, target, batch, gamma), list(online.parameters()))


def flat(loss: Tensor, parameters: list[nn.Parameter]) -> Tensor:
    """The gradient of a loss, end to end, in float64."""
    return torch.cat([part.flatten() for part in torch.autograd.grad(loss, parameters)]).double()


def padded(batch: EpisodeBatch) -> Batch:
    """Packed rows as the page has them: padded episodes and a mask."""
    B, T = batch.n_episodes, len(batch.row_counts) - 1
    rows, real = torch.zeros(B, T + 1, dtype=torch.long), torch.zeros(B, T + 1, dtype=torch.bool)
    starts = np.cumsum((0, *batch.row_counts))
    for t, count in enumerate(batch.row_counts):
        rows[:count, t] = torch.arange(count) + int(starts[t])
        real[:count, t] = True
    steps = (rows[:, 1:] - B).clamp(min=0)  # the row of each step's reward
    return Batch(
        obs=batch.obs[rows],
        state=batch.state[rows],
        avail_actions=batch.avail_actions[rows],
        action=batch.last_action[rows][:, 1:].clamp(min=0),
        reward=batch.reward[steps],
        terminated=batch.terminated[steps],
        mask=real[:, 1:].float(),
    )


def in_double(batch: Batch) -> Batch:
    """The same batch in float64."""
    return Batch(*(x.double() if x.is_floating_point() else x for x in batch))


def compare(run_dir: Path, batches: int) -> list[list[float]]:
    """For each batch, relative: fast against plain, fast against float64, plain against float64."""
    config = load_config(run_dir)
    if config.algorithm != "lan" or config.sharing != "all":
        raise InputError(
            f"{run_dir} is a run of {config.algorithm}, --sharing {config.sharing}: only lan's are compared"
        )
    spec = env_spec(config.environment)
    found = RunDirectory(run_dir, config.keep_checkpoints).find(lambda: make_replay(config, spec))
    learner = LanLearner(spec, learner_settings(config), torch.device("cpu"))
    learner.load_state_dict(found.checkpoint.learner)
    online, target = Lan(spec), Lan(spec)
    for name in ("advantage", "value"):
        getattr(online, name).load_state_dict(learner.parts[name].state_dict())
        getattr(target, name).load_state_dict(learner.targets[name].state_dict())
    exact_nets = copy.deepcopy(online).double(), copy.deepcopy(target).double()
    rng, rows = np.random.default_rng(0), list[list[float]]()
    for _ in range(batches):
        batch = found.replay.sample(rng, config.batch_episodes)
        plain_batch = padded(batch)
        fast = fast_gradient(learner, batch)
        plain = plain_gradient(online, target, plain_batch, config.gamma)
        exact = plain_gradient(*exact_nets, in_double(plain_batch), config.gamma)
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
