"""`lan-train`: read and check the flags, then call `trainer.runs.session`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from itertools import zip_longest
from typing import TYPE_CHECKING

from envs.command import run_command
from envs.console import patient_output
from envs.stopping import StopWish, stop_wish
from trainer.config import TrainConfig

if TYPE_CHECKING:
    from trainer.runs.claim import Claim

DESCRIPTION = (
    "Train a team on a SMAC map. Checkpoints, metrics.jsonl and TensorBoard events go to a run directory; "
    "lan-export turns its run.pt into the file that agents load."
)


def main(argv: Sequence[str] | None = None, claim: Claim | None = None) -> int:
    """The command; returns its exit code: 0 done or stopped on request, 1 diverged or not saved, 2 bad input.

    128 and a signal's number where that came before training, or was a second Ctrl-C that ends it. It trains
    on where nobody can read what it prints. `claim`: the run directory's, if the caller holds it.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    with stop_wish() as stop, patient_output("lan-train"):
        return run_command(
            TrainConfig, lambda config: train(config, stop, claim), prog="lan-train",
            description=DESCRIPTION, argv=words, default=lambda: resumed_defaults(words), stop=stop,
        )  # fmt: skip


def resumed_defaults(words: Sequence[str]) -> TrainConfig | None:
    """The settings of the run that `--resume DIR` names, in place of the defaults; None without that flag."""
    from envs.flags import path_of
    from trainer.runs.plan import continued

    for word, following in zip_longest(words, words[1:], fillvalue=""):
        if word == "--resume" or word.startswith("--resume="):
            run_dir = path_of(following if word == "--resume" else word.removeprefix("--resume="))
            return continued(run_dir)
    return None


def train(config: TrainConfig, stop: StopWish, claim: Claim | None = None) -> int:
    """Plan and train, new or resumed."""
    from trainer.runs.plan import plan_run

    plan = plan_run(config)
    from trainer.runs.session import watch

    return watch(plan, stop, claim)


if __name__ == "__main__":
    sys.exit(main())
