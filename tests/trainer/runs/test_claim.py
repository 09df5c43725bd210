"""One process trains in a run directory; a start that failed leaves nothing that refuses the next."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from envs.errors import InputError
from tests.paths import ROOT
from trainer import TrainConfig, resume, train
from trainer.runs.claim import LOCK_NAME, Claim
from trainer.runs.config_file import load_config

CONFIG = TrainConfig(
    map="checkers", env="sim", steps=200, envs=2, threads=1, batch_episodes=2, eval_episodes=2,
    eval_interval_steps=200, log_interval_steps=100,
)  # fmt: skip
HOLDER = """
import sys, time
from pathlib import Path
from trainer.runs.claim import Claim
with Claim(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def holder_of(run_dir: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(run_dir)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_writer_is_told_who_the_first_is_until_it_is_killed(tmp_path: Path) -> None:
    done = train(replace(CONFIG, run_dir=tmp_path / "run"))
    before = {path: path.read_bytes() for path in done.run_dir.rglob("*") if path.is_file()}
    before.pop(done.run_dir / LOCK_NAME)
    process = holder_of(done.run_dir)
    try:
        with pytest.raises(
            InputError, match=rf"process {process.pid} on .*, since .*, trains in .*run: wait"
        ):
            resume(done.run_dir, steps=400)
        with pytest.raises(InputError, match=f"process {process.pid} on"):
            Claim(done.run_dir, wait_s=0.2)
        assert all(path.read_bytes() == content for path, content in before.items())
    finally:
        process.send_signal(signal.SIGKILL)  # the kernel frees the lock
        process.communicate(timeout=60)
    assert resume(done.run_dir, steps=400).env_steps >= 400


def test_a_new_run_does_not_begin_where_another_just_does(tmp_path: Path) -> None:
    process = holder_of(tmp_path / "run")
    try:
        with pytest.raises(InputError, match=f"process {process.pid} on"):
            train(replace(CONFIG, run_dir=tmp_path / "run"))
    finally:
        process.kill()
        process.communicate(timeout=60)
    assert [path.name for path in (tmp_path / "run").iterdir()] == [LOCK_NAME]


def test_one_process_holds_a_directory_once_and_frees_it(tmp_path: Path) -> None:
    with Claim(tmp_path) as claim:
        with pytest.raises(InputError, match=f"process {os.getpid()} on"):
            Claim(tmp_path)
        claim.close()
        Claim(tmp_path).close()
    assert list(tmp_path.iterdir()) == []


def test_a_run_that_is_just_beginning_is_no_missing_run(tmp_path: Path) -> None:
    with Claim(tmp_path), pytest.raises(InputError, match=rf"process {os.getpid()} on .* has just begun"):
        resume(tmp_path)
    with pytest.raises(InputError, match="no run directory but a folder"):
        resume(tmp_path)


def test_what_is_no_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "lost").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, blocked in (("loop", "loop"), ("lost", "lost"), ("pipe", "pipe"), ("pipe/in", "pipe")):
        says = f"{tmp_path / blocked} is no folder; "
        with pytest.raises(InputError, match=f"{says}remove it, or choose another --run-dir"):
            train(replace(CONFIG, run_dir=tmp_path / name))
        with pytest.raises(InputError, match=f"{says}name a directory that lan-train has written"):
            load_config(tmp_path / name)


def test_without_locks_the_run_warns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flock(*args: object) -> None:
        raise OSError(37, "No locks available")

    monkeypatch.setattr("trainer.runs.claim.fcntl.flock", flock)
    with pytest.warns(RuntimeWarning, match=r"without locks \(No locks available\)"):
        train(replace(CONFIG, run_dir=tmp_path / "run"))


def no_learner(*args: object) -> None:
    raise InputError("no learner")


def interrupted(*args: object) -> None:
    raise KeyboardInterrupt


def full_disk(*args: object) -> None:
    raise OSError(28, "No space left on device")


@pytest.mark.parametrize(
    ("where", "fails", "error"),
    [
        ("trainer.runs.assembly.make_learner", no_learner, InputError),
        ("trainer.runs.assembly.make_learner", interrupted, KeyboardInterrupt),
        ("trainer.runs.config_file.write_config", interrupted, KeyboardInterrupt),
        ("trainer.runs.run.make_collector", no_learner, InputError),
        ("trainer.runs.run.MetricsWriter", full_disk, InputError),
        ("trainer.runs.run.evaluate", interrupted, KeyboardInterrupt),
    ],
)
def test_a_start_that_fails_leaves_nothing(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    where: str,
    fails: Callable[..., None],
    error: type[BaseException],
) -> None:
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "notes.txt").write_text("mine")
    for run_dir in (tmp_path / "deep" / "er", tmp_path / "kept"):
        with monkeypatch.context() as patch:
            patch.setattr(where, fails)
            with pytest.raises(error):
                train(replace(CONFIG, run_dir=run_dir))
    assert not (tmp_path / "deep").exists()
    assert [path.name for path in (tmp_path / "kept").iterdir()] == ["notes.txt"]


def test_settings_of_a_start_that_was_killed_do_not_refuse_the_corrected_command(tmp_path: Path) -> None:
    done = train(replace(CONFIG, run_dir=tmp_path / "run"))
    killed = tmp_path / "killed"
    killed.mkdir()
    (killed / "config.json").write_bytes((done.run_dir / "config.json").read_bytes())
    (killed / "metrics.jsonl").touch()
    assert train(replace(CONFIG, run_dir=killed, seed=4)).finished
    (done.run_dir / "run.pt").unlink()
    (done.run_dir / "best.pt").unlink()
    with pytest.raises(InputError, match="already holds a run"):  # its metrics are worth keeping
        train(replace(CONFIG, run_dir=done.run_dir))
