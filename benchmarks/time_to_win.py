"""How long a team takes to win: processor seconds, wall seconds, steps and updates, by preset and algorithm.

    python -m benchmarks.time_to_win 3m 2s3z --algorithms lan qmix --seeds 5 --presets fast --out runs/ttw
    python -m benchmarks.time_to_win --report --out runs/ttw --csv 3m.csv [--json]

Every run is a `lan-train` with one thread in a process, until two evaluations in a row reach --win-rate. One
that has not won after --steps, or in --processor-limit-s, saves, stops, and counts as at least its time. The
same command again skips runs that have ended and goes on with those begun. Kernels are compiled before. Where
presets want different numbers of seeds, call it once for each: the table shows every run in --out.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.win_times import TimedRun, as_csv, as_json, find_runs, group, markdown_table, read_run
from envs.command import run_command
from envs.cores import usable_cores
from envs.errors import InputError
from envs.files import write_atomically
from envs.make import is_smac_map
from envs.outputs import check_apart, check_output
from envs.stopping import cut_if_longer
from envs.text import one_line
from trainer.config import TrainConfig
from trainer.marks import SHARE, flag
from trainer.runs.config_file import FILE_NAME
from trainer.runs.plan import resolve_playable
from trainer.sweep.cli import MAX_SEEDS, hold, writing_to
from trainer.sweep.jobs import Job, plan_jobs
from trainer.sweep.process import STOP_NAME, STOP_WAIT_S, Outcome, run_job

LOOK_EVERY_S = 0.5
COMPILE_WAIT_S = 600.0
"""How long compiling and one round of play may take before the first run begins."""
ONE_THREAD = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1")

OF_TRAINING = ("algorithms", "presets", "seeds", "steps", "processor_limit_s", "workers")
"""The flags that only training needs."""


@dataclass(frozen=True)
class Config:
    """Flags of the benchmark; every other setting of a run is its preset's."""

    maps: Annotated[tuple[str, ...], tyro.conf.Positional] = ()
    """Maps to win, e.g. 3m 2s3z; without one, only print what --out holds."""
    algorithms: tuple[str, ...] = ("lan",)
    """The learners, e.g. lan qmix."""
    presets: tuple[str, ...] = ("fast", "paper")
    """The presets to compare."""
    seeds: int = 5
    """Number of seeds: 0, 1, and so on."""
    win_rate: float = 0.9
    """The share of battles to win in two evaluations in a row."""
    steps: int = 2_000_000
    """Environment steps after which a run that has not won ends."""
    processor_limit_s: float | None = None
    """Processor seconds after which a run that has not won is stopped; a later call may give more."""
    workers: int | None = None
    """Runs side by side, by default one a core."""
    out: tuple[Path, ...] = (Path("runs/time-to-win"),)
    """Folder of the runs, PRESET/MAP-ALGORITHM-seedSEED; --report may read several."""
    report: bool = False
    """Train nothing; print what --out holds, of the named maps where there are any."""
    csv: Path | None = None
    """CSV file to write a line per run to."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def __post_init__(self) -> None:
        if not 1 <= self.seeds <= MAX_SEEDS:
            raise InputError(f"--seeds must be at least 1 and at most {MAX_SEEDS:,}, not {self.seeds}")
        if self.win_rate not in SHARE:
            raise InputError(f"--win-rate must be {SHARE}, not {self.win_rate}")
        if self.workers is not None and self.workers < 1:
            raise InputError(f"--workers must be at least 1, not {self.workers}")
        if self.processor_limit_s is not None and not self.processor_limit_s > 0:
            raise InputError(f"--processor-limit-s must be above 0, not {self.processor_limit_s}")
        if not self.out or (self.trains and len(self.out) > 1):
            raise InputError("--out must be one folder to train in; several can be read with --report")
        if self.csv is not None:
            check_output("--csv", self.csv)
            check_apart({f"--out {out}": out for out in self.out}, {"--csv": self.csv})
        if not self.trains:
            changed = [name for name in OF_TRAINING if getattr(self, name) != getattr(Config, name)]
            if changed:
                raise InputError(f"{flag(changed[0])} would change nothing: nothing is trained; leave it out")

    @property
    def trains(self) -> bool:
        """Whether there is anything to train."""
        return bool(self.maps) and not self.report


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 all ended, 1 some failed, 2 bad input, 130 stopped by Ctrl-C."""
    description = (__doc__ or "").split("\n")[0]
    return run_command(Config, benchmark, prog="time_to_win", description=description, argv=argv)


def benchmark(config: Config) -> int:
    """Train what has not ended, print and write what --out holds; returns the exit code."""
    failures = train_all(config) if config.trains else 0
    runs = find_runs(config.out, config.win_rate)
    if config.report and config.maps:
        runs = [run for run in runs if run.map in config.maps]
        if missing := set(config.maps) - {run.map for run in runs}:
            raise InputError(f"--out holds no run on {', '.join(map(one_line, sorted(missing)))}")
    groups = group(runs)
    print(as_json(runs, groups, config.win_rate) if config.json else markdown_table(groups))
    if config.csv is not None:
        write_atomically(config.csv, as_csv(groups).encode(errors="backslashreplace"))
    if failures:
        print(f"{failures} runs failed; the same command tries them again", file=sys.stderr)
    return 1 if failures else 0


def train_all(config: Config) -> int:
    """Do every run that has not ended, with a line on stderr for each; returns how many failed."""
    out = config.out[0]
    jobs = plan(config)
    todo = [job for job in jobs if not has_ended(job, config)]
    say(f"{len(jobs)} runs, {len(jobs) - len(todo)} ended before, writing to {one_line(out)}")
    if not todo:
        return 0
    failures = 0
    ended = len(jobs) - len(todo)

    def tell(job: Job, outcome: Outcome) -> None:
        nonlocal failures, ended
        ended += 1
        name = f"{one_line(job.name)} {job.config.preset}"
        if has_ended(job, config):
            say(f"{name}: {describe(read_run(job.run_dir, config.win_rate))}  ({ended} of {len(jobs)} ended)")
            return
        failures += 1
        say(f"{name}: failed: {one_line(outcome.error)}; its log is in {one_line(job.run_dir)}")
        for line in outcome.log_tail.splitlines():
            say(f"    {one_line(line)}")

    os.environ |= ONE_THREAD
    with hold(out):
        compile_kernels(todo)
        conduct(todo, config.workers or usable_cores(), lambda job: is_past_limit(job, config), tell)
    return failures


def plan(config: Config) -> list[Job]:
    """All runs, preset by preset and seed by seed; InputError where --out holds runs of other settings."""
    if not config.algorithms or not config.presets:
        raise InputError("say how to learn, e.g. --algorithms lan --presets fast paper")
    jobs = []
    for preset in dict.fromkeys(config.presets):
        asked = [
            TrainConfig(
                map=map_name, env="sim", algorithm=algorithm, preset=preset, steps=config.steps,
                until_win_rate=config.win_rate, threads=1,
            )
            for map_name in dict.fromkeys(config.maps)
            for algorithm in dict.fromkeys(config.algorithms)
        ]  # fmt: skip
        resolved = [resolve_playable(each)[0] for each in asked]
        jobs += plan_jobs(resolved, config.seeds, config.out[0].absolute() / preset)
    return jobs


def has_ended(job: Job, config: Config) -> bool:
    """Whether a run has won, or all that it was allowed is used up."""
    if not (job.run_dir / FILE_NAME).exists():
        return False
    return job.finished or read_run(job.run_dir, config.win_rate).won or is_past_limit(job, config)


def is_past_limit(job: Job, config: Config) -> bool:
    """Whether a run has used up the processor time that it was allowed."""
    if config.processor_limit_s is None or not (job.run_dir / FILE_NAME).exists():
        return False
    return read_run(job.run_dir, config.win_rate).processor_s >= config.processor_limit_s


def compile_kernels(jobs: Sequence[Job]) -> None:
    """Have every kernel on the disk, by a round of play and an update, so that no run compiles."""
    deadline = time.monotonic() + COMPILE_WAIT_S
    one_of_each = {is_smac_map(job.config.map): job.config for job in jobs}
    with tempfile.TemporaryDirectory() as folder:
        tiny = [
            replace(
                config, run_dir=Path(folder) / str(number), steps=1, until_win_rate=None, envs=2,
                eval_episodes=2, batch_episodes=2, replay_episodes=2, first_update_episodes=2,
                updates_per_episode=1.0,
            )
            for number, config in enumerate(one_of_each.values())
        ]  # fmt: skip

        def check(job: Job, outcome: Outcome) -> None:
            if outcome.error is not None:
                raise InputError(
                    f"a short run on {job.config.map}, before the first timed one, failed: {outcome.error}; "
                    f"its log ends with: {one_line(outcome.log_tail, 500)}"
                )

        conduct([Job(config) for config in tiny], 1, lambda job: time.monotonic() > deadline, check)


def conduct(
    jobs: Sequence[Job], workers: int, is_over: Callable[[Job], bool], tell: Callable[[Job, Outcome], None]
) -> None:
    """Do runs, `workers` side by side, stop each that is over, and tell how it ended.

    Whatever ends this early, Ctrl-C too, first asks the runs to save and stop, and waits for their end.
    """
    asked: set[Job] = set()
    running: dict[Future[Outcome], Job] = {}
    for job in jobs:
        (job.run_dir / STOP_NAME).unlink(missing_ok=True)  # of a benchmark that was killed while it stopped
    with ThreadPoolExecutor(workers) as pool:
        try:
            for job in jobs:
                running[pool.submit(train, job)] = job
            while running:
                ended, _ = wait(running, LOOK_EVERY_S, FIRST_COMPLETED)
                for future in ended:
                    tell(running.pop(future), future.result())
                over = {job for future, job in running.items() if future.running() and is_over(job)}
                for job in over - asked:
                    ask_to_stop(job)
                asked |= over
        finally:
            begun = [job for future, job in running.items() if not future.cancel()]
            for job in begun:
                ask_to_stop(job)
            if begun:
                say("stopping: the runs save, and the same command goes on with them")
                with cut_if_longer(2 * STOP_WAIT_S):
                    pool.shutdown()


def ask_to_stop(job: Job) -> None:
    """Have a run save and stop within a second."""
    with contextlib.suppress(OSError):  # a full disk; at this process's end the kernel asks, by SIGTERM
        (job.run_dir / STOP_NAME).touch()


def train(job: Job) -> Outcome:
    """Begin or resume a run and wait for its end."""
    with writing_to(job.run_dir):
        job.make_folder()
    return run_job(job.run_dir, job.flags(), job.resume_flags())


def describe(run: TimedRun) -> str:
    """How a run ended, in one line."""
    text = (
        f"{'won' if run.won else 'not won'} after {run.processor_s:,.1f} s of processor, "
        f"{run.wall_s:,.1f} s, {run.env_steps:,} steps, {run.updates:,} updates"
    )
    if run.won or run.best_win_rate is None:
        return text
    return f"{text}, best win rate {run.best_win_rate:.0%}, last {run.last_win_rate:.0%}"


def say(text: str) -> None:
    """One line on stderr."""
    print(f"time_to_win: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
