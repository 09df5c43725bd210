"""The last checkpoints and the best are kept; a full disk or a damaged file costs little, and is said."""

import errno
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from envs.errors import InputError
from tests.paths import ROOT
from tests.trainer.support.recall_env import RecallEnv
from tests.trainer.support.small_runs import CONFIG, Silent, make_run, train, without_clock
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.directory import RunDirectory
from trainer.runs.metrics import AppendedFile, MetricsWriter, read_metrics
from trainer.runs.run import make_replay

SHORT = replace(CONFIG, steps=600, eval_interval_steps=100, eval_episodes=4, replay_episodes=40)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run_dir = tmp_path_factory.mktemp("finished")
    torch.set_num_threads(1)
    train(run_dir, SHORT)
    return run_dir


def names(run_dir: Path) -> list[str]:
    return sorted(path.name for path in run_dir.iterdir() if not path.name.startswith("events"))


def test_the_last_checkpoints_are_kept_with_the_replay_they_need(finished: Path, tmp_path: Path) -> None:
    assert names(finished) == [
        "best.pt", "metrics.jsonl", "replay", "run-00000400.pt", "run-00000512.pt", "run.pt",
    ]  # fmt: skip
    segments = sorted(path.name for path in (finished / "replay").iterdir())
    assert segments[0] == "episodes-00000052-00000076.npz"  # of 100 episodes the last 40, as of 400 steps
    train(tmp_path, replace(SHORT, keep_checkpoints=1))
    assert names(tmp_path) == ["best.pt", "metrics.jsonl", "replay", "run.pt"]


@pytest.mark.parametrize("damaged", [1, 2])
def test_a_damaged_checkpoint_is_set_aside_and_the_one_before_is_resumed_exactly(
    finished: Path, tmp_path: Path, damaged: int
) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    for name in ("run.pt", "run-00000512.pt")[:damaged]:
        path = run_dir / name
        path.write_bytes(path.read_bytes()[:-1000])
    run = make_run(run_dir, SHORT, resume=True)
    assert run.clocks.env_steps == (512, 400)[damaged - 1]
    run.run(Silent())
    run.close()
    assert without_clock(run_dir) == without_clock(finished)
    one, other = load_checkpoint(run_dir).learner, load_checkpoint(finished).learner
    assert all(torch.equal(one["value"][name], other["value"][name]) for name in other["value"])
    assert (run_dir / "run.damaged").exists()


def test_a_kill_between_the_newest_checkpoint_and_the_best_costs_the_best_nothing(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Killed(BaseException):
        pass

    def killed(directory: RunDirectory) -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(RunDirectory, "keep_best", killed)
        with pytest.raises(Killed):
            train(tmp_path, SHORT)
    assert not (tmp_path / "best.pt").exists()
    with make_run(tmp_path, SHORT, resume=True) as run:
        steps = run.clocks.env_steps
        assert load_checkpoint(tmp_path / "best.pt").env_steps == steps > 0
        run.run(Silent())
    best, of_undisturbed = (load_checkpoint(path / "best.pt") for path in (tmp_path, finished))
    assert (best.env_steps, best.win_rate) == (of_undisturbed.env_steps, of_undisturbed.win_rate)


def test_a_best_checkpoint_that_cannot_be_written_costs_the_newest_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(directory: RunDirectory) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    reporter = Silent()
    with monkeypatch.context() as patch, make_run(tmp_path, SHORT) as run:
        patch.setattr(RunDirectory, "keep_best", full)
        run.run(reporter)
        assert run.is_saved
        assert run.clocks.best_win_rate == -1
    assert load_checkpoint(tmp_path).env_steps >= SHORT.steps
    assert any("best.pt is not the checkpoint of" in text for text in reporter.warnings)
    assert not any("no checkpoint at" in text for text in reporter.warnings)


def test_looking_for_a_checkpoint_changes_no_file(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    (run_dir / "run.pt").write_bytes(b"damaged")
    (run_dir / "replay" / "episodes-00000400-00000404.npz").write_bytes(b"later")
    before = {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()}
    directory = RunDirectory(run_dir, 1)
    found = directory.find(lambda: make_replay(SHORT, RecallEnv(1, 0).spec))
    assert (found.path.name, found.checkpoint.env_steps) == ("run-00000512.pt", 512)
    assert list(found.unusable) == [run_dir / "run.pt"]
    assert {path: path.read_bytes() for path in run_dir.rglob("*") if path.is_file()} == before
    directory.go_back_to(found)
    assert load_checkpoint(run_dir).env_steps == 512
    assert (run_dir / "run.damaged").read_bytes() == b"damaged"
    assert not (run_dir / "replay" / "episodes-00000400-00000404.npz").exists()


def test_replay_and_metrics_are_on_the_disk_before_the_checkpoint_that_counts_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[str] = []

    def fsync(descriptor: int, sync: Callable[[int], None] = os.fsync) -> None:
        synced.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        sync(descriptor)

    monkeypatch.setattr("envs.files.os.fsync", fsync)
    train(tmp_path, SHORT)
    last = f".{max((tmp_path / 'replay').iterdir()).name}.{os.getpid()}.partial"
    assert synced[synced.index(last) :][:6] == [
        last, "replay", "metrics.jsonl", tmp_path.name, f".run.pt.{os.getpid()}.partial", tmp_path.name,
    ]  # fmt: skip


def test_where_files_have_no_second_names_checkpoints_are_copied(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*args: object) -> None:
        raise PermissionError

    monkeypatch.setattr("trainer.runs.directory.os.link", link)
    train(tmp_path, SHORT)
    assert names(tmp_path) == names(finished)
    for path in tmp_path.glob("run-*.pt"):
        assert path.stat().st_nlink == 1
        assert load_checkpoint(path).env_steps == int(path.stem.removeprefix("run-"))


def test_a_damaged_newest_segment_costs_one_checkpoint(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    segment = max((run_dir / "replay").iterdir())
    segment.write_bytes(segment.read_bytes()[:-200])
    train(run_dir, SHORT, resume=True)
    assert without_clock(run_dir) == without_clock(finished)


def test_where_nothing_can_be_resumed_nothing_is_touched(finished: Path, tmp_path: Path) -> None:
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    shutil.rmtree(run_dir / "replay")
    before = names(run_dir)
    with pytest.raises(InputError, match="lacks episodes"):
        make_run(run_dir, SHORT, resume=True)
    assert names(run_dir) == before


def test_a_run_killed_before_its_first_checkpoint_is_new(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "run.partial").write_bytes(b"half")
    (tmp_path / "metrics.jsonl").write_text('{"kind": "eval')
    assert RunDirectory(tmp_path, 3).is_new
    train(tmp_path, SHORT)
    assert without_clock(tmp_path) == without_clock(finished)
    assert not RunDirectory(tmp_path, 3).is_new


def test_a_run_killed_between_its_files_is_resumed(finished: Path, tmp_path: Path) -> None:
    """A newer segment, newer metrics and a half-written checkpoint lie there; `run.pt` is the one before."""
    run_dir = tmp_path / "run"
    shutil.copytree(finished, run_dir)
    (run_dir / "run.pt").rename(run_dir / "run.partial")
    train(run_dir, SHORT, resume=True)
    assert without_clock(run_dir) == without_clock(finished)


def test_training_goes_on_when_the_disk_is_full(finished: Path, tmp_path: Path) -> None:
    run, reporter = make_run(tmp_path, SHORT), Silent()
    original = run.checkpoint

    def checkpoint(told: Silent, *, best: bool = False) -> None:
        if run.clocks.env_steps == 304:
            partial = tmp_path / f".run.pt.{os.getpid()}.partial"
            partial.symlink_to("/dev/full")  # the kernel's own "No space left on device"
        original(told, best=best)

    run.checkpoint = checkpoint  # type: ignore[method-assign, assignment]
    run.run(reporter)
    run.close()
    assert len(reporter.warnings) == 1
    assert "no checkpoint at 304 steps, the one of 208 steps stays" in reporter.warnings[0]
    assert "No space left on device" in reporter.warnings[0]
    assert without_clock(tmp_path) == without_clock(finished)
    assert run.is_saved
    train(tmp_path, SHORT, resume=True)


def test_lines_wait_for_room_and_none_is_lost_or_doubled(tmp_path: Path) -> None:
    writer = MetricsWriter(tmp_path)
    records = [{"kind": "train", "env_steps": n, "loss": n / 7} for n in range(40)]
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        for record in records:
            writer.write(record)
        with pytest.raises(OSError, match="File too large"):
            writer.flush()
        half_written = read_metrics(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert half_written == records[: len(half_written)]
    assert 10 < len(half_written) < 40
    writer.close()
    assert read_metrics(tmp_path) == records


def test_a_file_is_cut_where_the_checkpoint_knew_it(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"kept, and lost")
    file = AppendedFile(path)
    file.cut(6)
    file.append(b"new")
    file.close()
    assert path.read_bytes() == b"kept, new"


@pytest.mark.slow
def test_a_run_on_a_disk_that_fills_up_ends_with_its_last_checkpoint(tmp_path: Path) -> None:
    """The real command in a file system of five megabytes of its own, in a namespace of its own."""
    words = "--map 3m --steps 6000 --seed 2 --envs 4 --eval-interval-steps 1000 --eval-episodes 4"
    words += " --updates-per-episode 1 --run-dir disk/run"
    script = f"""
        set -e; mkdir disk; mount -t tmpfs -o size=5m none disk
        code=0; {sys.executable} -m trainer.cli {words} || code=$?
        cp disk/run/run.pt disk/run/metrics.jsonl .; exit $code
    """
    isolated = ["unshare", "--user", "--map-root-user", "--mount"]
    if subprocess.run([*isolated, "true"], capture_output=True, timeout=60).returncode != 0:
        pytest.skip("this machine allows no namespaces")
    done = subprocess.run(
        [*isolated, "sh", "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=300,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin:/usr/sbin:/sbin", "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
    assert "not saved: the end of this run" in done.stderr
    assert "finished: 6,0" in done.stdout
    saved = load_checkpoint(tmp_path / "run.pt")
    assert 0 < saved.env_steps < 6000
    assert saved.env_steps <= read_metrics(tmp_path)[-1]["env_steps"]
