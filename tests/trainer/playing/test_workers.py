"""Rollout workers in processes of their own: the same episodes whoever plays them, and whoever dies."""

import importlib.util
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from envs.errors import InputError
from envs.make import make_env
from trainer.config import TrainConfig, resolve
from trainer.learning.networks import advantage_net
from trainer.playing.rollout import collect
from trainer.playing.workers import WorkerPool, connect
from trainer.runs.assembly import assemble
from trainer.runs.metrics import read_metrics
from trainer.runs.plan import Plan

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="needs Ray"),
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning"),  # Ray's own
]


@pytest.fixture(scope="module", autouse=True)
def cluster() -> Iterator[None]:
    ray, _ = connect(None, 2)
    yield
    ray.shutdown()


def test_episodes_are_those_played_here_although_workers_are_killed() -> None:
    env = make_env("3m", "sim", n_battles=1, seed=4)
    torch.manual_seed(4)
    net = advantage_net(env.spec)
    pool = WorkerPool(2, None, ("3m", "sim", 4), 24, net)
    stop = threading.Event()

    def kill() -> None:
        while pool.lost < 3 and not stop.wait(0.05):
            for process in psutil.process_iter(["name", "cmdline"]):
                if any("RolloutWorker.play" in word for word in process.info["cmdline"] or ()):
                    process.kill()
                    break

    killer = threading.Thread(target=kill)
    killer.start()
    episodes, stats = pool.play(net, 0.3, 10)
    stop.set()
    killer.join()
    pool.close()
    assert pool.lost > 0
    assert len(episodes) == 24
    for number, (episode, stat) in enumerate(zip(episodes, stats, strict=True), 10):
        env.next_episode = number
        [expected], [expected_stat] = collect(env, net, 0.3, np.random.default_rng([4, 2, number]))
        np.testing.assert_array_equal(episode.obs, expected.obs)
        np.testing.assert_array_equal(episode.action, expected.action)
        assert stat == expected_stat


def test_runs_are_the_same_with_one_worker_and_with_two(tmp_path: Path) -> None:
    config = TrainConfig(
        map="3m", env="sim", steps=500, seed=2, envs=4, overlap="on", batch_episodes=4, eval_episodes=2,
        log_interval_steps=100,
    )  # fmt: skip
    lines = []
    for n_workers in (1, 2):
        told = resolve(replace(config, rollout_workers=n_workers))
        with assemble(Plan(told, tmp_path / str(n_workers), "sim")) as run:
            run.run(Quiet())
        records = read_metrics(tmp_path / str(n_workers))
        lines.append([{k: v for k, v in r.items() if not k.startswith("wall_")} for r in records])
    assert lines[0] == lines[1]
    assert lines[0][-1]["updates"] > 20


class Quiet:
    def progress(self, *args: object) -> None:
        return None

    record = warn = progress


def test_workers_that_cannot_start_are_not_replaced_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainer.playing.workers.LOSSES_PER_ROUND", 1)
    net = advantage_net(make_env("3m", "sim").spec)
    pool = WorkerPool(1, None, ("no such map", "sim", 0), 1, net)
    start = time.monotonic()
    with pytest.raises(InputError, match="die as fast as they are replaced"):
        pool.play(net, 0.0, 0)
    assert time.monotonic() - start < 300
    pool.close()
