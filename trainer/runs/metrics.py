"""The metrics of a run: `metrics.jsonl`, one object per line, and TensorBoard events beside it.

Fields whose name begins with `wall_` depend on the clock; all others are the same for the same seed on the
same machine.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from envs.files import open_regular, read_regular
from envs.outcomes import EpisodeStats, summarise

FILE_NAME = "metrics.jsonl"


class Window:
    """Means over the updates and training episodes since the last line."""

    def __init__(self) -> None:
        self.sums: dict[str, float] = {}
        self.counts: dict[str, int] = {}

    def add(self, name: str, value: float) -> None:
        """Count one value."""
        self.sums[name] = self.sums.get(name, 0.0) + value
        self.counts[name] = self.counts.get(name, 0) + 1

    def take(self) -> dict[str, float]:
        """The means so far; starts over."""
        means = {name: self.sums[name] / self.counts[name] for name in self.sums}
        self.sums, self.counts = {}, {}
        return means

    def state_dict(self) -> dict[str, Any]:
        """The sums and counts so far."""
        return {"sums": dict(self.sums), "counts": dict(self.counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` returned."""
        self.sums, self.counts = dict(state["sums"]), dict(state["counts"])


class AppendedFile:
    """A file that only grows; bytes that a full disk refuses are kept and tried again."""

    def __init__(self, path: Path) -> None:
        self._file = open_regular(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        self._pending = bytearray()

    def cut(self, size: int) -> None:
        """Drop everything after the first `size` bytes."""
        self._file.truncate(size)

    def append(self, data: bytes) -> None:
        """Add to the end, at once where the disk has room."""
        self._pending += data
        try:
            self._write()
        except OSError:
            return  # flush() raises it

    def flush(self) -> None:
        """Have everything on the disk; OSError when it does not fit."""
        self._write()
        os.fsync(self._file.fileno())

    @property
    def is_whole(self) -> bool:
        """Whether nothing waits for room."""
        return not self._pending

    def close(self) -> None:
        """Write what the disk takes, and close."""
        self.append(b"")
        with contextlib.suppress(OSError):  # a file system in the network may say late what flush() asked
            self._file.close()

    def _write(self) -> None:
        while self._pending:
            written = self._file.write(self._pending)
            del self._pending[: written or 0]


class EventFile:
    """TensorBoard's scalars, in one file per sitting."""

    def __init__(self, run_dir: Path, purge_step: int | None) -> None:
        from tensorboard.compat.proto.event_pb2 import Event, SessionLog
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._event, self._summary = Event, Summary
        name = f"events.out.tfevents.{time.time_ns()}.{socket.gethostname()}.{os.getpid()}"
        self.file = AppendedFile(run_dir / name)
        self._records = RecordWriter(self)
        self._add(Event(wall_time=time.time(), file_version="brain.Event:2"))
        if purge_step is not None:  # tells TensorBoard to drop later steps of earlier sittings
            start = SessionLog(status=SessionLog.START)
            self._add(Event(wall_time=time.time(), step=purge_step, session_log=start))

    def add(self, step: int, scalars: Mapping[str, float]) -> None:
        """One event with all scalars of a step."""
        values = [self._summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]
        summary = self._summary(value=values)
        self._add(self._event(wall_time=time.time(), step=step, summary=summary))

    def write(self, data: bytes) -> None:
        """Called by the record writer with a framed record."""
        self.file.append(data)

    def _add(self, event: Any) -> None:
        self._records.write(event.SerializeToString())


class MetricsWriter:
    """Appends records to `metrics.jsonl` and to TensorBoard; its state is the number of lines.

    A new run starts the file anew; a run resumed at `resumed_at_steps` loads its state, which drops later
    lines. A full disk never stops it: lines wait for room, and `flush` raises while they do.
    """

    def __init__(self, run_dir: Path, resumed_at_steps: int | None = None) -> None:
        self.path = run_dir / FILE_NAME
        self.lines = self.missing = 0
        with contextlib.ExitStack() as opened:
            self._file = opened.enter_context(contextlib.closing(AppendedFile(self.path)))
            self._events = EventFile(run_dir, resumed_at_steps)
            opened.callback(self._events.file.close)
            if resumed_at_steps is None:
                self._file.cut(0)
            self._opened = opened.pop_all()

    def state_dict(self) -> dict[str, Any]:
        """How many lines were written."""
        return {"lines": self.lines}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Drop every line after those that `state_dict` counted; `missing` is how many of these are gone."""
        lines = read_regular(self.path).splitlines(keepends=True)[: state["lines"]]
        kept = [line for line in lines if line.endswith(b"\n")]
        self.lines, self.missing = len(kept), state["lines"] - len(kept)
        self._file.cut(sum(len(line) for line in kept))

    def write(self, record: Mapping[str, Any]) -> None:
        """One line, and one TensorBoard scalar per number, under KIND/NAME at the environment step."""
        self._file.append(json.dumps(record).encode() + b"\n")
        self.lines += 1
        numbers = {
            f"{record['kind']}/{name}": value
            for name, value in record.items()
            if isinstance(value, int | float) and name != "env_steps"
        }
        self._events.add(record["env_steps"], numbers)

    def flush(self) -> None:
        """Have every line on the disk; OSError when it is full."""
        self._file.flush()
        self._events.file.append(b"")

    @property
    def has_all_events(self) -> bool:
        """Whether TensorBoard's file has what the metrics have."""
        return self._events.file.is_whole

    def close(self) -> None:
        """Write what the disk takes, and close both."""
        self._opened.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Every record of a run; a last line that is still being written does not count.

    ValueError when a line is no record.
    """
    lines = read_regular(run_dir / FILE_NAME).decode().split("\n")
    records = [json.loads(line) for line in lines[:-1]]
    for number, record in enumerate(records, 1):
        steps = record.get("env_steps") if isinstance(record, dict) else None
        if type(steps) is not int or not isinstance(record.get("kind"), str):
            raise ValueError(f"line {number} of {FILE_NAME} is no record of a run")
    return records


def means(stats: list[EpisodeStats]) -> dict[str, float]:
    """Win rate, mean return and mean length in steps, under the names of the metrics."""
    summary = summarise(stats)
    return {
        "win_rate": summary.win_rate,
        "return_mean": summary.return_mean,
        "episode_length_steps": summary.length_mean_steps,
    }
