"""A run that is asked to stop saves, however often it is asked, and with nobody to read what it says."""

import contextlib
import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from envs.command import run_command
from envs.stopping import stop_wish
from tests.paths import ROOT
from trainer.runs.checkpoint import load_checkpoint
from trainer.runs.metrics import read_metrics
from trainer.runs.stopping import ask_to_save

WORDS = (
    "--map", "checkers", "--env", "sim", "--steps", "200000", "--envs", "2", "--threads", "1",
    "--batch-episodes", "2", "--eval-episodes", "2", "--eval-interval-steps", "200000",
    "--log-interval-steps", "100", "--updates-per-episode", "4",
)  # fmt: skip
Start = Callable[..., subprocess.Popen[bytes]]


class Run:
    stop_requested = False


@dataclass
class Settings:
    """No flags."""


@pytest.fixture
def start() -> Iterator[Start]:
    """Begins a run and returns once it learns; kills what still runs at the test's end."""
    begun: list[subprocess.Popen[bytes]] = []

    def begin(run_dir: Path, **options: Any) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "trainer.cli", *WORDS, "--run-dir", str(run_dir)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
        begun.append(subprocess.Popen(command, env=environment, **options))
        path, deadline = run_dir / "metrics.jsonl", time.monotonic() + 180
        while not (path.exists() and b'"loss"' in path.read_bytes()):
            assert time.monotonic() < deadline
            assert begun[-1].poll() is None
            time.sleep(0.05)
        return begun[-1]

    yield begin
    for process in begun:
        process.kill()
        process.communicate(timeout=60)


def assert_all_is_saved(run_dir: Path) -> None:
    assert load_checkpoint(run_dir).env_steps >= read_metrics(run_dir)[-1]["env_steps"] > 0


def test_one_wish_that_comes_as_several_signals_saves(tmp_path: Path, start: Start) -> None:
    run_dir = tmp_path / "run"
    process = start(run_dir, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
        process.send_signal(number)
        time.sleep(0.1)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert b"Traceback" not in errors
    assert b"stopped; go on with lan-train --resume" in output
    assert_all_is_saved(run_dir)


def test_a_terminal_that_goes_away_costs_nothing(tmp_path: Path, start: Start) -> None:
    run_dir = tmp_path / "run"
    controller, terminal = pty.openpty()
    process = start(run_dir, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    os.close(controller)  # what is printed now fails; the shell that is gone sends SIGHUP
    time.sleep(0.5)
    process.send_signal(signal.SIGHUP)
    assert process.wait(timeout=120) == 0
    assert_all_is_saved(run_dir)


def test_under_nohup_the_end_of_the_terminal_changes_nothing(tmp_path: Path, start: Start) -> None:
    run_dir = tmp_path / "run"
    process = start(
        run_dir, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    process.send_signal(signal.SIGHUP)
    time.sleep(1)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=120)
    assert process.returncode == 0
    assert_all_is_saved(run_dir)


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
def test_only_ctrl_c_again_after_a_while_ends_without_saving(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr("envs.stopping.time.monotonic", lambda: now[0])
    with stop_wish() as stop:
        run = Run()
        ask_to_save(run, stop)
        signal.raise_signal(signal.SIGTERM)
        assert run.stop_requested
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(number)
        now[0] += 60
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)  # while the program ends: nothing more to ask for


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("disguise", [lambda: None, lambda: int("x")])
def test_before_training_a_signal_is_an_interrupt(disguise: Callable[[], object]) -> None:
    """Also where a library turns it into an error of its own."""

    def import_a_library(_: Settings) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        except KeyboardInterrupt:
            disguise()
            raise

    assert run_command(Settings, import_a_library, prog="lan-x", description="", argv=[]) == 143


@pytest.mark.usefixtures("handlers")
def test_an_interrupt_that_a_library_loses_stops_the_run_before_it_begins() -> None:
    def import_a_library(_: Settings) -> None:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        ask_to_save(Run(), stop)

    with stop_wish() as stop:
        code = run_command(Settings, import_a_library, prog="lan-x", description="", argv=[], stop=stop)
    assert code == 130
