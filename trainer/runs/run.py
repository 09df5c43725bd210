"""A training run: collect episodes, learn from replay, evaluate, checkpoint, until the steps are done.

Everything the next step depends on is in replay or in one of the run's parts, and each part gives its state
to the checkpoint: a run that was killed and resumed writes the same as an undisturbed run.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import torch

from envs.errors import InputError
from envs.outcomes import battles_of
from envs.text import one_line
from envs.types import EnvSpec, MultiAgentEnv
from envs.version import project_version
from trainer.config import ResolvedConfig
from trainer.learning.learner import Learner
from trainer.playing.collector import make_collector
from trainer.playing.rollout import evaluate
from trainer.replay.buffer import ReplayBuffer
from trainer.runs.checkpoint import Checkpoint, GeneratorState, Stateful
from trainer.runs.claim import Claim
from trainer.runs.clocks import Clocks
from trainer.runs.config_file import BEST_NAME
from trainer.runs.directory import Found, RunDirectory
from trainer.runs.failures import diverged, draw, gpu_is_full, learns_nothing
from trainer.runs.grid import number_of
from trainer.runs.metrics import MetricsWriter, Window, means
from trainer.runs.plan import resume_words


class Reporter(Protocol):
    """Hears of a run while it trains: a display, a callback, a test."""

    def progress(self, clocks: Clocks, epsilon: float) -> None:
        """Something happened."""
        ...

    def record(self, record: dict[str, Any]) -> None:
        """A line of metrics was written; where it is an evaluation's, its checkpoint as well."""
        ...

    def warn(self, text: str) -> None:
        """Something failed, and the run goes on."""
        ...


class TrainingRun(contextlib.AbstractContextManager["TrainingRun"]):
    """One run in one directory; `run()` returns when the steps are done or it was asked to stop.

    It owns its environments and its claim: closing the run closes them, and so does a failure to make it.
    """

    def __init__(
        self,
        config: ResolvedConfig,
        backend: str,
        directory: RunDirectory,
        env: MultiAgentEnv,
        eval_env: MultiAgentEnv,
        learner: Learner,
        found: Found | None = None,
        claim: Claim | None = None,
    ) -> None:
        self.config, self.backend, self.directory = config, backend, directory
        self.env, self.eval_env, self.learner = env, eval_env, learner
        self.notes = [] if claim is None or claim.warning is None else [claim.warning]
        self.notes += [warning for warning in [learns_nothing(config)] if warning]
        self.stop_requested = False
        self.is_saved = False  # whether the newest checkpoint holds everything
        self.wall_split_s = dict.fromkeys(("collect", "learn", "evaluate", "checkpoint"), 0.0)
        self.rng = np.random.default_rng([config.seed, 1])
        self.clocks, self.window = Clocks(), Window()
        self._replay_is_stuck = False  # in memory, since the disk does not take it
        with contextlib.ExitStack() as opened:
            if claim is not None:
                opened.enter_context(claim)
            opened.callback(eval_env.close)
            opened.callback(env.close)
            self.replay = make_replay(config, env.spec) if found is None else found.replay
            resumed_at_steps = None if found is None else found.checkpoint.env_steps
            try:
                self.metrics = MetricsWriter(directory.path, resumed_at_steps)
            except OSError as error:
                raise InputError(f"{directory.path} cannot be written: {error.strerror or error}") from None
            opened.callback(self.metrics.close)
            self.collector = make_collector(config, backend, env, learner.advantage, self.rng)
            opened.callback(self.collector.close)
            self.parts: dict[str, Stateful] = {
                "clocks": self.clocks,
                "window": self.window,
                "metrics": self.metrics,
                "rng": GeneratorState(self.rng),
                "collector": self.collector,
                "learner": learner,
            }
            if found is not None:
                self._restore(found)
            self._opened = opened.pop_all()

    def _restore(self, found: Found) -> None:
        try:
            for name, part in self.parts.items():
                part.load_state_dict(found.checkpoint.states[name])
        except Exception as error:  # of torch, numpy and Python, for states that are not ours
            raise InputError(f"{found.path} does not fit this run: {one_line(repr(error), 200)}") from None
        steps = f"{self.clocks.env_steps:,} steps"
        self.notes += [f"set aside a checkpoint, going on from {steps}: {d}" for d in found.unusable.values()]
        if self.metrics.missing:
            self.notes.append(f"{self.metrics.path} has lost {self.metrics.missing} lines before {steps}")
        self.env.next_episode = self.clocks.episodes

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the collector, the files and the environments, also when closing one of them fails."""
        self._opened.close()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to play."""
        return self.clocks.at_end(self.config)

    def run(self, reporter: Reporter) -> None:
        """Train until finished or `stop_requested`; leaves a checkpoint either way.

        DivergedError when the loss is not finite; the last checkpoint then stays as it is. An error of the
        environment, or of a file of replay, leaves a checkpoint of all that was learned before it.
        """
        for note in self.notes:
            reporter.warn(note)
        while not (self.finished and self.clocks.pending_updates == 0) and not self.stop_requested:
            if self.clocks.pending_updates == 0 and self.clocks.env_steps >= self.clocks.next_eval_steps:
                self._evaluate(reporter)
                continue  # this evaluation may have been the last thing to do
            if self.clocks.pending_updates == 0:
                self._collect(reporter)
            self._learn(reporter)
            if self.clocks.pending_updates == 0 and self.clocks.env_steps >= self.clocks.next_log_steps:
                self._log(reporter)
            reporter.progress(self.clocks, self.config.epsilon(self.clocks.env_steps))
        if not self.stop_requested and self.clocks.evaluated_at_steps < self.clocks.env_steps:
            self._evaluate(reporter)
        else:
            self.checkpoint(reporter)

    @contextlib.contextmanager
    def _timed(self, part: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.wall_split_s[part] += time.perf_counter() - start

    @contextlib.contextmanager
    def _saved_if_it_fails(self, reporter: Reporter) -> Iterator[None]:
        """Save before an error of the block leaves it; until its end it changes random numbers alone."""
        before = self.rng.bit_generator.state
        try:
            yield
        except Exception:
            self.rng.bit_generator.state = before
            if self.clocks.env_steps:
                self.checkpoint(reporter)
            raise

    def _collect(self, reporter: Reporter) -> None:
        clocks, config = self.clocks, self.config
        with self._timed("collect"):
            with self._saved_if_it_fails(reporter):
                episodes, stats = self.collector.take(config.exploration(clocks.env_steps), clocks.episodes)
                self.replay.insert(*episodes)
            for stat in stats:
                clocks.count(stat.length_steps)
                for name, value in means([stat]).items():
                    self.window.add(name, value)
            if len(self.replay) >= config.first_update_episodes:
                clocks.pending_updates = clocks.updates_due(len(episodes), config)
            self.collector.prepare(
                config.exploration(clocks.env_steps), clocks.episodes, begin=not self.finished
            )
        if self.replay.memory_bytes > config.replay_memory * 2**30:
            with self._timed("checkpoint"):
                self._spill(reporter)

    def _spill(self, reporter: Reporter) -> None:
        try:
            self.directory.segments.spill(self.replay)
            self._replay_is_stuck = False
        except OSError as error:
            if not self._replay_is_stuck:
                reporter.warn(f"replay stays in memory until it can be written: {error}")
            self._replay_is_stuck = True

    def _learn(self, reporter: Reporter) -> None:
        with self._timed("learn"):
            while self.clocks.pending_updates and not self.stop_requested:
                with self._saved_if_it_fails(reporter):
                    batch = draw(self.replay, self.rng, self.config.batch_episodes, reporter.warn)
                update, folder = self.learner.updates + 1, self.directory.path
                try:
                    result = {name: float(value) for name, value in self.learner.update(batch).items()}
                except torch.cuda.OutOfMemoryError:
                    raise gpu_is_full(batch, update, resume_words(folder, self.config.map)) from None
                if not math.isfinite(result["loss"]) or not math.isfinite(result["grad_norm"]):
                    raise diverged(batch, update, result, folder)
                self.clocks.pending_updates -= 1
                self.clocks.loss = result["loss"]
                for name, value in result.items():
                    self.window.add(name, value)

    def _write(self, kind: str, numbers: dict[str, Any]) -> dict[str, Any]:
        clocks = self.clocks
        record = {
            "kind": kind,
            "env_steps": clocks.env_steps,
            "episodes": clocks.episodes,
            "updates": self.learner.updates,
            "epsilon": self.config.epsilon(clocks.env_steps),
            **numbers,
            "wall_s": round(clocks.wall_s, 3),
            "wall_processor_s": round(clocks.processor_s, 3),
        }
        self.metrics.write(record)
        return record

    def _log(self, reporter: Reporter) -> None:
        record = self._write("train", self.window.take())
        interval = self.config.log_interval_steps
        self.clocks.next_log_steps = (self.clocks.env_steps // interval + 1) * interval
        reporter.record(record)

    def _evaluate(self, reporter: Reporter) -> None:
        """Evaluate, write the result and a checkpoint; the one that won most is also kept as `best.pt`."""
        clocks, config = self.clocks, self.config
        self.eval_env.next_episode = number_of(clocks.env_steps, vars(config)) * config.eval_episodes
        with self._timed("evaluate"), self._saved_if_it_fails(reporter):
            stats = evaluate(self.eval_env, self.learner.deployed, config.eval_episodes)
        result = means(stats)
        clocks.evaluated_at_steps = clocks.env_steps
        interval = config.eval_interval_steps
        clocks.next_eval_steps = (clocks.env_steps // interval + 1) * interval
        clocks.win_rate_before, clocks.win_rate = clocks.win_rate, result["win_rate"]
        record = self._write("evaluation", {**result, "battles": battles_of(stats)})
        self.checkpoint(reporter, best=clocks.win_rate >= clocks.best_win_rate and clocks.env_steps > 0)
        reporter.record(record)  # last, so that a callback that raises costs nothing

    def checkpoint(self, reporter: Reporter, *, best: bool = False) -> None:
        """Write one; when the disk says no, warn and leave the last one as it is."""
        directory = self.directory
        with self._timed("checkpoint"):
            self.is_saved, before = False, self.clocks.best_win_rate
            if best:
                self.clocks.best_win_rate = self.clocks.win_rate or 0.0
            try:
                directory.save(self._snapshot(), self.replay, self.metrics)
                self.is_saved = True
                if best:
                    directory.keep_best()
            except OSError as error:
                self.clocks.best_win_rate = before
                steps, saved = self.clocks.env_steps, directory.saved_steps
                kept = "there is none yet" if saved is None else f"the one of {saved:,} steps stays"
                missing = f"no checkpoint at {steps:,} steps, {kept}"
                if self.is_saved:
                    missing = f"{BEST_NAME} is not the checkpoint of {steps:,} steps, which won most"
                reporter.warn(
                    f"{missing}: {directory.path} could not be written ({error.strerror or error}); make "
                    "room, the next evaluation tries again"
                )

    def _snapshot(self) -> Checkpoint:
        """The run as it stands."""
        return Checkpoint(
            spec=self.env.spec,
            backend=self.backend,
            config=self.config.to_dict(),
            agent_types=self.learner.advantage.agent_types,
            enemies=self.learner.advantage.enemies,
            project_version=project_version(),
            states={name: part.state_dict() for name, part in self.parts.items()},
        )


def make_replay(config: ResolvedConfig, spec: EnvSpec) -> ReplayBuffer:
    """An empty replay as the settings want it."""
    return ReplayBuffer(
        config.replay_episodes,
        spec.n_actions,
        bootstrap_on_timeout=config.bootstrap_on_timeout,
        dtype=config.replay_dtype,
    )
