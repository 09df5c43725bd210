"""A training run: collect episodes, learn from replay, evaluate, checkpoint, until the steps are done.

Everything the next step depends on is in `RunState`, the learner and the replay, and all three are in the
checkpoint: a run that was killed and resumed writes what the undisturbed run writes.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch

from envs.types import MultiAgentEnv
from trainer.checkpoint import FILE_NAME, Checkpoint, save_checkpoint
from trainer.config import TrainConfig
from trainer.learner import Learner
from trainer.metrics import MetricsWriter, Window
from trainer.replay import ReplayBuffer
from trainer.rollout import EpisodeStats, collect, evaluate
from trainer.segments import ReplaySegments

BEST_NAME = "best.pt"


class DivergedError(Exception):
    """The loss is no longer a finite number."""


class Reporter(Protocol):
    """Who shows a run to the person watching; records are the metrics' lines."""

    def progress(self, state: RunState, epsilon: float) -> None: ...

    def record(self, record: dict[str, Any]) -> None: ...


@dataclass
class RunState:
    """The clocks of a run and whatever else is neither network nor replay.

    env_steps counts steps of finished episodes; pending_updates are gradient updates owed for episodes that
    were already collected.
    """

    env_steps: int = 0
    episodes: int = 0
    pending_updates: int = 0
    next_eval_steps: int = 0
    next_log_steps: int = 0
    evaluated_at_steps: int = -1
    evaluations: int = 0
    good_evaluations: int = 0
    best_win_rate: float = -1.0
    win_rate: float | None = None
    loss: float | None = None
    metrics_lines: int = 0
    wall_s: float = 0.0
    window_sums: dict[str, float] = field(default_factory=dict)
    window_counts: dict[str, int] = field(default_factory=dict)
    rng: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


class TrainingRun:
    """One run in one directory; `run()` returns when the steps are done or somebody asked to stop."""

    def __init__(
        self,
        config: TrainConfig,
        backend: str,
        run_dir: Path,
        env: MultiAgentEnv,
        eval_env: MultiAgentEnv,
        learner: Learner,
        project_version: str,
        resumed: Checkpoint | None = None,
    ) -> None:
        self.config, self.backend, self.run_dir = config.resolved(), backend, run_dir
        self.env, self.eval_env, self.learner = env, eval_env, learner
        self.project_version = project_version
        self.stop_requested = False
        self.wall_split_s = dict.fromkeys(("collect", "learn", "evaluate", "checkpoint"), 0.0)
        self.rng = np.random.default_rng([config.seed, 1])
        self.state = RunState()
        self.window = Window()
        self.replay = ReplayBuffer(
            config.replay_episodes, env.spec.n_actions, bootstrap_on_timeout=config.bootstrap_on_timeout
        )
        self.segments = ReplaySegments(run_dir / "replay")
        if resumed is not None:
            self._restore(resumed)
        self.metrics = MetricsWriter(
            run_dir, self.state.metrics_lines, purge_step=self.state.env_steps if resumed else None
        )
        self.wall_before_s = self.state.wall_s
        self._started = time.monotonic()

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.learner.load_state_dict(checkpoint.learner)
        self.state = RunState(**checkpoint.trainer)
        self.rng.bit_generator.state = json.loads(self.state.rng)
        self.window.sums = dict(self.state.window_sums)
        self.window.counts = dict(self.state.window_counts)
        self.segments.load(self.replay, self.state.episodes)
        self.env.next_episode = self.state.episodes
        self.eval_env.next_episode = self.state.evaluations * self.config.eval_episodes

    @property
    def wall_s(self) -> float:
        """Seconds spent on this run, earlier sittings included."""
        return self.wall_before_s + time.monotonic() - self._started

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to do."""
        return self.state.env_steps >= self.config.steps or self.state.good_evaluations >= 2

    def run(self, reporter: Reporter) -> None:
        """Train until finished or `stop_requested`; leaves a checkpoint either way.

        DivergedError when the loss is not finite; the last checkpoint then stays as it is.
        """
        while not (self.finished and self.state.pending_updates == 0) and not self.stop_requested:
            if self.state.pending_updates == 0 and self.state.env_steps >= self.state.next_eval_steps:
                self._evaluate(reporter)
                continue  # this evaluation may have been the last thing to do
            if self.state.pending_updates == 0:
                self._collect()
            self._learn()
            if self.state.pending_updates == 0 and self.state.env_steps >= self.state.next_log_steps:
                self._log(reporter)
            reporter.progress(self.state, self.config.epsilon(self.state.env_steps))
        if not self.stop_requested and self.state.evaluated_at_steps < self.state.env_steps:
            self._evaluate(reporter)
        else:
            self.checkpoint()

    def close(self) -> None:
        """Close the files and the environments."""
        self.metrics.close()
        self.env.close()
        self.eval_env.close()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.wall_split_s[part] += time.perf_counter() - start

    def _collect(self) -> None:
        with self._timed("collect"):
            epsilon = self.config.epsilon(self.state.env_steps)
            episodes, stats = collect(self.env, self.learner.advantage, epsilon, self.rng)
            for episode, stat in zip(episodes, stats, strict=True):
                self.replay.insert(episode)
                self.state.episodes += 1
                self.state.env_steps += stat.length_steps
                for name, value in means([stat]).items():
                    self.window.add(name, value)
            if len(self.replay) >= (self.config.first_update_episodes or 0):
                self.state.pending_updates = len(episodes) * (self.config.updates_per_episode or 0)

    def _learn(self) -> None:
        with self._timed("learn"):
            while self.state.pending_updates and not self.stop_requested:
                batch = self.replay.sample(self.rng, self.config.batch_episodes)
                result = {name: float(value) for name, value in self.learner.update(batch).items()}
                if not math.isfinite(result["loss"]) or not math.isfinite(result["grad_norm"]):
                    saved = self.run_dir / "diverged-batch.pt"
                    torch.save(vars(batch), saved)
                    raise DivergedError(
                        f"update {self.learner.updates} gave loss {result['loss']} and gradient norm "
                        f"{result['grad_norm']}; its batch is in {saved}, the last good checkpoint in "
                        f"{self.run_dir / FILE_NAME}"
                    )
                self.state.pending_updates -= 1
                self.state.loss = result["loss"]
                for name, value in result.items():
                    self.window.add(name, value)

    def _clocks(self, kind: str) -> dict[str, Any]:
        state = self.state
        return {
            "kind": kind,
            "env_steps": state.env_steps,
            "episodes": state.episodes,
            "updates": self.learner.updates,
            "epsilon": self.config.epsilon(state.env_steps),
        }

    def _write(self, record: dict[str, Any], reporter: Reporter) -> None:
        record["wall_s"] = round(self.wall_s, 3)
        self.metrics.write(record)
        reporter.record(record)

    def _log(self, reporter: Reporter) -> None:
        self._write(self._clocks("train") | self.window.take(), reporter)
        interval = self.config.log_interval_steps
        self.state.next_log_steps = (self.state.env_steps // interval + 1) * interval

    def _evaluate(self, reporter: Reporter) -> None:
        """Evaluate, write the result and a checkpoint; keep a copy of the checkpoint that won most."""
        state, config = self.state, self.config
        with self._timed("evaluate"):
            stats = evaluate(self.eval_env, self.learner.advantage, config.eval_episodes)
        result = means(stats)
        state.evaluations += 1
        state.evaluated_at_steps = state.env_steps
        state.next_eval_steps = (
            state.env_steps // config.eval_interval_steps + 1
        ) * config.eval_interval_steps
        state.win_rate = result["win_rate"]
        good = config.until_win_rate is not None and state.win_rate >= config.until_win_rate
        state.good_evaluations = state.good_evaluations + 1 if good else 0
        self._write(self._clocks("evaluation") | result, reporter)
        is_best = state.win_rate >= state.best_win_rate and state.env_steps > 0
        if is_best:
            state.best_win_rate = state.win_rate
        self.checkpoint()
        if is_best:
            partial = self.run_dir / f"{BEST_NAME}.partial"
            shutil.copyfile(self.run_dir / FILE_NAME, partial)
            partial.replace(self.run_dir / BEST_NAME)

    def checkpoint(self) -> None:
        """Write replay, metrics and `run.pt`, in this order: the last one makes the others count."""
        with self._timed("checkpoint"):
            self.segments.append(self.replay)
            self.metrics.flush()
            state = self.state
            state.metrics_lines = self.metrics.lines
            state.wall_s = self.wall_s
            state.rng = json.dumps(self.rng.bit_generator.state)
            state.window_sums, state.window_counts = dict(self.window.sums), dict(self.window.counts)
            save_checkpoint(
                self.run_dir / FILE_NAME,
                Checkpoint(
                    spec=self.env.spec,
                    algorithm=self.config.algorithm,
                    backend=self.backend,
                    config=self.config.to_dict(),
                    env_steps=state.env_steps,
                    episodes=state.episodes,
                    updates=self.learner.updates,
                    win_rate=state.win_rate,
                    project_version=self.project_version,
                    learner=self.learner.state_dict(),
                    trainer=state.to_dict(),
                ),
            )


def means(stats: list[EpisodeStats]) -> dict[str, float]:
    """Win rate, mean return and mean length in steps."""
    return {
        "win_rate": sum(stat.won for stat in stats) / len(stats),
        "return_mean": sum(stat.episode_return for stat in stats) / len(stats),
        "episode_length_steps": sum(stat.length_steps for stat in stats) / len(stats),
    }
