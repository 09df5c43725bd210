"""How long one learner update takes, against the machine's own matrix product and a plain per-step loop.

    python -m benchmarks.learner [--algorithms lan vdn] [--shapes corridor] [--threads 1] [--device cpu]

Batches of 32 episodes of random numbers in a map's shapes, once with all episodes of equal length (no padding
to gain) and once ragged, lengths uniform between a third of T and T. `peak` is what the same process reaches
in one large sgemm; an update's GFLOP are counted, not estimated. `loop` is VDN written the usual way: padded
episodes, one-hot inputs, one network call per step; it is timed in the same run, in turn with the others.
"""

from __future__ import annotations

import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from envs.command import run_command
from envs.types import HIDDEN_DIM, EnvSpec
from trainer.config import TrainConfig, resolve
from trainer.learning.algorithms import make_learner
from trainer.learning.batch import EpisodeBatch
from trainer.learning.learner import Learner
from trainer.replay.buffer import pack_episodes
from trainer.replay.episode import Episode, StoredEpisode
from trainer.runs.assembly import learner_settings, torch_device
from trainer.runs.process_memory import keep_freed_memory

EPISODES = 32
SHAPES = {
    "3m": (EnvSpec("3m", 3, 9, 30, 21, 4, 60), 40),
    "corridor": (EnvSpec("corridor", 6, 30, 156, 102, 5, 400), 100),
    "MMM2": (EnvSpec("MMM2", 10, 18, 176, 142, 7, 180), 100),
    "27m_vs_30m": (EnvSpec("27m_vs_30m", 27, 36, 285, 198, 4, 180), 80),
}
"""Specs of the maps, and the T of the yardsticks."""


@dataclass(frozen=True)
class BenchmarkConfig:
    """Flags of the benchmark."""

    algorithms: tuple[str, ...] = ("lan", "iql", "vdn", "qmix", "qplex")
    """Algorithms to time."""
    shapes: tuple[str, ...] = tuple(SHAPES)
    """Maps whose shapes are used."""
    repeats: int = 9
    """Timed updates of each kind; the median is shown."""
    threads: int = 1
    """Threads of the learner, of the loop, and of the large product that is the peak."""
    device: str = "cpu"
    """cpu or cuda."""
    loop: bool = True
    """Time the plain per-step loop beside the rest."""
    json: bool = False
    """Print one JSON object instead of a table."""


def random_episodes(spec: EnvSpec, lengths: Sequence[int]) -> list[Episode]:
    """Episodes of noise with a third of the actions unavailable."""
    rng = np.random.default_rng(0)
    episodes = []
    for length in lengths:
        avail = rng.random((length + 1, spec.n_agents, spec.n_actions)) < 0.7
        avail[..., 1] = True
        episodes.append(
            Episode(
                obs=rng.standard_normal((length + 1, spec.n_agents, spec.obs_dim), np.float32),
                state=rng.standard_normal((length + 1, spec.state_dim), np.float32),
                avail_actions=avail,
                action=avail[:-1].argmax(-1),
                reward=rng.standard_normal(length, np.float32),
                terminated=True,
                truncated=False,
                won=False,
            )
        )
    return episodes


class LoopVdn:
    """VDN as it is usually written: padded episodes, concatenated one-hots, one network call per step."""

    def __init__(self, spec: EnvSpec, episodes: Sequence[Episode]) -> None:
        self.spec = spec
        inputs = spec.obs_dim + spec.n_actions + spec.n_agents
        self.nets = [
            nn.ModuleList([nn.Linear(inputs, 64), nn.GRUCell(64, 64), nn.Linear(64, spec.n_actions)])
            for _ in range(2)
        ]
        self.optimizer = torch.optim.RMSprop(self.nets[0].parameters(), lr=5e-4, alpha=0.99, eps=1e-5)
        B, T, N = len(episodes), max(episode.length for episode in episodes), spec.n_agents
        self.obs = torch.zeros(B, T + 1, N, spec.obs_dim)
        self.avail = torch.ones(B, T + 1, N, spec.n_actions, dtype=torch.bool)
        self.action = torch.zeros(B, T, N, dtype=torch.long)
        self.reward, self.mask, self.ends = (torch.zeros(B, T) for _ in range(3))
        for b, episode in enumerate(episodes):
            n = episode.length
            self.obs[b, : n + 1] = torch.from_numpy(episode.obs)
            self.avail[b, : n + 1] = torch.from_numpy(episode.avail_actions)
            self.action[b, :n] = torch.from_numpy(episode.action)
            self.reward[b, :n], self.mask[b, :n] = torch.from_numpy(episode.reward), 1
            self.ends[b, n - 1] = 1

    def unroll(self, net: nn.ModuleList) -> Tensor:
        """Q [B, T + 1, N, A], one step after the other."""
        B, steps, N, _ = self.obs.shape
        A = self.spec.n_actions
        ids = torch.eye(N).expand(B, N, N)
        h, qs = torch.zeros(B * N, 64), []
        for t in range(steps):
            last = F.one_hot(self.action[:, t - 1], A).float() if t else torch.zeros(B, N, A)
            x = torch.cat((self.obs[:, t], last, ids), dim=2).view(B * N, -1)
            h = net[1](F.relu(net[0](x)), h)
            qs.append(net[2](h).view(B, N, A))
        return torch.stack(qs, dim=1)

    def update(self) -> None:
        """One gradient step."""
        q = self.unroll(self.nets[0])
        taken = q[:, :-1].gather(3, self.action[..., None]).squeeze(3)
        with torch.no_grad():
            target = self.unroll(self.nets[1])
            best = q.detach().masked_fill(~self.avail, -1e9)[:, 1:].argmax(3, keepdim=True)
            y = self.reward + 0.99 * (1 - self.ends) * target[:, 1:].gather(3, best).squeeze(3).sum(2)
        loss = ((taken.sum(2) - y).square() * self.mask).sum() / self.mask.sum()
        self.optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.nets[0].parameters(), 10)
        self.optimizer.step()


def sgemm_gflops(device: torch.device) -> float:
    """The speed of one large float32 matrix product now, GFLOP/s, best of five."""
    n = 2048 if device.type == "cpu" else 8192
    a, b = torch.randn(n, n, device=device), torch.randn(n, n, device=device)
    return 2e-9 * n**3 / min(timed([lambda: a @ b], 5, device)[0])


def timed(calls: Sequence[Callable[[], object]], repeats: int, device: torch.device) -> list[list[float]]:
    """Seconds of each call, `repeats` times, the calls in turn; two rounds before that do not count."""
    seconds: list[list[float]] = [[] for _ in calls]
    for round_ in range(repeats + 2):
        for call, times in zip(calls, seconds, strict=True):
            start = time.perf_counter()
            call()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if round_ >= 2:
                times.append(time.perf_counter() - start)
    return seconds


def with_threads(threads: int, call: Callable[[], object]) -> None:
    """Call with this many threads in torch's operations; everything else here has one."""
    torch.set_num_threads(threads)
    call()
    torch.set_num_threads(1)


def differentiate(learner: Learner, batch: EpisodeBatch) -> None:
    """What an update computes, on this thread alone: the counter sees no other."""
    loss, _ = learner.loss(batch)
    torch.autograd.grad(loss, learner.parameters, allow_unused=True)


def count_gflop(update: Callable[[], object]) -> float:
    """GFLOP of the matrix products that torch makes in one update, both ways."""
    with FlopCounterMode(display=False) as counter:
        update()
    return float(counter.get_total_flops()) / 1e9


def compiled_gflop(batch: EpisodeBatch, device: torch.device) -> float:
    """GFLOP of the recurrence where it is compiled, which torch does not see: two nets there, one back."""
    rows = (batch.n_rows - batch.n_episodes) * batch.obs.shape[1]
    return 3 * 2 * 3 * HIDDEN_DIM**2 * rows / 1e9 if device.type == "cpu" else 0.0


def measure_shape(
    name: str, config: BenchmarkConfig, device: torch.device, peak: float
) -> list[dict[str, object]]:
    """A row for every algorithm on one map's shapes."""
    spec, T = SHAPES[name]
    ragged = np.random.default_rng(1).integers(T // 3, T + 1, EPISODES).tolist()
    batches: dict[str, EpisodeBatch] = {}
    loops: dict[str, LoopVdn] = {}
    for kind, lengths in (("equal", [T] * EPISODES), ("ragged", ragged)):
        episodes = random_episodes(spec, lengths)
        stored = [StoredEpisode.store(episode, "float32") for episode in episodes]
        batches[kind] = pack_episodes(stored, spec.n_actions).to(device)
        loops[kind] = LoopVdn(spec, episodes)
    calls: dict[tuple[str, str], Callable[[], object]] = {}
    gflop: dict[tuple[str, str], float] = {}
    for algorithm in config.algorithms:
        torch.manual_seed(0)
        settings = learner_settings(resolve(TrainConfig(algorithm=algorithm, threads=config.threads)))
        learner = make_learner(algorithm, spec, settings, device)
        for kind, batch in batches.items():
            calls[algorithm, kind] = partial(learner.update, batch)
            by_torch = count_gflop(partial(differentiate, learner, batch))
            gflop[algorithm, kind] = by_torch + compiled_gflop(batch, device)
    if config.loop and device.type == "cpu":
        for kind, loop in loops.items():
            calls["loop", kind] = partial(with_threads, config.threads, loop.update)
            gflop["loop", kind] = count_gflop(loop.update)
    seconds = timed(list(calls.values()), config.repeats, device)
    rows = []
    for (algorithm, kind), times in zip(calls, seconds, strict=True):
        median_s, work = statistics.median(times), gflop[algorithm, kind]
        rows.append(
            {
                "shape": name, "algorithm": algorithm, "batch": kind, "ms": round(1e3 * median_s, 1),
                "min_ms": round(1e3 * min(times), 1), "gflop": round(work, 2),
                "gflops": round(work / median_s, 1),
                "times_own_flops_at_peak": round(median_s * peak / work, 2),
            }
        )  # fmt: skip
    return rows


def benchmark(config: BenchmarkConfig) -> None:
    """Time everything and print it."""
    device = torch_device(config.device)
    keep_freed_memory()
    torch.set_num_threads(config.threads)
    peak = sgemm_gflops(device)
    torch.set_num_threads(1)
    rows = [row for name in config.shapes for row in measure_shape(name, config, device, peak)]
    about = {
        "processor": platform.processor() or platform.machine(), "device": str(device),
        "threads": config.threads, "torch": torch.__version__, "sgemm_gflops": round(peak, 1),
    }  # fmt: skip
    if config.json:
        print(json.dumps({**about, "rows": rows}))
        return
    table = Table(
        "shape", "algorithm", "batch", "ms", "best", "GFLOP", "/s", "x own", "x loop",
        caption="best: fastest, ms; x own: times its own FLOPs at the peak; x loop: faster than the loop",
    )  # fmt: skip
    loops = {(row["shape"], row["batch"]): row["ms"] for row in rows if row["algorithm"] == "loop"}
    for row in rows:
        loop_ms = loops.get((row["shape"], row["batch"]))
        faster = f"{float(str(loop_ms)) / float(str(row['ms'])):.1f}" if loop_ms else "-"
        table.add_row(*(str(value) for value in row.values()), faster)
    console = Console()
    console.print("  ".join(f"{name}: {value}" for name, value in about.items()), highlight=False)
    console.print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    return run_command(
        BenchmarkConfig, benchmark, prog="learner", description=(__doc__ or "").split("\n")[0], argv=argv
    )


if __name__ == "__main__":
    sys.exit(main())
