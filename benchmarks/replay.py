"""How much memory replay takes for 5 000 episodes of a map, beside PyMARL's layout.

    python -m benchmarks.replay [--maps corridor bane_vs_bane] [--episodes 64]

Episodes are played by a team that acts at random, as at the start of training. `seen`: at the lengths they
had. `full length`: every episode as long as the map allows, its observations as full as those of the longest
fifth of the episodes played. `densest`: as full as in the fullest step of all, a bound. PyMARL pads every
episode to the limit, keeps one-hots as float32 and masks as int32: its bytes follow from the dimensions.
The effect of float16 is measured on one batch: the change of loss and gradient relative to their size, and
the share of greedy actions that stay the same.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.make import make_env
from envs.types import EnvSpec, MultiAgentEnv
from trainer.config import TrainConfig, resolve
from trainer.learning.algorithms import make_learner
from trainer.learning.networks import advantage_net
from trainer.playing.rollout import collect
from trainer.replay.buffer import pack_episodes
from trainer.replay.episode import StoredEpisode
from trainer.runs.assembly import learner_settings

REPLAY_EPISODES = 5_000
BATTLES = 16
BATCH_EPISODES = 32
UPDATES_BEFORE = 30


@dataclass(frozen=True)
class BenchmarkConfig:
    """Flags of the benchmark."""

    maps: tuple[str, ...] = ("3m", "corridor", "MMM2", "27m_vs_30m", "bane_vs_bane")
    """Maps to play."""
    episodes: int = 64
    """Episodes played on each."""
    seed: int = 0
    """Seed of battles and actions."""
    json: bool = False
    """Print one JSON object instead of a table."""


def pymarl_bytes(spec: EnvSpec) -> int:
    """Bytes of one episode in PyMARL's buffer, which has episode_limit + 1 steps whatever the length."""
    N, A = spec.n_agents, spec.n_actions
    state = 4 * (spec.state_dim + N * A)  # with the joint last action
    per_agent = 4 * spec.obs_dim + 4 * A + 4 * A + 8  # observation, one-hot, availability, action
    return (spec.episode_limit + 1) * (state + N * per_agent + 4 + 1 + 8)  # reward, terminated, filled


def measure_map(name: str, config: BenchmarkConfig) -> dict[str, object]:
    """GiB of 5 000 episodes of a map."""
    env = make_env(name, "sim", n_battles=BATTLES, seed=config.seed)
    torch.manual_seed(config.seed)
    net, rng = advantage_net(env.spec), np.random.default_rng(config.seed)
    stored: dict[str, list[StoredEpisode]] = {"float32": [], "float16": []}
    while len(stored["float32"]) < config.episodes:
        for episode in collect(env, net, 1.0, rng)[0]:
            for dtype, episodes in stored.items():
                episodes.append(StoredEpisode.store(episode, dtype))
    gib = REPLAY_EPISODES / 2**30
    lengths = [episode.length for episode in stored["float32"]]
    result: dict[str, object] = {
        "map": name,
        "mean_length_steps": round(float(np.mean(lengths)), 1),
        "episode_limit_steps": env.spec.episode_limit,
        "pymarl_gib": round(gib * pymarl_bytes(env.spec), 1),
    }
    rows = env.spec.episode_limit + 1
    for dtype, episodes in stored.items():
        longest = sorted(episodes, key=lambda episode: -episode.length)[: max(1, len(episodes) // 5)]
        per_row = sum(e.nbytes for e in longest) / sum(e.length + 1 for e in longest)
        fullest = max(int(e.obs_counts.max()) for e in episodes)
        bound = per_row + np.dtype(dtype).itemsize * (fullest - mean_count(longest))
        result |= {
            f"{dtype}_seen_gib": round(gib * float(np.mean([e.nbytes for e in episodes])), 2),
            f"{dtype}_full_length_gib": round(gib * rows * per_row, 1),
            f"{dtype}_densest_gib": round(gib * rows * bound, 1),
        }
    result |= half_precision_effect(env, stored)
    env.close()
    return result


def half_precision_effect(env: MultiAgentEnv, stored: dict[str, list[StoredEpisode]]) -> dict[str, float]:
    """How LAN's loss, gradient and greedy actions on one batch change with float16, after a few updates."""
    torch.manual_seed(0)
    learner = make_learner(
        "lan", env.spec, learner_settings(resolve(TrainConfig(threads=1))), torch.device("cpu")
    )
    whole, half = (
        pack_episodes(stored[dtype][:BATCH_EPISODES], env.spec.n_actions) for dtype in ("float32", "float16")
    )
    for _ in range(UPDATES_BEFORE):
        learner.update(whole)
    losses, gradients, greedy = [], [], []
    for batch in (whole, half):
        loss, _ = learner.loss(batch)
        losses.append(loss.item())
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, learner.parameters)]))
        with torch.no_grad():
            _, advantages = learner.advantage.unroll(batch)
        greedy.append(advantages.masked_fill(~batch.avail_actions, -torch.inf).argmax(2))
    change = (gradients[1] - gradients[0]).norm() / gradients[0].norm()
    return {
        "float16_loss_change": float(f"{abs(losses[1] / losses[0] - 1):.1e}"),
        "float16_gradient_change": float(f"{float(change):.1e}"),
        "float16_same_greedy_actions": round(float((greedy[0] == greedy[1]).float().mean()), 5),
    }


def mean_count(episodes: Sequence[StoredEpisode]) -> float:
    """Values that are not zero, per step."""
    return float(np.concatenate([episode.obs_counts for episode in episodes]).mean())


def benchmark(config: BenchmarkConfig) -> None:
    """Measure and print."""
    results = [measure_map(name, config) for name in config.maps]
    if config.json:
        print(json.dumps(results))
        return
    table = Table("", *(str(result["map"]) for result in results), title=f"{REPLAY_EPISODES:,} episodes")
    for name in list(results[0])[1:]:
        table.add_row(name, *(str(result[name]) for result in results))
    Console().print(table)


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    description = (__doc__ or "").split("\n")[0]
    return run_command(BenchmarkConfig, benchmark, prog="replay", description=description, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
