"""Playing episodes in process: for training with exploration, for evaluation greedily, with any team.

Axes: R rows, one per agent of every battle that still goes on; N agents, A actions, O observation, H memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch

from envs.errors import EpisodeLostError
from envs.outcomes import EpisodeStats
from envs.types import BoolArray, FloatArray, IntArray, MultiAgentEnv, Team, TimeStep
from trainer.learning.networks import AdvantageNet
from trainer.replay.buffer import Episode, pack_available


class Watcher(Protocol):
    """Somebody who looks on while a round of episodes is played."""

    def begin(self, step: TimeStep) -> None:
        """The battles have been reset and show `step`."""
        ...

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """The actions [B, N] led to `step`."""
        ...


class Policy(Protocol):
    """A recurrent policy of independent agents; the memory is the caller's."""

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """The memory that an episode starts with, [n_rows, H]."""
        ...

    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """obs [R, O], last_action [R] (-1 = none yet), agent_id [R], avail_actions [R, A], hidden [R, H] ->
        greedy action [R], advantages [R, A], next hidden [R, H]."""
        ...


class TorchPolicy:
    """Greedy in the advantages of a torch network (Eq. 2); each row sees its own observation only."""

    def __init__(self, net: AdvantageNet) -> None:
        self.net = net
        self.device = next(net.parameters()).device

    def initial_hidden(self, n_rows: int) -> FloatArray:
        """The memory that an episode starts with: zeros [n_rows, H]."""
        return np.zeros((n_rows, self.net.hidden_dim), np.float32)

    @torch.no_grad()
    def step(
        self,
        obs: FloatArray,
        last_action: IntArray,
        agent_id: IntArray,
        avail_actions: BoolArray,
        hidden: FloatArray,
    ) -> tuple[IntArray, FloatArray, FloatArray]:
        """One step of R agents; shapes as in `Policy.step`."""
        inputs = (torch.from_numpy(x).to(self.device) for x in (hidden, obs, last_action, agent_id))
        next_hidden, advantages = (x.cpu().numpy() for x in self.net.step(*inputs))
        return np.where(avail_actions, advantages, -np.inf).argmax(1), advantages, next_hidden


class PolicyTeam:
    """Agents that follow one policy, each with a memory of its own, through one episode per battle.

    With probability `epsilon` an agent takes a uniformly random available action (one draw per agent and
    step from `rng`, which must be given); otherwise, and by default always, the policy's own.
    `advantages` [B, N, A] are those of the last step.
    """

    def __init__(
        self,
        policy: Policy,
        env: MultiAgentEnv,
        *,
        epsilon: float = 0.0,
        rng: np.random.Generator | None = None,
    ) -> None:
        if epsilon > 0 and rng is None:
            raise ValueError("exploration needs a random generator")
        B, N, A = env.n_battles, env.spec.n_agents, env.spec.n_actions
        self.policy, self.epsilon, self.rng = policy, epsilon, rng
        self.last_action = np.full((B, N), -1, np.int64)
        self.hidden = np.stack([policy.initial_hidden(N)] * B)  # [B, N, H]
        self.advantages = np.zeros((B, N, A), np.float32)

    def __call__(self, step: TimeStep) -> IntArray:
        live = ~step.done
        count, N = int(live.sum()), self.last_action.shape[1]
        avail_actions = step.avail_actions[live].reshape(count * N, -1)
        action, advantages, hidden = self.policy.step(
            step.obs[live].reshape(count * N, -1),
            self.last_action[live].reshape(-1),
            np.tile(np.arange(N), count),
            avail_actions,
            self.hidden[live].reshape(count * N, -1),
        )
        if self.rng is not None and self.epsilon > 0:
            explores = self.rng.random(len(action)) < self.epsilon
            action = np.where(explores, random_actions(avail_actions, self.rng), action)
        self.last_action[live] = action.reshape(count, N)
        self.hidden[live] = hidden.reshape(count, N, -1)
        self.advantages[live] = advantages.reshape(count, N, -1)
        return self.last_action.copy()


def random_actions(avail_actions: BoolArray, rng: np.random.Generator) -> IntArray:
    """Actions [...], each uniform over the available ones, avail_actions [..., A]."""
    counts = avail_actions.sum(-1)
    nth = (rng.random(counts.shape) * counts).astype(np.int64)
    actions: IntArray = (avail_actions.cumsum(-1) > nth[..., None]).argmax(-1)
    return actions


def play_round(
    env: MultiAgentEnv, team: Team, slots: BoolArray, watch: Watcher | None = None
) -> tuple[TimeStep, list[EpisodeStats]]:
    """One episode in each of `slots` [B], to the longest's end; the last time step and the statistics."""
    live = slots.copy()
    returns, lengths = np.zeros(env.n_battles), np.zeros(env.n_battles, np.int64)
    step = env.reset(live)
    if watch is not None:
        watch.begin(step)
    while live.any():
        actions = team(step)
        step = env.step(actions)
        if watch is not None:
            watch.step(step, actions)
        returns += np.where(live, step.reward, 0)
        lengths += live
        live &= ~step.done
    rows = zip(returns[slots].tolist(), lengths[slots].tolist(), step.won[slots].tolist(), strict=True)
    return step, [EpisodeStats(*row) for row in rows]


def play(
    env: MultiAgentEnv, make_team: Callable[[], Team], n_episodes: int, watch: Watcher | None = None
) -> list[EpisodeStats]:
    """Play the next `n_episodes` episodes to their ends, B at a time, each time with a new team.

    A round in which a live game was lost does not count and is played again.
    """
    stats: list[EpisodeStats] = []
    while len(stats) < n_episodes:
        slots = np.arange(env.n_battles) < n_episodes - len(stats)
        with contextlib.suppress(EpisodeLostError):  # the environment limits how often that may happen
            stats += play_round(env, make_team(), slots, watch)[1]
    return stats


def collect(
    env: MultiAgentEnv,
    net: AdvantageNet,
    epsilon: float,
    rng: np.random.Generator,
    make_scribe: Callable[[], Scribe] | None = None,
) -> tuple[list[Episode], list[EpisodeStats]]:
    """B training episodes, whole, and their statistics.

    A round in which a live game was lost leaves nothing behind and is played again, with another scribe.
    """
    while True:
        team = PolicyTeam(TorchPolicy(net), env, epsilon=epsilon, rng=rng)
        scribe = make_scribe() if make_scribe else Scribe()
        try:
            _, stats = play_round(env, team, np.ones(env.n_battles, np.bool_), scribe)
        except EpisodeLostError:  # the environment limits how often that may happen
            continue
        return scribe.episodes([stat.length_steps for stat in stats]), stats


class Scribe:
    """A watcher that keeps everything and cuts it into episodes of their true lengths."""

    def begin(self, step: TimeStep) -> None:
        """Start over."""
        self.steps, self.actions = [step], list[IntArray]()

    def step(self, step: TimeStep, actions: IntArray) -> None:
        """Keep a step."""
        self.steps.append(step)
        self.actions.append(actions)

    def episodes(self, lengths: list[int]) -> list[Episode]:
        """One episode for each of the B battles."""
        last = self.steps[-1]
        obs = np.stack([step.obs for step in self.steps], axis=1)
        state = np.stack([step.state for step in self.steps], axis=1)
        avail = pack_available(np.stack([step.avail_actions for step in self.steps], axis=1))
        reward = np.stack([step.reward for step in self.steps[1:]], axis=1)
        action = np.stack(self.actions, axis=1).astype(np.uint8)
        return [
            Episode(
                obs=obs[b, : n + 1].copy(),
                state=state[b, : n + 1].copy(),
                avail_bits=avail[b, : n + 1].copy(),
                action=action[b, :n].copy(),
                reward=reward[b, :n].copy(),
                terminated=bool(last.terminated[b]),
                truncated=bool(last.truncated[b]),
                won=bool(last.won[b]),
            )
            for b, n in enumerate(lengths)
        ]


def evaluate(env: MultiAgentEnv, net: AdvantageNet, n_episodes: int) -> list[EpisodeStats]:
    """The next `n_episodes` greedy, decentralised episodes."""
    policy = TorchPolicy(net)
    return play(env, lambda: PolicyTeam(policy, env), n_episodes)
