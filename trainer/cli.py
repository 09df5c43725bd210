"""`lan-train`: read and check the flags, then call `trainer.runs.session`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import zip_longest

from envs.command import run_command
from envs.flags import path_of
from trainer.config import TrainConfig
from trainer.runs.plan import continued, plan_run

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
    """The settings of the run that `--resume DIR` names, in place of the defaults; None without that flag."""
    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word == "--resume" or word.startswith("--resume="):
            run_dir = path_of(following if word == "--resume" else word.removeprefix("--resume="))
            return continued(run_dir)
    return None


def train(config: TrainConfig) -> int:
    """Plan and train, new or resumed."""
    plan = plan_run(config)
    from trainer.runs.session import watch

    return watch(plan)


if __name__ == "__main__":
    sys.exit(main())
