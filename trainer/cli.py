"""`lan-train`: read the flags, refuse what cannot be, then hand over to `trainer.runs.session`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import zip_longest
from pathlib import Path

from envs.command import run_command
from envs.errors import InputError
from envs.make import env_spec, resolve_backend
from trainer.config import FILE_NAME, TrainConfig, check_resumed, learner_name, load_config
from trainer.learning.algorithms import types_to_split

DESCRIPTION = (
    "Train a team on a SMAC map. Checkpoints, metrics.jsonl and TensorBoard events go to a run directory; "
    "lan-export turns its run.pt into the file that agents load."
)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 done or stopped on request, 1 diverged, 2 bad input."""
    words = list(sys.argv[1:] if argv is None else argv)
    return run_command(
        TrainConfig, train, prog="lan-train", description=DESCRIPTION, argv=words,
        default=lambda: resumed_defaults(words),
    )  # fmt: skip


def resumed_defaults(words: Sequence[str]) -> TrainConfig | None:
    """With `--resume DIR` among the flags, the run's own settings take the place of the defaults."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word == "--resume" or word.startswith("--resume="):
            run_dir = Path(following if word == "--resume" else word.removeprefix("--resume="))
            return replace(load_config(run_dir), resume=run_dir, run_dir=run_dir)
    return None


def train(config: TrainConfig) -> int:
    """Run or resume."""
    if not config.map:
        raise InputError(
            "say which map to learn, e.g. --map 3m, or which run to go on with, --resume RUN_DIR"
        )
    config = config.resolved()
    env_spec(config.environment)
    types_to_split(config.sharing, config.environment)
    backend = resolve_backend(config.env, config.environment)
    learner = learner_name(config.algorithm, config.sharing)
    run_dir = config.run_dir or Path("runs") / f"{config.map}-{learner}-seed{config.seed}"
    if config.resume is not None:
        check_resumed(load_config(config.resume).resolved(), config)
        run_dir = config.resume
    elif (run_dir / FILE_NAME).exists():
        raise InputError(
            f"{run_dir} already holds a run: go on with it by --resume {run_dir}, or choose another --run-dir"
        )
    from trainer.runs.session import train_in

    return train_in(run_dir, config, backend)


if __name__ == "__main__":
    sys.exit(main())
