"""Runs of a sweep as Ray tasks: on this machine, or on a cluster."""

from __future__ import annotations

import logging
import os
from collections import deque
from typing import Any

from envs.errors import InputError
from trainer.sweep.jobs import Job
from trainer.sweep.process import STOP_NAME, STOP_WAIT_S, Outcome, run_job

OBJECT_STORE_BYTES = 80 * 2**20
"""About the least that Ray accepts: runs exchange no data, their results are files."""
RETRIES = 3
"""How often a run whose worker is lost continues elsewhere from its checkpoint."""


class RayExecutor:
    """Ray, started here with `workers` cores or joined at `address`; `close` ends all of it."""

    def __init__(self, *, workers: int | None, address: str | None, gpu_share: float) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"  # no reports to Ray's makers
        os.environ["RAY_DISABLE_FAILURE_SIGNAL_HANDLER"] = "1"  # SIGTERM is answered here
        os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"  # tasks without a GPU keep what they see
        try:
            import ray
        except ImportError:
            raise InputError("lan-sweep needs Ray: install it by pip install 'lan-smac[sweep]'") from None
        self._ray: Any = ray
        self._gpu_share = gpu_share
        self._cores = (workers or os.cpu_count() or 1) if address is None else None
        self._queue: deque[Job] = deque()
        self._running: dict[Any, Job] = {}
        quiet: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
        if address is None:
            ray.init(
                "local", num_cpus=self._cores, include_dashboard=False,
                object_store_memory=OBJECT_STORE_BYTES, _node_ip_address="127.0.0.1", **quiet,
            )  # fmt: skip
            return
        try:
            ray.init(address, **quiet)
        except (ConnectionError, ValueError, RuntimeError) as error:
            reason = str(error).split("\n")[0][:160]
            raise InputError(f"--ray-address {address}: no Ray cluster answers there ({reason})") from None

    def submit(self, job: Job) -> None:
        """Start a run as soon as there is a free core for each of its threads."""
        self._queue.append(job)
        self._start()

    def poll(self, timeout_s: float) -> list[tuple[Job, Outcome]]:
        """Wait for a run to end, `timeout_s` at most; returns the runs that ended."""
        ready, _ = self._ray.wait(list(self._running), num_returns=1, timeout=timeout_s)
        ended = [(self._running.pop(reference), self._outcome(reference)) for reference in ready]
        self._start()
        return ended

    def close(self) -> None:
        """Ask the runs to save and stop, wait for them, and end Ray."""
        for job in self._running.values():
            (job.run_dir / STOP_NAME).touch()
        if self._running:
            self._ray.wait(list(self._running), num_returns=len(self._running), timeout=STOP_WAIT_S)
        self._ray.shutdown()

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
                name=job.name,
            )
            self._running[task.remote(job.run_dir, job.flags(), job.resume_flags())] = self._queue.popleft()

    def _outcome(self, reference: Any) -> Outcome:
        try:
            outcome: Outcome = self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            return Outcome(f"its worker was lost: {str(error).strip().splitlines()[0]}")
        return outcome
