"""Whatever the disk, the environment or a file of replay refuses for a while costs nothing."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from envs.errors import InputError
from tests.trainer.support.recall_env import RecallEnv
from tests.trainer.support.small_runs import CONFIG, Silent, make_run, train, without_clock
from trainer.replay.buffer import ReplayBuffer
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.directory import RunDirectory
from trainer.runs.metrics import AppendedFile
from trainer.runs.session import print_summary

SHORT = replace(CONFIG, steps=120, eval_interval_steps=30, eval_episodes=4, replay_episodes=20)
SPILLED = replace(SHORT, replay_memory=0.0)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    run_dir = tmp_path_factory.mktemp("undisturbed")
    train(run_dir, SHORT)
    return without_clock(run_dir)


@contextlib.contextmanager
def disk_that_fails(folder: Path, first: int, count: int, number: int) -> Iterator[list[str]]:
    """Have `count` operations on files below `folder` fail, after the `first`; yields those that failed."""
    failed: list[str] = []
    asked = 0

    def around(name: str, real: Callable[..., Any], concerns: Callable[..., bool]) -> Callable[..., Any]:
        def call(*args: Any, **options: Any) -> Any:
            nonlocal asked
            if concerns(*args):
                asked += 1
                if first < asked <= first + count:
                    failed.append(name)
                    raise OSError(number, os.strerror(number))
            return real(*args, **options)

        return call

    def below(path: object, *others: object) -> bool:
        return str(path).startswith(str(folder))

    def open_below(descriptor: int, *others: object) -> bool:
        return below(Path(f"/proc/self/fd/{descriptor}").readlink())

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.fsync", around("fsync", os.fsync, open_below))
        patch.setattr("os.open", around("open", os.open, below))
        patch.setattr("os.link", around("link", os.link, below))
        patch.setattr("pathlib.Path.replace", around("rename", Path.replace, below))
        patch.setattr("pathlib.Path.unlink", around("unlink", Path.unlink, below))
        patch.setattr("pathlib.Path.mkdir", around("mkdir", Path.mkdir, below))
        append = AppendedFile._write
        patch.setattr(AppendedFile, "_write", around("append", append, lambda file: bool(file._pending)))
        yield failed


@settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    first=st.integers(0, 50),
    count=st.integers(1, 12),
    number=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EMFILE]),
    is_spilled=st.booleans(),
)
def test_a_disk_that_refuses_for_a_while_changes_no_line(
    undisturbed: list[str],
    tmp_path_factory: pytest.TempPathFactory,
    first: int,
    count: int,
    number: int,
    is_spilled: bool,
) -> None:
    run_dir, reporter = tmp_path_factory.mktemp("run") / "run", Silent()
    with make_run(run_dir, SPILLED if is_spilled else SHORT) as run:
        with disk_that_fails(run_dir, first, count, number) as failed:
            run.run(reporter)
        is_saved = run.is_saved
    assert without_clock(run_dir) == undisturbed
    if is_saved:
        assert load_checkpoint(run_dir).env_steps == run.clocks.env_steps
    else:  # the last checkpoint met the failure, and the run says so
        assert any("no checkpoint at" in warning for warning in reporter.warnings)
    if not failed:
        assert reporter.warnings == []
    directory = RunDirectory(run_dir, 3)
    if not directory.is_new:  # what was saved can be resumed, to the same lines
        train(run_dir, SHORT, resume=True)
        assert without_clock(run_dir) == undisturbed


class FailsOnce(RecallEnv):
    """An environment that fails at its step number `at`."""

    def __init__(self, n_battles: int, seed: int, at: int) -> None:
        super().__init__(n_battles, seed)
        self.left = at

    def step(self, actions: Any) -> Any:
        self.left -= 1
        if self.left == 0:
            raise LookupError("the game fell over")
        return super().step(actions)


@pytest.mark.parametrize("overlap", ["off", "on"])
@pytest.mark.parametrize("which", ["env", "eval_env"])
def test_an_environment_that_fails_costs_nothing_that_was_learned(
    undisturbed: list[str], tmp_path: Path, overlap: Any, which: str
) -> None:
    config = replace(SHORT, overlap=overlap)
    train(tmp_path / "whole", config)
    run = make_run(tmp_path / "run", config)
    n_battles, seed = (
        (config.envs, config.seed) if which == "env" else (config.eval_episodes, config.seed + 1)
    )
    failing = FailsOnce(n_battles, seed, at=30 if which == "env" else 6)
    setattr(run, which, failing)
    if which == "env":
        run.collector.player.env = failing  # type: ignore[attr-defined]
    with run, pytest.raises(LookupError):
        run.run(Silent())
    assert load_checkpoint(tmp_path / "run").env_steps == run.clocks.env_steps > 0
    train(tmp_path / "run", config, resume=True)
    assert without_clock(tmp_path / "run") == without_clock(tmp_path / "whole")


def test_replay_that_cannot_be_read_for_a_while_is_read_later(
    undisturbed: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.runs.failures.READ_AGAIN_AFTER_S", (0.0, 0.0))
    sample, calls = ReplayBuffer.sample, 0

    def fails_now_and_then(replay: ReplayBuffer, rng: np.random.Generator, n: int) -> Any:
        nonlocal calls
        calls += 1
        if calls % 3:
            rng.random()  # a draw that must not count
            raise OSError(errno.EMFILE, "Too many open files")
        return sample(replay, rng, n)

    monkeypatch.setattr(ReplayBuffer, "sample", fails_now_and_then)
    reporter = Silent()
    with make_run(tmp_path, SPILLED) as run:
        run.run(reporter)
    assert without_clock(tmp_path) == undisturbed
    assert "replay cannot be read now, trying again" in reporter.warnings[0]


def test_replay_that_stays_unreadable_ends_the_run_saved_and_in_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainer.runs.failures.READ_AGAIN_AFTER_S", (0.0,))
    with make_run(tmp_path, SPILLED) as run:
        take, rounds = run.collector.take, 0

        def lose_replay(*args: Any) -> Any:
            nonlocal rounds
            rounds += 1
            if rounds == 8:
                (tmp_path / "replay").rename(tmp_path / "away")
                monkeypatch.setattr(run.directory.segments, "folder", tmp_path / "new")
            return take(*args)

        monkeypatch.setattr(run.collector, "take", lose_replay)
        with pytest.raises(InputError, match=r"replay cannot be read: .*No such file"):
            run.run(Silent())
        assert load_checkpoint(tmp_path).env_steps == run.clocks.env_steps


@pytest.mark.parametrize("first", [0, 2])
def test_the_summary_names_a_checkpoint_only_where_there_is_one_and_how_old_it_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, first: int
) -> None:
    saves, save = 0, RunDirectory.save

    def save_or_fail(directory: RunDirectory, *given: Any) -> None:
        nonlocal saves
        saves += 1
        if saves > first:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(directory, *given)

    monkeypatch.setattr(RunDirectory, "save", save_or_fail)
    with make_run(tmp_path, SHORT) as run:
        run.run(Silent())
        print_summary(run, 0)
        saved = run.directory.saved_steps
    said = capsys.readouterr().out.splitlines()[-1]
    path = tmp_path / "run.pt"
    assert path.exists() is (first > 0)
    assert said == (
        f"checkpoint: {path}, an older one, of {saved:,} steps"
        if first
        else "checkpoint: none could be written"
    )
