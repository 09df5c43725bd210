"""One run of a sweep: `lan-train` in a separate process, which ends with the worker that started it.

`run_job` is called by a worker and starts this file as the process. The process holds a lock on its run
directory, so that two sweeps never train the same run, and writes `finished.json` when nothing is left to do.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

from envs.errors import InputError
from envs.files import write_atomically
from envs.processes import end_with_parent
from envs.text import one_line, shell_word
from trainer.runs.claim import Claim
from trainer.runs.config_file import FILE_NAME, load_config
from trainer.sweep.jobs import FINISHED_NAME, LOG_NAME, TAIL_BYTES

STOP_NAME = "stop"
"""A file in a run directory that asks the run to end. Ray's cancelling would end the worker's wait and then
kill the training process before it has saved."""
LOCK_WAIT_S = 60.0
LOOK_EVERY_S = 0.5
STOP_WAIT_S = 60.0
"""How long a run may take to finish its update and save."""
TAIL_LINES = 6


@dataclass(frozen=True)
class Outcome:
    """How a run ended: `error` is None when it finished, else the reason."""

    error: str | None = None
    log_tail: str = ""


def run_job(run_dir: Path, begin_flags: Sequence[str], resume_flags: Sequence[str]) -> Outcome:
    """Train in a process until it ends: with `begin_flags` when the run is new, else with `resume_flags`."""
    if not run_dir.is_dir():
        return Outcome(
            f"{socket.gethostname()} does not see {run_dir}: all machines of a cluster must share --out"
        )
    if (run_dir / STOP_NAME).exists():
        (run_dir / STOP_NAME).unlink()
        return Outcome("stopped before it began")
    words = resume_flags if (run_dir / FILE_NAME).exists() else begin_flags
    try:
        code = train_in_process(run_dir, words)
    except OSError as error:  # no more processes, or no log
        return Outcome(f"it cannot be started: {error.strerror or error}")
    if code == 0 and (run_dir / FINISHED_NAME).exists():
        return Outcome()
    return Outcome(describe_exit(code), log_tail(run_dir / LOG_NAME))


def train_in_process(run_dir: Path, words: Sequence[str]) -> int:
    """Have a process train with the flags `words`, and wait for its end; returns its exit code."""
    command = [sys.executable, "-m", "trainer.sweep.process", str(os.getpid()), str(run_dir), *words]
    with (run_dir / LOG_NAME).open("ab", buffering=0) as log:
        with contextlib.suppress(OSError):  # a full disk ends no run
            log.write(os.fsencode(f"== lan-train {' '.join(map(shell_word, words))}\n"))
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )  # a new session: Ctrl-C on the terminal reaches the sweep alone
    return wait_for(process, run_dir / STOP_NAME)


def wait_for(process: subprocess.Popen[bytes], stop: Path, stop_wait_s: float = STOP_WAIT_S) -> int:
    """Wait for a run and return its exit code.

    Once the file `stop` exists, the run is asked to save and stop, and killed `stop_wait_s` later.
    """
    kill_at = None
    while True:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return process.wait(LOOK_EVERY_S)
        with contextlib.suppress(OSError):  # a shared disk that is away for a while
            stop.unlink()
            process.terminate()
            kill_at = kill_at or monotonic() + stop_wait_s
        if kill_at is not None and monotonic() >= kill_at:
            process.kill()


def describe_exit(code: int) -> str:
    """An exit code in words."""
    if code < 0:
        known = {number.value: number.name for number in signal.Signals}
        return f"killed by {known.get(-code, f'signal {-code}')}"
    return "stopped before its end" if code == 0 else f"exit code {code}"


def log_tail(path: Path) -> str:
    """The last lines of a log; nothing where it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return "\n".join(lines[-TAIL_LINES:])


def main(argv: Sequence[str]) -> int:
    """The process: parent's id, run directory, flags of `lan-train`; returns its exit code."""
    parent, run_dir = int(argv[0]), Path(argv[1]).absolute()
    if not end_with_parent(parent, signal.SIGTERM):  # the run then saves and stops
        sys.exit("lan-sweep: the worker that started this run is gone")
    from trainer.cli import main as lan_train

    try:
        with Claim(run_dir, LOCK_WAIT_S) as claim:
            code = lan_train(argv[2:], claim)
            if code == 0:
                mark_finished(run_dir)
    except InputError as error:
        print(f"lan-sweep: error: {one_line(error)}", file=sys.stderr)
        return 2
    return code


def mark_finished(run_dir: Path) -> None:
    """Write `finished.json` if the checkpoint holds the run's end; it does not when the run was stopped."""
    from trainer.runs.checkpoint import load_checkpoint

    checkpoint, config = load_checkpoint(run_dir), load_config(run_dir)
    if not checkpoint.clocks.all_done(config):
        return
    result = {"steps": config.steps, "env_steps": checkpoint.env_steps, "updates": checkpoint.updates}
    write_atomically(run_dir / FINISHED_NAME, (json.dumps(result) + "\n").encode())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
