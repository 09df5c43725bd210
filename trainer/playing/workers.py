"""Rollout workers as Ray actors, for environments as slow as the live game.

Each worker has one environment with one battle, receives weights, and sends back finished episodes. On the
simulator an episode is a function of weights, epsilon, seed and its number, whichever worker plays it. A
worker that dies or hangs is replaced, and its episode is played anew.
"""

from __future__ import annotations

import copy
import threading
from collections import deque
from typing import Any

import numpy as np
import torch

from envs.errors import InputError
from envs.make import make_env
from envs.outcomes import EpisodeStats
from envs.smac.maps import MAP_SCRIPT
from envs.smac.own_maps import take_map
from trainer.config import Epsilon
from trainer.learning.networks import AdvantageNet
from trainer.playing.ray_start import begin_ray, end_ray, is_alive, join_ray, running_ray
from trainer.playing.rollout import AbandonedError, Round, collect
from trainer.replay.episode import Episode

EPISODE_DEADLINE_S = 900.0
"""When no worker finishes an episode for this long, all busy ones are replaced."""
POLL_S = 0.5
LOSSES_PER_ROUND = 5
"""Workers that may be lost in one round, per worker; beyond that replacing them does not help."""
LIVE_SEED_STRIDE = 1_009
"""Live games are not numbered by episode, so each worker needs another seed."""


class RolloutWorker:
    """Runs in a separate process: one environment, one network."""

    def __init__(
        self,
        net: AdvantageNet,
        map_name: str,
        backend: str,
        seed: int,
        index: int,
        map_text: str | None = None,
        opponent: str = MAP_SCRIPT,
        reward: str = "map",
    ) -> None:
        torch.set_num_threads(1)
        take_map(map_name, map_text)
        own_seed = seed if backend == "sim" else seed + LIVE_SEED_STRIDE * index
        self.env = make_env(map_name, backend, n_battles=1, seed=own_seed, reward=reward)
        if opponent != MAP_SCRIPT:  # a live game needs no simulator
            from envs.battle.opponent import with_scripted_opponent

            self.env = with_scripted_opponent(self.env, opponent, seed)
        self.net, self.seed = net, seed

    def play(self, weights: dict[str, Any], epsilon: Epsilon, number: int) -> tuple[Episode, EpisodeStats]:
        """Episode `number`, whole."""
        self.net.load_state_dict({name: torch.from_numpy(np.array(w)) for name, w in weights.items()})
        self.env.next_episode = number
        rng = np.random.default_rng([self.seed, 2, number])
        episodes, stats = collect(self.env, self.net, epsilon, rng)
        return episodes[0], stats[0]


class WorkerPool:
    """N rollout workers; `play` is a round of episodes on all of them."""

    def __init__(
        self,
        n_workers: int,
        address: str | None,
        where: tuple[str, str, int],
        n_episodes: int,
        net: AdvantageNet,
        map_text: str | None = None,
        opponent: str = MAP_SCRIPT,
        reward: str = "map",
    ) -> None:
        self.ray, self._is_ours = connect(address, n_workers)
        self.where, self.told = where, (map_text, opponent, reward)  # where: map, backend, seed
        self.n_episodes, self.lost = n_episodes, 0
        self._net = self.ray.put(copy.deepcopy(net).cpu())  # its shape; weights come with every round
        self._actor = self.ray.remote(num_cpus=1)(RolloutWorker)
        self.workers: list[Any] = [self._hire(index) for index in range(n_workers)]

    def play(
        self,
        net: AdvantageNet,
        epsilon: Epsilon,
        first_episode: int,
        abandoned: threading.Event | None = None,
    ) -> Round:
        """The episodes from `first_episode` on, in order; AbandonedError once `abandoned` is set."""
        weights = self.ray.put({name: w.detach().cpu().numpy() for name, w in net.state_dict().items()})
        waiting = deque(range(first_episode, first_episode + self.n_episodes))
        done: dict[int, tuple[Episode, EpisodeStats]] = {}
        idle, playing = deque(range(len(self.workers))), dict[Any, tuple[int, int]]()
        quiet_s, lost_before = 0.0, self.lost
        while len(done) < self.n_episodes:
            if abandoned is not None and abandoned.is_set():
                raise AbandonedError
            while idle and waiting:
                index, number = idle.popleft(), waiting.popleft()
                playing[self.workers[index].play.remote(weights, epsilon, number)] = index, number
            ready, _ = self.ray.wait(list(playing), num_returns=1, timeout=POLL_S)
            quiet_s = 0.0 if ready else quiet_s + POLL_S
            if not ready and not is_alive(self.ray):
                raise ConnectionError("the Ray of the rollout workers has ended")
            for task in ready or (list(playing) if quiet_s > EPISODE_DEADLINE_S else []):
                index, number = playing.pop(task)
                try:
                    done[number] = self.ray.get(task, timeout=POLL_S)
                except (self.ray.exceptions.RayActorError, self.ray.exceptions.GetTimeoutError) as error:
                    self._replace(index, lost_before, error)
                    waiting.appendleft(number)
                    quiet_s = 0.0
                except self.ray.exceptions.RayTaskError as error:
                    raise error.cause from None  # the environment's error
                idle.append(index)
        rounds = [done[number] for number in sorted(done)]
        return [episode for episode, _ in rounds], [stats for _, stats in rounds]

    def close(self) -> None:
        """End the workers, and Ray if this pool began it, since the next pool may need more cores."""
        workers, self.workers = self.workers, []
        try:
            for worker in workers:
                self.ray.kill(worker)
        finally:
            if self._is_ours:
                end_ray(self.ray)

    def _hire(self, index: int) -> Any:
        return self._actor.remote(self._net, *self.where, index, *self.told)

    def _replace(self, index: int, lost_before: int, error: Exception) -> None:
        self.lost += 1
        if self.lost - lost_before > LOSSES_PER_ROUND * len(self.workers):
            reason = " ".join(str(error).split())[:200]
            raise InputError(f"rollout workers die as fast as they are replaced: {reason}") from None
        self.ray.kill(self.workers[index])
        self.workers[index] = self._hire(index)


def connect(address: str | None, n_workers: int) -> tuple[Any, bool]:
    """The ray module, connected to a cluster or to one begun here; and whether this call connected it."""
    asking = "--rollout-workers"
    if (ray := running_ray()) is not None:
        return ray, False
    return (begin_ray(asking, n_workers) if address is None else join_ray(asking, address)), True
