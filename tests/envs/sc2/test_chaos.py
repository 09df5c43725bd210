"""Games killed at random moments while training episodes are collected: what is kept is whole and right."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from envs.battle.env import BattleEnv
from envs.sc2.client import game_seed
from envs.sc2.env import LiveBattle, Sc2Env
from envs.smac.maps import load_map
from trainer.learning.networks import advantage_net
from trainer.playing.rollout import collect
from trainer.replay.episode import Episode

SEED = 8


class Killer(threading.Thread):
    """Kills the game with SIGKILL so often, some time after each new game has appeared."""

    def __init__(self, env: Sc2Env, kills: int) -> None:
        super().__init__(daemon=True)
        self.env, self.kills = env, kills
        self.killed: list[int] = []
        self.stop = threading.Event()

    def run(self) -> None:
        rng = np.random.default_rng(SEED)
        while len(self.killed) < self.kills and not self.stop.is_set():
            self.stop.wait(rng.uniform(0.0, 2.0))
            pid = self.env.pids[0]
            if pid is not None and pid not in self.killed:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed.append(pid)


def assert_is_the_simulated_battle(episode: Episode, launch: int, number: int) -> None:
    """The episode that the `launch`-th game played as its battle `number`, step by step."""
    env = BattleEnv(load_map("3m"), seed=game_seed(SEED, 0, launch))
    env.next_episode = number
    step = env.reset()
    for t, actions in enumerate(episode.action):
        np.testing.assert_allclose(episode.obs[t], step.obs[0], rtol=0, atol=1e-6)
        step = env.step(actions[None].astype(np.int64))
        assert episode.reward[t] == pytest.approx(step.reward[0], abs=1e-6)
    assert step.done[0]
    assert (episode.terminated, episode.truncated) == (bool(step.terminated[0]), bool(step.truncated[0]))


def run_under_fire(monkeypatch: pytest.MonkeyPatch, kills: int, at_least: int) -> None:
    begun: list[tuple[int, int]] = []  # launch and battle of every battle that began
    begin = LiveBattle.begin

    def noted(battle: LiveBattle) -> None:
        begin(battle)
        launch = battle._launches - 1
        begun.append((launch, sum(1 for game, _ in begun if game == launch)))

    monkeypatch.setattr(LiveBattle, "begin", noted)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    others = psutil.Process().children()  # of other tests
    env = Sc2Env(load_map("3m"), seed=SEED)
    net = advantage_net(env.spec)
    killer, rng = Killer(env, kills), np.random.default_rng(SEED)
    kept: list[tuple[Episode, tuple[int, int]]] = []

    def play() -> None:
        episodes, stats = collect(env, net, 1.0, rng)
        assert len(episodes) == len(stats) == 1
        kept.append((episodes[0], begun[-1]))

    try:
        play()  # undisturbed: a game that must compile its kernels first would be killed before it is done
        killer.start()
        while killer.is_alive() or len(kept) < at_least:
            play()
    finally:
        killer.stop.set()
        if killer.is_alive():
            killer.join(10)
        env.close()
    assert len(killer.killed) == kills
    assert env.failures.total <= kills
    assert len({where for _, where in kept}) == len(kept)  # no battle twice
    for episode, (launch, number) in kept:
        assert_is_the_simulated_battle(episode, launch, number)
    assert not set(psutil.Process().children()) - set(others)


def test_battles_around_killed_games_are_whole(sc2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_under_fire(monkeypatch, kills=3, at_least=8)


@pytest.mark.slow
def test_fifty_killed_games_leave_nothing_behind(sc2_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run_under_fire(monkeypatch, kills=50, at_least=50)
