"""The clocks of a run: how far it is, when the next thing is due, and how the evaluations went."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field, fields
from typing import Any

from envs.text import one_line
from trainer.config import ResolvedConfig, TrainConfig


@dataclass
class Clocks:
    """What a run counts; the learner counts its updates itself.

    env_steps counts steps of finished episodes; pending_updates are gradient updates owed for episodes that
    were already collected; win_rate is that of the last evaluation, win_rate_before that of the one before;
    wall_before_s and processor_before_s are the seconds of earlier sittings.
    """

    env_steps: int = 0
    episodes: int = 0
    pending_updates: int = 0
    next_eval_steps: int = 0
    next_log_steps: int = 0
    evaluated_at_steps: int = -1
    best_win_rate: float = -1.0
    win_rate: float | None = None
    win_rate_before: float | None = None
    loss: float | None = None
    wall_before_s: float = 0.0
    processor_before_s: float = 0.0
    started: float = field(default_factory=time.monotonic)
    processor_started: float = field(default_factory=time.process_time)

    @property
    def wall_s(self) -> float:
        """Seconds spent on this run, earlier sittings included."""
        return self.wall_before_s + time.monotonic() - self.started

    @property
    def is_best(self) -> bool:
        """Whether no evaluation was better than the one of this very step; a tie is the later one's."""
        return self.evaluated_at_steps == self.env_steps > 0 and self.win_rate == self.best_win_rate

    @property
    def processor_s(self) -> float:
        """Processor seconds that this process spent on this run, all threads, earlier sittings included."""
        return self.processor_before_s + time.process_time() - self.processor_started

    def count(self, length_steps: int) -> None:
        """Count a finished episode."""
        self.episodes += 1
        self.env_steps += length_steps

    def updates_due(self, n_episodes: int, config: ResolvedConfig) -> int:
        """Updates that the last `n_episodes` are worth; parts of an update wait until they make a whole."""
        counts = (self.episodes - n_episodes, self.episodes)
        before, now = (math.floor(count * config.updates_per_episode) for count in counts)
        return now - before

    def at_end(self, config: TrainConfig) -> bool:
        """Whether every step was played, or the run was good enough twice."""
        wanted, rates = config.until_win_rate, (self.win_rate_before, self.win_rate)
        is_good = wanted is not None and all(rate is not None and rate >= wanted for rate in rates)
        return self.env_steps >= config.steps or is_good

    def all_done(self, config: TrainConfig) -> bool:
        """Whether nothing is left to do: at the end, all learned, the end evaluated."""
        return self.at_end(config) and not self.pending_updates and self.evaluated_at_steps >= self.env_steps

    def state_dict(self) -> dict[str, Any]:
        """Plain data; of wall clock and processor the seconds so far."""
        so_far = {"wall_before_s": self.wall_s, "processor_before_s": self.processor_s}
        return {name: getattr(self, name) for name in SAVED} | so_far

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned; ValueError or KeyError when it is something else."""
        state = {**IN_OLDER_RUNS, **state}
        if state.get("good_evaluations", 0) >= 2:  # which earlier versions counted
            state["win_rate_before"] = state["win_rate"]
        for name in SAVED:
            value, kinds = state[name], (float, int) if name in REALS else (int,)
            if type(value) not in kinds and not (value is None and getattr(Clocks, name, 0) is None):
                raise ValueError(f"its clock {name} shows {brief(value)}")
            setattr(self, name, value)


IN_OLDER_RUNS = {"processor_before_s": 0.0, "win_rate_before": None}
"""Clocks that earlier versions did not have."""
REALS = ("best_win_rate", "win_rate", "win_rate_before", "loss", "wall_before_s", "processor_before_s")
SAVED = tuple(field.name for field in fields(Clocks) if not field.name.endswith("started"))


def brief(value: object) -> str:
    """A value for an error: plain ones as they are, others, which may be huge, by their type."""
    return one_line(repr(value), 60) if isinstance(value, str | int | float | None) else type(value).__name__
