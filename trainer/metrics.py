"""What a run writes while it learns: `metrics.jsonl`, one object per line, and TensorBoard events beside it.

Fields whose name begins with `wall_` depend on the clock; all others are the same for the same seed on the
same machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

FILE_NAME = "metrics.jsonl"


class Window:
    """Means over what happened since the last line: updates and training episodes."""

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


class MetricsWriter:
    """Appends records to `metrics.jsonl` and to TensorBoard; a resumed run first drops what came later."""

    def __init__(self, run_dir: Path, keep_lines: int = 0, purge_step: int | None = None) -> None:
        from torch.utils.tensorboard.writer import SummaryWriter

        path = run_dir / FILE_NAME
        kept = path.read_bytes().splitlines(keepends=True)[:keep_lines] if keep_lines else []
        path.write_bytes(b"".join(kept))
        self.lines = len(kept)
        self._file = path.open("a", buffering=1)
        self._events = SummaryWriter(str(run_dir), purge_step=purge_step)

    def write(self, record: Mapping[str, Any]) -> None:
        """One line, and one TensorBoard scalar per number, under KIND/NAME at the environment step."""
        self._file.write(json.dumps(record) + "\n")
        self.lines += 1
        for name, value in record.items():
            if isinstance(value, int | float) and name != "env_steps":
                tag = f"{record['kind']}/{name}"
                self._events.add_scalar(tag, value, record["env_steps"])

    def flush(self) -> None:
        """Hand what was written to the operating system."""
        self._file.flush()
        self._events.flush()

    def close(self) -> None:
        """Flush and close both."""
        self._file.close()
        self._events.close()


def read_metrics(run_dir: Path) -> list[dict[str, Any]]:
    """Every record of a run."""
    return [json.loads(line) for line in (run_dir / FILE_NAME).read_text().splitlines()]
