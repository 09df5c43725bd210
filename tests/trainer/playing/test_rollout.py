"""Playing episodes: every one with its own memory, whatever plays beside it; exploration at its rate."""

import numpy as np
import pytest
import torch

from envs.checkers import DOWN, LEFT, STAY, CheckersEnv
from envs.spread import SpreadEnv, SpreadSettings
from envs.types import BoolArray, FloatArray, IntArray
from trainer.learning.networks import advantage_net
from trainer.playing.policy import PolicyTeam, random_actions
from trainer.playing.rollout import Scribe, collect, evaluate, play


class Scripted:
    """Agents that follow a list of actions each, counting the steps in their memory."""

    def __init__(self, actions: list[list[int]]) -> None:
        self.actions = np.array(actions)  # [N, T]

    def initial_hidden(self, n_rows: int) -> FloatArray:
        return np.zeros((n_rows, 1), np.float32)

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        t = hidden[:, 0].astype(int)
        before = np.where(t > 0, self.actions[agent_id, t - 1], -1)
        np.testing.assert_array_equal(last_action, before)
        return self.actions[agent_id, t], np.zeros(avail_actions.shape, np.float32), hidden + 1


class StandStill:
    """Agents that never want to move."""

    def initial_hidden(self, n_rows: int) -> FloatArray:
        return np.zeros((n_rows, 1), np.float32)

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        return np.full(len(obs), STAY), np.zeros(avail_actions.shape, np.float32), hidden


def test_episodes_are_the_same_however_many_play_side_by_side() -> None:
    settings = SpreadSettings(n_agents=2)
    torch.manual_seed(1)
    net = advantage_net(SpreadEnv(settings).spec)
    three, four = (evaluate(SpreadEnv(settings, n_battles=n, seed=9), net, 7) for n in (3, 4))
    assert [episode.length_steps for episode in three] == [episode.length_steps for episode in four]
    np.testing.assert_allclose(
        [episode.episode_return for episode in three],
        [episode.episode_return for episode in four],
        rtol=1e-5,
    )


def test_collected_episodes_hold_what_was_seen_and_done() -> None:
    settings = SpreadSettings(n_agents=2)
    torch.manual_seed(2)
    env = SpreadEnv(settings, n_battles=2, seed=3)
    net = advantage_net(env.spec)
    episodes, stats = collect(env, net, 0.3, np.random.default_rng(0))
    again = SpreadEnv(settings, n_battles=2, seed=3)
    step = again.reset()
    for t in range(episodes[0].length):
        np.testing.assert_array_equal([episode.obs[t] for episode in episodes], step.obs)
        np.testing.assert_array_equal([episode.state[t] for episode in episodes], step.state)
        step = again.step(np.stack([episode.action[t] for episode in episodes]))
        np.testing.assert_array_equal([episode.reward[t] for episode in episodes], step.reward)
    np.testing.assert_array_equal([episode.obs[-1] for episode in episodes], step.obs)
    assert [episode.truncated for episode in episodes] == step.truncated.tolist()
    returns = [stat.episode_return for stat in stats]
    np.testing.assert_allclose(returns, [episode.reward.sum() for episode in episodes], rtol=1e-5)


def test_exploration_may_have_another_rate_at_every_step() -> None:
    """At steps of rate 1 everything is drawn, at those of rate 0 nothing."""
    env = CheckersEnv(n_battles=8)
    team = PolicyTeam(StandStill(), env, epsilon=lambda step: float(step % 2), rng=np.random.default_rng(1))
    step, moved = env.reset(), []
    for _ in range(20):
        actions = team(step)
        moved.append((actions != STAY).mean())
        step = env.step(actions)
    assert max(moved[0::2]) == 0
    assert min(moved[1::2]) > 0.2


def test_returns_lengths_and_memories_are_the_episodes_own() -> None:
    """Seven episodes on three slots: every one starts with a fresh memory and no last action."""
    actions = [[DOWN, LEFT] + [STAY] * 98, [STAY] * 50 + [LEFT] + [STAY] * 49]
    env = CheckersEnv(n_battles=3)
    stats = play(env, lambda: PolicyTeam(Scripted(actions), env), 7)
    assert [(episode.episode_return, episode.length_steps, episode.won) for episode in stats] == [
        (10.0 - 1.0, 100, False)
    ] * 7


def test_exploration_takes_other_actions_at_its_rate() -> None:
    """With the same seed the same ones; without a generator it is refused."""

    def moves(epsilon: float, seed: int) -> float:
        env = CheckersEnv(n_battles=4)
        team = PolicyTeam(StandStill(), env, epsilon=epsilon, rng=np.random.default_rng(seed))
        step, taken = env.reset(), []
        while not step.done.all():
            taken.append(team(step).copy())
            step = env.step(taken[-1])
        return float(np.mean(np.stack(taken) != STAY))

    assert moves(0.5, seed=0) == moves(0.5, seed=0)
    assert moves(0.5, seed=0) == pytest.approx(0.5 * 4 / 5, abs=0.05)
    with pytest.raises(ValueError, match="random generator"):
        PolicyTeam(StandStill(), CheckersEnv(), epsilon=0.5)


def test_rounds_longer_than_their_room_are_kept_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(4)
    settings = SpreadSettings(n_agents=2)
    net = advantage_net(SpreadEnv(settings).spec)
    rounds = []
    for room in (1, 3, 256):
        monkeypatch.setattr(Scribe, "ROOM_STEPS", room)
        env = SpreadEnv(settings, n_battles=3, seed=5)
        rounds.append(collect(env, net, 0.5, np.random.default_rng(6))[0])
    for episodes in zip(*rounds, strict=True):
        assert episodes[0].length > 6
        for name in ("obs", "state", "avail_actions", "action", "reward"):
            first, *others = (getattr(episode, name) for episode in episodes)
            assert all(np.array_equal(first, other) for other in others)


def test_random_actions_of_some_rows_are_those_of_all() -> None:
    available = np.random.default_rng(7).random((50, 6)) < 0.5
    available[:, 2] = True
    some = np.array([3, 11, 49])
    of_all, of_some = (
        random_actions(available, np.random.default_rng(8), rows) for rows in (slice(None), some)
    )
    np.testing.assert_array_equal(of_all[some], of_some)
    assert available[np.arange(50), of_all].all()
