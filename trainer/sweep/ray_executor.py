"""Runs of a sweep as Ray tasks: on this machine, or on a cluster."""

from __future__ import annotations

import contextlib
import time
from collections import deque
from typing import Any

from envs.text import one_line
from trainer.playing.ray_start import REASON_CHARS, begin_ray, end_ray, is_alive, join_ray
from trainer.sweep.jobs import Job
from trainer.sweep.process import STOP_NAME, STOP_WAIT_S, Outcome, run_job

OBJECT_STORE_BYTES = 80 * 2**20
"""About the least that Ray accepts: runs exchange no data, their results are files."""
RETRIES = 3
"""How often a run whose worker is lost continues elsewhere from its checkpoint."""
CLOSE_WAIT_S = STOP_WAIT_S + 15.0
"""How long all runs may take to save and stop; a worker kills its run after `STOP_WAIT_S`."""
LOOK_EVERY_S = 0.5


class RayExecutor:
    """Ray, started here with `cores` cores or joined at `address`; `close` ends all of it."""

    def __init__(self, *, cores: int, address: str | None, gpu_share: float) -> None:
        if address is None:
            self._ray = begin_ray("lan-sweep", cores, object_store_memory=OBJECT_STORE_BYTES)
        else:
            self._ray = join_ray("lan-sweep", address)
        self._gpu_share = gpu_share
        self._cores = cores if address is None else None
        self._queue: deque[Job] = deque()
        self._running: dict[Any, Job] = {}

    def has_gpu(self) -> bool:
        """Whether a machine of this Ray has a GPU now; a cluster may grow."""
        return bool(self._ray.cluster_resources().get("GPU"))

    def submit(self, job: Job) -> None:
        """Start a run as soon as there is a free core for each of its threads."""
        self._queue.append(job)
        self._start()

    def poll(self, timeout_s: float) -> list[tuple[Job, Outcome]]:
        """Wait for a run to end, `timeout_s` at most; returns the runs that ended.

        ConnectionError when Ray itself has ended.
        """
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        if not ready and not is_alive(self._ray):
            raise ConnectionError(
                "Ray has ended; its runs save and stop, and the same command continues them"
            )
        ended = [(self._running.pop(reference), self._outcome(reference)) for reference in ready]
        self._start()
        return ended

    def close(self) -> None:
        """Ask the runs to save and stop, wait for them, and end Ray, also where the wait is interrupted.

        A run that nobody waits for any more saves and stops too: its worker's end sends it SIGTERM.
        """
        try:
            for job in self._running.values():
                with contextlib.suppress(OSError):  # a full disk
                    (job.run_dir / STOP_NAME).touch()
            waiting, deadline = list(self._running), time.monotonic() + CLOSE_WAIT_S
            while waiting and time.monotonic() < deadline and is_alive(self._ray):
                _, waiting = self._ray.wait(waiting, num_returns=len(waiting), timeout=LOOK_EVERY_S)
        finally:
            end_ray(self._ray)

    def _start(self) -> None:
        """Give Ray the runs that fit, since it starts tasks in any order; a cluster gets all, to grow."""
        while self._queue:
            job = self._queue[0]
            if self._cores is not None and (len(self._running) + 1) * job.config.threads > self._cores:
                return
            (job.run_dir / STOP_NAME).unlink(missing_ok=True)  # of a sweep that was killed while it stopped
            on_gpu = job.config.device.startswith("cuda")
            task = self._ray.remote(run_job).options(
                num_cpus=job.config.threads,
                num_gpus=self._gpu_share if on_gpu else 0,
                max_retries=RETRIES,
                name=one_line(job.name),
            )
            self._running[task.remote(job.run_dir, job.flags(), job.resume_flags())] = self._queue.popleft()

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(f"its worker was lost: {one_line(' '.join(str(error).split()), REASON_CHARS)}")
        return outcome
