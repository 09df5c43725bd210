"""`lan-sweep`: runs of lan-train over maps, algorithms and seeds, side by side, resumable."""

from __future__ import annotations

import fcntl
import itertools
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Protocol

import tyro
from rich.console import Console

from envs.command import complain, run_command
from envs.console import patient_output
from envs.cores import usable_cores
from envs.errors import InputError
from envs.files import not_a_folder, open_regular
from envs.stopping import StopWish, stop_wish
from envs.text import one_line
from trainer.config import TrainConfig, check_used
from trainer.runs.plan import resolve_playable
from trainer.runs.stopping import ask_to_save
from trainer.sweep.advice import plot_command
from trainer.sweep.jobs import LOG_NAME, Job, plan_jobs, saved_backend
from trainer.sweep.process import Outcome
from trainer.sweep.table import READ_EVERY_S, LiveSweepDisplay, PlainSweepDisplay, Row

MAX_SEEDS = 10_000
LOCK_NAME = ".lock"
"""A file in --out, locked while a sweep writes there; hidden, so that OUT/* names run directories only."""
DESCRIPTION = (
    "Train every map with every algorithm and seed, as many runs side by side as there are cores. The same "
    "command again continues a sweep that was stopped or killed, and tries failed runs again."
)


@dataclass(frozen=True)
class RunSettings(TrainConfig):
    """Settings of every run, as in lan-train; the sweep chooses map, algorithm, seed and directory."""

    map: tyro.conf.Suppress[str] = ""
    algorithm: tyro.conf.Suppress[str] = "lan"
    seed: tyro.conf.Suppress[int] = 0
    run_dir: tyro.conf.Suppress[Path | None] = None
    resume: tyro.conf.Suppress[Path | None] = None
    ray_address: tyro.conf.Suppress[str | None] = None
    threads: int = 1
    """Threads of every run's learner; each takes a part of the batch."""


@dataclass(frozen=True)
class SweepConfig:
    """Flags of `lan-sweep`."""

    maps: tuple[str, ...] = ()
    """The maps to learn, e.g. 3m 2s3z; also checkers, spread:3."""
    algorithms: tuple[str, ...] = ("lan",)
    """The learners, e.g. lan iql vdn qmix qplex."""
    seeds: int = 10
    """Number of seeds: 0, 1, and so on."""
    out: Path = Path("runs/sweep")
    """Folder of the run directories MAP-ALGORITHM-seedSEED; a later call may add runs and raise --steps."""
    workers: int | None = None
    """Cores to use on this machine, by default all; each run takes --threads of them."""
    ray_address: str | None = None
    """A Ray cluster to run on, e.g. auto or ray://HOST:10001; its machines must share --out."""
    gpu_share: float = 1.0
    """With --device cuda: the share of a GPU that each run takes; with 0.25, four runs share one."""
    settings: tyro.conf.OmitArgPrefixes[RunSettings] = field(default_factory=RunSettings)

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise InputError(f"--seeds must be at least 1 and at most {MAX_SEEDS:,}, not {self.seeds}")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers must be at least 1, not {self.workers}")
        if self.ray_address is None and self.cores < self.settings.threads:
            raise InputError(
                f"--threads {self.settings.threads}: every run needs that many cores; "
                f"--workers is {self.cores}"
            )
        if self.workers is not None and self.ray_address is not None:
            raise InputError("--workers is for this machine; a cluster at --ray-address has its own")
        if not 0 < self.gpu_share <= 1:
            raise InputError(f"--gpu-share must be above 0 and at most 1, not {self.gpu_share}")
        if self.gpu_share != SweepConfig.gpu_share and not self.settings.device.startswith("cuda"):
            raise InputError("--gpu-share would change nothing without --device cuda; leave it out")

    @property
    def cores(self) -> int:
        """The cores to use on this machine."""
        return usable_cores() if self.workers is None else self.workers


class Executor(Protocol):
    """Does the runs: Ray."""

    def submit(self, job: Job) -> None:
        """Have a run done when there is room."""
        ...

    def poll(self, timeout_s: float) -> list[tuple[Job, Outcome]]:
        """Wait for a run to end, `timeout_s` at most; returns the runs that ended."""
        ...


@dataclass
class Sitting:
    """One sitting of a sweep, which a signal may ask to stop."""

    stop_requested: bool = False


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 all finished, 1 some failed, 2 bad input, 130 asked to stop.

    It goes on where nobody can read what it prints.
    """
    with stop_wish() as stop, patient_output("lan-sweep"):
        return run_command(
            SweepConfig, lambda config: sweep(config, stop), prog="lan-sweep", description=DESCRIPTION,
            argv=argv, stop=stop,
        )  # fmt: skip


def sweep(config: SweepConfig, stop: StopWish) -> int:
    """Plan the runs, do those that are not finished, print how they ended."""
    jobs = make_jobs(config)
    rows = [Row(job) for job in jobs]
    todo = [row for row in rows if row.state != "finished"]
    print(
        f"lan-sweep: {len(jobs)} runs on --env {jobs[0].config.env}, {len(jobs) - len(todo)} finished "
        f"before, writing to {one_line(config.out)}",
        flush=True,
    )
    failures = do_runs(config, rows, stop) if todo else {}
    if failures is None:
        return complain("lan-sweep", "interrupted", 130)
    report(config, jobs, failures)
    return 1 if failures else 0


def do_runs(
    config: SweepConfig, rows: Sequence[Row], stop: StopWish
) -> dict[str, tuple[Job, Outcome]] | None:
    """Do the runs that are not finished; returns those that failed, None when asked to stop."""
    from trainer.playing.ray_start import require_ray
    from trainer.sweep.ray_executor import RayExecutor

    require_ray("lan-sweep")
    sitting = Sitting()
    with hold(config.out):
        with writing_to(config.out):
            for row in rows:  # every machine of a cluster can see by them that it shares --out
                row.job.make_folder()
        executor = RayExecutor(cores=config.cores, address=config.ray_address, gpu_share=config.gpu_share)
        try:
            if config.settings.device.startswith("cuda") and not executor.has_gpu():
                print("lan-sweep: Ray knows no GPU yet; the runs wait for one", file=sys.stderr, flush=True)
            ask_to_save(sitting, stop)
            failures = conduct(rows, executor, sitting)
        except ConnectionError:
            if not sitting.stop_requested:  # a signal for all processes ends Ray's too
                raise
        finally:
            executor.close()
    return None if sitting.stop_requested else failures


@contextmanager
def hold(out: Path) -> Iterator[None]:
    """Let one sweep at a time write to `out`, which is made where it is missing; InputError otherwise.

    No `Claim`: that is of a run, and leaves a directory as it was in which no run began.
    """
    with writing_to(out):
        out.mkdir(parents=True, exist_ok=True)
        file = open_regular(out / LOCK_NAME, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another sweep writes to {out}: wait for its end, or choose another --out"
            ) from None
        except OSError:  # a file system without locks; each run has its own, and says so
            pass
        yield


@contextmanager
def writing_to(out: Path) -> Iterator[None]:
    """Turn an OSError of the block into one sentence that names the flag."""
    try:
        yield
    except OSError as error:
        if isinstance(error, FileExistsError | NotADirectoryError) and error.filename is not None:
            blocked = not_a_folder(Path(error.filename)) or error.filename
            raise InputError(
                f"--out {out}: {blocked} is no folder; move it away, or choose another --out"
            ) from None
        where = "" if error.filename in (None, str(out)) else f"{error.filename} "
        raise InputError(f"--out {out}: {where}cannot be written: {error.strerror or error}") from None


def make_jobs(config: SweepConfig) -> list[Job]:
    """Plan the runs; InputError when the settings cannot be used."""
    if not config.maps or not config.algorithms:
        raise InputError("say what to learn and how, e.g. --maps 3m 2s3z --algorithms lan qmix")
    settings = TrainConfig(**{f.name: getattr(config.settings, f.name) for f in fields(TrainConfig)})
    if settings.env == "auto":  # a sweep stays on the backend that it began on
        settings = replace(settings, env=saved_backend(config.out) or "auto")
    if config.ray_address is None and settings.device != "cpu":  # a cluster may have what we have not
        from trainer.runs.assembly import torch_device

        torch_device(settings.device)
    configs, backends = {}, set()
    for map_name, algorithm in itertools.product(config.maps, config.algorithms):
        resolved, backend = resolve_playable(replace(settings, map=map_name, algorithm=algorithm))
        check_used(resolved)
        configs[resolved.environment, algorithm] = replace(resolved, env=backend)
        backends.add(backend)
    if len(backends) > 1:
        raise InputError(
            f"--maps {' '.join(config.maps)} would be played by {' and '.join(sorted(backends))}, "
            "which must not mix: name one by --env, or make two sweeps"
        )
    return plan_jobs(list(configs.values()), config.seeds, config.out.absolute())


def conduct(
    rows: Sequence[Row], executor: Executor, sitting: Sitting | None = None
) -> dict[str, tuple[Job, Outcome]]:
    """Do and show every unfinished run, until asked to stop; returns those that failed, by name."""
    by_name = {row.job.name: row for row in rows if row.state != "finished"}
    failures = {}
    for row in by_name.values():
        executor.submit(row.job)
    waiting = set(by_name)
    sitting, console = sitting or Sitting(), Console()
    live = LiveSweepDisplay(rows, console) if console.is_terminal else None
    with live or nullcontext(PlainSweepDisplay(rows)) as display:
        while waiting and not sitting.stop_requested:
            display.show()
            for job, outcome in executor.poll(READ_EVERY_S):
                waiting.remove(job.name)
                by_name[job.name].end("finished" if outcome.error is None else "failed")
                if outcome.error is not None:
                    failures[job.name] = (job, outcome)
            for row in rows:
                row.refresh()
        display.show()
    return failures


def report(config: SweepConfig, jobs: Sequence[Job], failures: dict[str, tuple[Job, Outcome]]) -> None:
    """Print which runs failed, each with the end of its log; or what to do next."""
    if not failures:
        print(f"every run finished; draw them by {plot_command(config.out, jobs)}")
        return
    for name, (job, outcome) in failures.items():
        log = one_line(job.run_dir / LOG_NAME)
        print(f"\nfailed: {one_line(name)}: {one_line(outcome.error)}; its log is {log}", file=sys.stderr)
        for line in outcome.log_tail.splitlines():
            print(f"    {one_line(line)}", file=sys.stderr)
    print(f"\n{len(failures)} runs failed; the same command tries them again", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
