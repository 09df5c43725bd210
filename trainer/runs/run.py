"""A training run: collect episodes, learn from replay, evaluate, checkpoint, until the steps are done.

Everything the next step depends on is in `RunState`, the learner and the replay, and all three are in the
checkpoint: a run that was killed and resumed writes what the undisturbed run writes.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from envs.errors import DivergedError, InputError
from envs.outcomes import EpisodeStats, summarise
from envs.types import EnvSpec, MultiAgentEnv
from trainer.config import TrainConfig
from trainer.learning.batch import EpisodeBatch
from trainer.learning.learner import Learner
from trainer.playing.collector import make_collector
from trainer.playing.rollout import evaluate
from trainer.replay.buffer import ReplayBuffer
from trainer.runs.checkpoint import FILE_NAME, Checkpoint
from trainer.runs.directory import Restored, RunDirectory
from trainer.runs.metrics import MetricsWriter, Window
from trainer.runs.state import Reporter, RunState


class TrainingRun:
    """One run in one directory; `run()` returns when the steps are done or somebody asked to stop."""

    def __init__(
        self,
        config: TrainConfig,
        backend: str,
        directory: RunDirectory,
        env: MultiAgentEnv,
        eval_env: MultiAgentEnv,
        learner: Learner,
        project_version: str,
        restored: Restored | None = None,
    ) -> None:
        self.config, self.backend, self.directory = config.resolved(), backend, directory
        self.env, self.eval_env, self.learner = env, eval_env, learner
        self.project_version = project_version
        self.stop_requested = False
        self.is_saved = False  # whether the newest checkpoint holds everything
        self.wall_split_s = dict.fromkeys(("collect", "learn", "evaluate", "checkpoint"), 0.0)
        self.rng = np.random.default_rng([config.seed, 1])
        self.state = RunState()
        self.window = Window()
        self.collector = make_collector(config, backend, env, learner.advantage, self.rng)
        self.replay = make_replay(config, env.spec) if restored is None else restored.replay
        if restored is not None:
            self._restore(restored.checkpoint)
        self.metrics = MetricsWriter(
            directory.path,
            self.state.metrics_lines,
            purge_step=None if restored is None else self.state.env_steps,
        )
        self.wall_before_s = self.state.wall_s
        self._started = time.monotonic()

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.learner.load_state_dict(checkpoint.learner)
        self.state = RunState(**checkpoint.trainer)
        self.rng.bit_generator.state = json.loads(self.state.rng)
        self.window.sums = dict(self.state.window_sums)
        self.window.counts = dict(self.state.window_counts)
        self.collector.load_state_dict(self.state.collector)
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
                self._collect(reporter)
            self._learn()
            if self.state.pending_updates == 0 and self.state.env_steps >= self.state.next_log_steps:
                self._log(reporter)
            reporter.progress(self.state, self.config.epsilon(self.state.env_steps))
        if not self.stop_requested and self.state.evaluated_at_steps < self.state.env_steps:
            self._evaluate(reporter)
        else:
            self.checkpoint(reporter)

    def close(self) -> None:
        """Close the files and the environments."""
        self.collector.close()
        self.metrics.close()
        self.env.close()
        self.eval_env.close()

    @contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.wall_split_s[part] += time.perf_counter() - start

    def _collect(self, reporter: Reporter) -> None:
        state, config = self.state, self.config
        with self._timed("collect"):
            episodes, stats = self.collector.take(config.epsilon(state.env_steps), state.episodes)
            for episode, stat in zip(episodes, stats, strict=True):
                self.replay.insert(episode)
                state.episodes += 1
                state.env_steps += stat.length_steps
                for name, value in means([stat]).items():
                    self.window.add(name, value)
            if len(self.replay) >= (config.first_update_episodes or 0):
                state.pending_updates = len(episodes) * (config.updates_per_episode or 0)
            self.collector.prepare(config.epsilon(state.env_steps), state.episodes, begin=not self.finished)
        if self.replay.memory_bytes > config.replay_memory * 2**30:
            with self._timed("checkpoint"):
                try:
                    self.directory.segments.spill(self.replay)
                except OSError as error:
                    reporter.warn(f"replay stays in memory: it could not be written ({error})")

    def _learn(self) -> None:
        with self._timed("learn"):
            while self.state.pending_updates and not self.stop_requested:
                batch = self.replay.sample(self.rng, self.config.batch_episodes)
                try:
                    result = {name: float(value) for name, value in self.learner.update(batch).items()}
                except torch.cuda.OutOfMemoryError:
                    raise self._gpu_is_full(batch) from None
                if not math.isfinite(result["loss"]) or not math.isfinite(result["grad_norm"]):
                    raise self._diverged(batch, result)
                self.state.pending_updates -= 1
                self.state.loss = result["loss"]
                for name, value in result.items():
                    self.window.add(name, value)

    def _gpu_is_full(self, batch: EpisodeBatch) -> InputError:
        n, folder = batch.n_episodes, self.directory.path
        return InputError(
            f"the GPU ran out of memory at update {self.learner.updates + 1}, on {n} episodes with "
            f"{batch.n_rows:,} observations per agent: train anew with a lower --batch-episodes than {n}, or "
            f"go on from the last checkpoint on the processor: lan-train --resume {folder} --device cpu"
        )

    def _diverged(self, batch: EpisodeBatch, result: dict[str, float]) -> DivergedError:
        path = self.directory.path / "diverged-batch.pt"
        try:
            torch.save(vars(batch), path)
            where = f"is in {path}"
        except (OSError, RuntimeError) as error:
            where = f"could not be written ({error})"
        return DivergedError(
            f"update {self.learner.updates} gave loss {result['loss']} and gradient norm "
            f"{result['grad_norm']}; its batch {where}, the last good checkpoint in "
            f"{self.directory.path / FILE_NAME}"
        )

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
        """Evaluate, write the result and a checkpoint; the one that won most is kept apart as well."""
        state, config = self.state, self.config
        with self._timed("evaluate"):
            stats = evaluate(self.eval_env, self.learner.advantage, config.eval_episodes)
        result = means(stats)
        state.evaluations += 1
        state.evaluated_at_steps = state.env_steps
        interval = config.eval_interval_steps
        state.next_eval_steps = (state.env_steps // interval + 1) * interval
        state.win_rate = result["win_rate"]
        good = config.until_win_rate is not None and state.win_rate >= config.until_win_rate
        state.good_evaluations = state.good_evaluations + 1 if good else 0
        self._write(self._clocks("evaluation") | result, reporter)
        self.checkpoint(reporter, best=state.win_rate >= state.best_win_rate and state.env_steps > 0)

    def checkpoint(self, reporter: Reporter, *, best: bool = False) -> None:
        """Write one; where the disk does not take it, say so and leave the last one as it is."""
        directory = self.directory
        with self._timed("checkpoint"):
            try:
                if best:
                    directory.save_best(self._snapshot())
                    self.state.best_win_rate = self.state.win_rate or 0.0
                directory.save(self._snapshot(), self.replay, self.metrics)
                self.is_saved = True
            except OSError as error:
                self.is_saved = False
                saved = directory.saved_steps
                kept = "there is none yet" if saved is None else f"the one of {saved:,} steps stays"
                reporter.warn(
                    f"no checkpoint at {self.state.env_steps:,} steps, {kept}: {directory.path} could not be "
                    f"written ({error.strerror or error}); make room, the next evaluation tries again"
                )

    def _snapshot(self) -> Checkpoint:
        """The run as it stands."""
        state = self.state
        state.metrics_lines = self.metrics.lines
        state.wall_s = self.wall_s
        state.rng = json.dumps(self.rng.bit_generator.state)
        state.window_sums, state.window_counts = dict(self.window.sums), dict(self.window.counts)
        state.collector = self.collector.state_dict()
        return Checkpoint(
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
        )


def make_replay(config: TrainConfig, spec: EnvSpec) -> ReplayBuffer:
    """An empty replay as the settings want it."""
    return ReplayBuffer(
        config.replay_episodes,
        spec.n_actions,
        bootstrap_on_timeout=config.bootstrap_on_timeout,
        dtype=config.replay_dtype,
    )


def means(stats: list[EpisodeStats]) -> dict[str, float]:
    """Win rate, mean return and mean length in steps, under the names of the metrics."""
    summary = summarise(stats)
    return {
        "win_rate": summary.win_rate,
        "return_mean": summary.return_mean,
        "episode_length_steps": summary.length_mean_steps,
    }
