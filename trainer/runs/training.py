"""Training from Python: one function, a callback per evaluation, and a result."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import InputError
from trainer.config import TrainConfig
from trainer.runs.assembly import assemble
from trainer.runs.clocks import Clocks
from trainer.runs.config_file import RUN_NAME
from trainer.runs.plan import continued, plan_run


@dataclass(frozen=True)
class Evaluation:
    """The results of an evaluation's greedy, decentralised episodes, and when it took place."""

    env_steps: int
    episodes: int
    updates: int
    win_rate: float
    return_mean: float
    length_mean_steps: float


@dataclass(frozen=True)
class TrainResult:
    """How a run ended: `lan-export` takes its `checkpoint`; `win_rate` is the last evaluation's."""

    run_dir: Path
    checkpoint: Path
    env_steps: int
    win_rate: float | None
    finished: bool


def train(config: TrainConfig, *, on_evaluation: Callable[[Evaluation], None] | None = None) -> TrainResult:
    """Train a team as `lan-train` does, without a display; `on_evaluation` is called after each evaluation.

    An evaluation is saved before its call, so a callback may read the checkpoint, or raise to end the run;
    after Ctrl-C, `resume` goes on from the last evaluation. No other process may train in the directory.
    Seeds torch and gives it one thread; the learner has its own threads.
    InputError when settings cannot be used or the end could not be saved; DivergedError when the loss is not
    finite. A failure that does not stop the run is a RuntimeWarning.
    """
    if config.resume is not None:
        raise InputError("train begins a run; trainer.resume(RUN_DIR) goes on with one")
    return run_to_end(config, on_evaluation)


def resume(
    run_dir: Path | str, *, on_evaluation: Callable[[Evaluation], None] | None = None, **changes: Any
) -> TrainResult:
    """Go on with the run in a directory by its own settings, exactly where its last checkpoint left it.

    `changes` are fields of `TrainConfig` that may differ, such as `steps=3_000_000`. A map whose name is
    code, such as `pettingzoo:MODULE`, must be among them: it is not taken from a file. Errors as `train`.
    """
    return run_to_end(continued(Path(run_dir), **changes), on_evaluation)


def run_to_end(config: TrainConfig, on_evaluation: Callable[[Evaluation], None] | None) -> TrainResult:
    """Plan and train, new or resumed."""
    plan = plan_run(config)
    with assemble(plan) as run:
        run.run(CallbackReporter(on_evaluation))
    if not run.is_saved:
        raise InputError(f"the end of this run is not saved: the last checkpoint in {plan.run_dir} failed")
    clocks = run.clocks
    return TrainResult(plan.run_dir, plan.run_dir / RUN_NAME, clocks.env_steps, clocks.win_rate, run.finished)


class CallbackReporter:
    """Calls a function with each evaluation."""

    def __init__(self, on_evaluation: Callable[[Evaluation], None] | None) -> None:
        self.on_evaluation = on_evaluation

    def progress(self, clocks: Clocks, epsilon: float) -> None:
        """Nothing between records."""

    def record(self, record: dict[str, Any]) -> None:
        """Call the function when the record is an evaluation."""
        if record["kind"] == "evaluation" and self.on_evaluation is not None:
            self.on_evaluation(
                Evaluation(
                    env_steps=record["env_steps"],
                    episodes=record["episodes"],
                    updates=record["updates"],
                    win_rate=record["win_rate"],
                    return_mean=record["return_mean"],
                    length_mean_steps=record["episode_length_steps"],
                )
            )

    def warn(self, text: str) -> None:
        """Warn without stopping the run."""
        warnings.warn(text, RuntimeWarning, stacklevel=2)
