"""Rounds played beside learning: with which weights, and what becomes of one that nobody waits for."""

import threading
import time

import numpy as np
import pytest
import torch

from envs.types import IntArray, TimeStep
from tests.trainer.support.recall_env import RecallEnv
from trainer.learning.networks import AdvantageNet, advantage_net
from trainer.playing.collector import EnvPlayer, OverlappedCollector
from trainer.playing.rollout import AbandonedError, collect
from trainer.replay.episode import Episode


def env_and_net() -> tuple[RecallEnv, AdvantageNet]:
    torch.manual_seed(3)
    env = RecallEnv(4, seed=3)
    return env, advantage_net(env.spec)


def actions(episodes: list[Episode]) -> list[list[list[int]]]:
    return [episode.action.tolist() for episode in episodes]


def greedy_round(net: AdvantageNet, first_episode: int) -> list[list[list[int]]]:
    env = RecallEnv(4, seed=3)
    env.next_episode = first_episode
    return actions(collect(env, net, 0.0, np.random.default_rng())[0])


def test_a_round_is_played_with_the_weights_of_the_moment_it_was_prepared() -> None:
    env, net = env_and_net()
    collector = OverlappedCollector(EnvPlayer(env, 3), net)
    assert actions(collector.take(0.0, 0)[0]) == greedy_round(net, 0)
    with torch.no_grad():
        net.fc2.weight.mul_(-1)
    prepared = greedy_round(net, 4)
    collector.prepare(0.0, 4, begin=True)
    with torch.no_grad():  # an update that comes while the round is played
        net.fc2.weight.mul_(-1)
    assert actions(collector.take(0.0, 4)[0]) == prepared != greedy_round(net, 4)
    collector.close()


def test_a_round_that_was_begun_is_played_again_after_a_restart() -> None:
    env, net = env_and_net()
    one = OverlappedCollector(EnvPlayer(env, 3), net)
    one.prepare(0.5, 8, begin=True)
    saved = {name: value.clone() for name, value in one.state_dict().items()}
    torch.manual_seed(4)
    other = OverlappedCollector(EnvPlayer(RecallEnv(4, seed=3), 3), advantage_net(env.spec))
    other.load_state_dict(saved)
    assert actions(other.take(0.5, 8)[0]) == actions(one.take(0.5, 8)[0])
    one.close()
    other.close()


def test_a_round_that_nobody_waits_for_ends_at_its_next_step() -> None:
    env, net = env_and_net()
    playing, step = threading.Event(), env.step

    def slow_step(actions: IntArray) -> TimeStep:
        playing.set()
        time.sleep(0.2)
        return step(actions)

    env.step = slow_step  # type: ignore[method-assign]
    collector = OverlappedCollector(EnvPlayer(env, 3), net)
    collector.prepare(0.0, 0, begin=True)
    assert playing.wait(10)
    collector.close()
    with pytest.raises(AbandonedError):
        collector.take(0.0, 0)


def test_what_fails_beside_learning_is_raised_where_it_is_waited_for() -> None:
    env, net = env_and_net()

    def broken(actions: IntArray) -> TimeStep:
        raise OSError("the game is gone")

    env.step = broken  # type: ignore[method-assign]
    collector = OverlappedCollector(EnvPlayer(env, 3), net)
    collector.prepare(0.0, 0, begin=True)
    with pytest.raises(OSError, match="the game is gone"):
        collector.take(0.0, 0)
    collector.close()
