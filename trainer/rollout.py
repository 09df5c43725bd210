"""Playing episodes with a network in process: for training with exploration, for evaluation greedily."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from envs.types import BoolArray, FloatArray, IntArray, MultiAgentEnv, TimeStep
from trainer.networks import AdvantageNet, agent_ids
from trainer.replay import Episode, pack_available

Watcher = Callable[[TimeStep, FloatArray, IntArray], None]
"""Called before every step with what is seen, the advantages [B, N, A] and the actions [B, N]."""


@dataclass(frozen=True)
class EpisodeStats:
    """How one episode went: undiscounted return, steps, and whether the battle was won."""

    episode_return: float
    length_steps: int
    won: bool


def random_actions(avail_actions: BoolArray, rng: np.random.Generator) -> IntArray:
    """[B, N] actions, each uniform over the agent's available ones."""
    counts = avail_actions.sum(-1)
    nth = (rng.random(counts.shape) * counts).astype(np.int64)
    actions: IntArray = (avail_actions.cumsum(-1) > nth[..., None]).argmax(-1)
    return actions


def greedy_actions(advantages: FloatArray, avail_actions: BoolArray) -> IntArray:
    """[B, N] actions: argmax of the advantages [B, N, A] over the available ones (Eq. 2)."""
    actions: IntArray = np.where(avail_actions, advantages, -np.inf).argmax(-1)
    return actions


class Actor:
    """An advantage network acting for B battles of N agents; each row sees its own observation only."""

    def __init__(self, net: AdvantageNet, n_battles: int) -> None:
        self.net = net
        self.n_battles = n_battles
        device = next(net.parameters()).device
        self._ids = agent_ids(n_battles, net.n_agents, device)
        self._hidden = torch.zeros(n_battles * net.n_agents, net.hidden_dim, device=device)
        self._last_action = torch.full((n_battles * net.n_agents,), -1, device=device)

    @torch.no_grad()
    def advantages(self, obs: FloatArray) -> FloatArray:
        """Advance every agent's memory by its observation, obs [B, N, O], and return A [B, N, A]."""
        rows = torch.from_numpy(obs).view(-1, obs.shape[-1]).to(self._ids.device)
        self._hidden, advantages = self.net.step(self._hidden, rows, self._last_action, self._ids)
        result: FloatArray = advantages.view(self.n_battles, self.net.n_agents, -1).cpu().numpy()
        return result

    def acted(self, actions: IntArray) -> None:
        """Tell the agents what they did, [B, N]."""
        self._last_action = torch.from_numpy(actions).view(-1).to(self._ids.device)


class EpisodeRecorder:
    """Collects what B battles show and cuts it into episodes of their true lengths."""

    def __init__(self, n_battles: int) -> None:
        self.steps: list[TimeStep] = []
        self.actions: list[IntArray] = []
        self.lengths = np.zeros(n_battles, np.int64)

    def episodes(self, last: TimeStep) -> list[Episode]:
        """One episode per battle; `last` is the time step after the last action."""
        steps = [*self.steps, last]
        obs = np.stack([step.obs for step in steps], axis=1)
        state = np.stack([step.state for step in steps], axis=1)
        avail = pack_available(np.stack([step.avail_actions for step in steps], axis=1))
        reward = np.stack([step.reward for step in steps[1:]], axis=1)
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
            for b, n in enumerate(self.lengths)
        ]


def play(
    env: MultiAgentEnv,
    net: AdvantageNet,
    *,
    epsilon: float = 0.0,
    rng: np.random.Generator | None = None,
    recorder: EpisodeRecorder | None = None,
    watch: Watcher | None = None,
) -> tuple[TimeStep, list[EpisodeStats]]:
    """One episode in each of the B battles, to the end of the longest.

    Every agent acts on its own: with probability `epsilon` uniformly over its available actions (one draw
    per agent and step from `rng`), else greedily. Returns the last time step and the episodes' statistics.
    """
    if epsilon > 0 and rng is None:
        raise ValueError("exploration needs a random generator")
    actor = Actor(net, env.n_battles)
    step = env.reset()
    returns, lengths = np.zeros(env.n_battles), np.zeros(env.n_battles, np.int64)
    while not step.done.all():
        advantages = actor.advantages(step.obs)
        actions = greedy_actions(advantages, step.avail_actions)
        if rng is not None and epsilon > 0:
            explores = rng.random(actions.shape) < epsilon
            actions = np.where(explores, random_actions(step.avail_actions, rng), actions)
        actor.acted(actions)
        if watch is not None:
            watch(step, advantages, actions)
        if recorder is not None:
            recorder.steps.append(step)
            recorder.actions.append(actions)
        lengths += ~step.done
        step = env.step(actions)
        returns += step.reward
    if recorder is not None:
        recorder.lengths = lengths
    stats = [
        EpisodeStats(*row) for row in zip(returns.tolist(), lengths.tolist(), step.won.tolist(), strict=True)
    ]
    return step, stats


def collect(
    env: MultiAgentEnv, net: AdvantageNet, epsilon: float, rng: np.random.Generator
) -> tuple[list[Episode], list[EpisodeStats]]:
    """B training episodes, whole, and their statistics."""
    recorder = EpisodeRecorder(env.n_battles)
    last, stats = play(env, net, epsilon=epsilon, rng=rng, recorder=recorder)
    return recorder.episodes(last), stats


def evaluate(
    env: MultiAgentEnv, net: AdvantageNet, n_episodes: int, watch: Watcher | None = None
) -> list[EpisodeStats]:
    """The first `n_episodes` greedy, decentralised episodes from `env.next_episode` on."""
    first, stats = env.next_episode, list[EpisodeStats]()
    while len(stats) < n_episodes:
        stats += play(env, net, watch=watch)[1]
    env.next_episode = first + n_episodes
    return stats[:n_episodes]
