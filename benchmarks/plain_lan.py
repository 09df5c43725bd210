"""Local Advantage Networks on one page: networks, acting, replay, loss, training, evaluation.

The idea: an agent knows only its own history tau, but the team's return also depends on the state s and on
the others' actions. So LAN learns two things at once. V(s, tau) sees everything and predicts the return;
A(tau, u) sees what one agent sees and only has to rank its actions. One double-DQN loss on V + A teaches
both. Acting needs A alone, so V is thrown away after training.

Read this to understand the algorithm (LAN paper, Algorithm 1); change it to try an idea. Nothing here is
fast: episodes are padded, one-hots concatenated, the GRU is called once per step. `lan-train` computes the
same faster, and a test holds losses, gradients and whole updates equal. From the project's folder:

    python -m benchmarks.plain_lan --map 3m --steps 60000      # prints a line per evaluation

Axes: B episodes, T steps, N agents, O observation, A actions, S state, H memory, I = O + A + N inputs.
"""

from __future__ import annotations

import copy
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from envs.command import run_command
from envs.make import make_env
from envs.types import HIDDEN_DIM, BoolArray, EnvSpec, FloatArray, IntArray, MultiAgentEnv


@dataclass(frozen=True)
class Config:
    """The paper's settings."""

    map: str = "3m"  # the map to learn
    steps: int = 60_000  # environment steps to train for
    seed: int = 0  # of weights, battles, exploration and replay
    gamma: float = 0.99  # discount per environment step
    learning_rate: float = 5e-4  # of Adam
    grad_norm_clip: float = 10.0  # largest norm of the gradient
    batch_episodes: int = 32  # episodes per update
    replay_episodes: int = 5_000  # whole episodes kept for replay
    updates_per_episode: int = 2  # gradient updates after every episode
    target_update_interval: int = 200  # updates between copies to the target networks
    epsilon_finish: float = 0.05  # exploration at the end of its fall from 1
    epsilon_anneal_steps: int = 50_000  # environment steps over which exploration falls
    eval_interval_steps: int = 10_000  # environment steps between evaluations
    eval_episodes: int = 32  # greedy battles per evaluation


class AdvantageNet(nn.Module):
    """A(tau, u): one network for all agents, the only part that is deployed."""

    def __init__(self, spec: EnvSpec) -> None:
        super().__init__()
        self.fc1 = nn.Linear(spec.obs_dim + spec.n_actions + spec.n_agents, HIDDEN_DIM)
        self.gru = nn.GRUCell(HIDDEN_DIM, HIDDEN_DIM)
        self.fc2 = nn.Linear(HIDDEN_DIM, spec.n_actions)

    def forward(self, inputs: Tensor, hidden: Tensor) -> tuple[Tensor, Tensor]:
        """One step: inputs [R, I], hidden [R, H] -> the next hidden [R, H] and the advantages [R, A]."""
        hidden = self.gru(F.relu(self.fc1(inputs)), hidden)
        return hidden, self.fc2(hidden)


class ValueNet(nn.Module):
    """V(s, tau): sees every agent and the state, and is thrown away after training."""

    def __init__(self, spec: EnvSpec) -> None:
        super().__init__()
        self.embed = nn.Linear(HIDDEN_DIM + spec.obs_dim + spec.n_actions + spec.n_agents, 128)
        self.fc1 = nn.Linear(128 + spec.state_dim, 128)
        self.fc2 = nn.Linear(128, 128)
        self.fc3 = nn.Linear(128, 1)

    def forward(self, hidden: Tensor, inputs: Tensor, state: Tensor) -> Tensor:
        """hidden [..., N, H], inputs [..., N, I], state [..., S] -> V [...].

        The histories come in as the agents' memories, so V's gradient trains their GRU too.
        """
        team = F.relu(self.embed(torch.cat((hidden, inputs), -1))).sum(-2)  # [..., 128], whatever N is
        value: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(torch.cat((team, state), -1))))))
        return value.squeeze(-1)


class Lan(nn.Module):
    """The two networks that are trained together."""

    def __init__(self, spec: EnvSpec) -> None:
        super().__init__()
        self.advantage, self.value = AdvantageNet(spec), ValueNet(spec)


class Episode(NamedTuple):
    """An episode of T steps and T + 1 observations."""

    obs: FloatArray  # [T + 1, N, O]
    state: FloatArray  # [T + 1, S]
    avail_actions: BoolArray  # [T + 1, N, A]
    action: IntArray  # [T, N]
    reward: FloatArray  # [T]


class Batch(NamedTuple):
    """B episodes, zeros behind their ends; `mask` is 1 at every step, `terminated` at the last one."""

    obs: Tensor  # [B, T + 1, N, O]
    state: Tensor  # [B, T + 1, S]
    avail_actions: Tensor  # [B, T + 1, N, A]
    action: Tensor  # [B, T, N]
    reward: Tensor  # [B, T]
    terminated: Tensor  # [B, T]
    mask: Tensor  # [B, T]


def pad(episodes: Sequence[Episode]) -> Batch:
    """A batch, padded to the longest episode; a time-out ends one like a defeat, as published runs do."""

    def stack(arrays: Sequence[np.ndarray]) -> Tensor:
        return nn.utils.rnn.pad_sequence([torch.from_numpy(a) for a in arrays], batch_first=True)

    taken = [np.ones(len(e.reward), np.float32) for e in episodes]
    last = [np.append(np.zeros(len(e.reward) - 1, np.float32), np.float32(1)) for e in episodes]
    obs, state, avail_actions, action, reward = map(stack, zip(*episodes, strict=True))
    return Batch(obs, state, avail_actions, action, reward, terminated=stack(last), mask=stack(taken))


def agent_inputs(obs: Tensor, last_action: Tensor, n_actions: int) -> Tensor:
    """[..., N, I]: observation, last action one-hot (zeros for -1, none yet), the agent's id one-hot."""
    action = F.one_hot(last_action + 1, n_actions + 1)[..., 1:].to(obs.dtype)
    agent_id = torch.eye(obs.shape[-2], dtype=obs.dtype).expand(*obs.shape[:-1], -1)
    return torch.cat((obs, action, agent_id), -1)


def unroll(lan: Lan, batch: Batch) -> tuple[Tensor, Tensor]:
    """Advantages [B, T + 1, N, A] and values [B, T + 1], the memory carried from zeros through every step."""
    B, T, N = batch.action.shape
    last_action = torch.cat((batch.action.new_full((B, 1, N), -1), batch.action), 1)  # [B, T + 1, N]
    inputs = agent_inputs(batch.obs, last_action, batch.avail_actions.shape[-1])
    hidden, hiddens, advantages = inputs.new_zeros(B * N, HIDDEN_DIM), [], []
    for t in range(T + 1):
        hidden, advantage = lan.advantage(inputs[:, t].flatten(0, 1), hidden)
        hiddens.append(hidden.view(B, N, -1))
        advantages.append(advantage.view(B, N, -1))
    return torch.stack(advantages, 1), lan.value(torch.stack(hiddens, 1), inputs, batch.state)


def lan_loss(online: Lan, target: Lan, batch: Batch, gamma: float) -> Tensor:
    """Mean over real steps and all agents, dead ones too, of (V + A_a - y_a)^2 (Eq. 3)."""
    advantages, value = unroll(online, batch)
    q_proxy = value[:, :-1, None] + advantages[:, :-1].gather(3, batch.action[..., None]).squeeze(3)  # Eq. 1
    with torch.no_grad():
        target_advantages, target_value = unroll(target, batch)
        available = advantages.masked_fill(~batch.avail_actions, -1e9)[:, 1:]
        greedy = available.argmax(3, keepdim=True)  # by the online networks: double DQN
        q_next = target_value[:, 1:, None] + target_advantages[:, 1:].gather(3, greedy).squeeze(3)
        y = batch.reward[..., None] + gamma * (1 - batch.terminated[..., None]) * q_next
    squares = (q_proxy - y).square() * batch.mask[..., None]
    return squares.sum() / (batch.mask.sum() * batch.action.shape[2])


@torch.no_grad()
def play(
    env: MultiAgentEnv, net: AdvantageNet, epsilon: float, rng: np.random.Generator
) -> tuple[Episode, bool]:
    """One battle and whether it was won; every agent acts on its own observation, memory and last action."""
    steps, actions = [env.reset()], list[Tensor]()
    hidden = torch.zeros(env.spec.n_agents, HIDDEN_DIM)
    action = torch.full((env.spec.n_agents,), -1)
    while not steps[-1].done[0]:
        available = torch.from_numpy(steps[-1].avail_actions[0])
        inputs = agent_inputs(torch.from_numpy(steps[-1].obs[0]), action, env.spec.n_actions)
        hidden, advantages = net(inputs, hidden)
        action = advantages.masked_fill(~available, -torch.inf).argmax(1)  # Eq. 2
        for agent in np.flatnonzero(rng.random(env.spec.n_agents) < epsilon):
            action[agent] = int(rng.choice(np.flatnonzero(available[agent])))
        actions.append(action)
        steps.append(env.step(action.numpy()[None]))
    obs, state, avail_actions = (
        np.stack([getattr(step, name)[0] for step in steps]) for name in ("obs", "state", "avail_actions")
    )
    reward = np.array([step.reward[0] for step in steps[1:]])
    return Episode(obs, state, avail_actions, torch.stack(actions).numpy(), reward), bool(steps[-1].won[0])


def train(config: Config) -> None:
    """Algorithm 1: one episode, two updates; every 10 000 steps, 32 greedy battles."""
    torch.set_num_threads(1)
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    env = make_env(config.map, "sim", seed=config.seed)
    eval_env = make_env(config.map, "sim", seed=config.seed + 1_000_003)
    online = Lan(env.spec)
    target = copy.deepcopy(online)
    optimizer = torch.optim.Adam(online.parameters(), config.learning_rate)
    replay: deque[Episode] = deque(maxlen=config.replay_episodes)
    env_steps = updates = 0
    next_eval_steps = config.eval_interval_steps
    while env_steps < config.steps:
        explored = min(1.0, env_steps / config.epsilon_anneal_steps)
        epsilon = 1 + explored * (config.epsilon_finish - 1)
        episode, _ = play(env, online.advantage, epsilon, rng)
        replay.append(episode)
        env_steps += len(episode.reward)
        for _ in range(config.updates_per_episode if len(replay) >= config.batch_episodes else 0):
            chosen = rng.choice(len(replay), config.batch_episodes, replace=False)
            loss = lan_loss(online, target, pad([replay[i] for i in chosen]), config.gamma)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(online.parameters(), config.grad_norm_clip)
            optimizer.step()
            updates += 1
            if updates % config.target_update_interval == 0:
                target.load_state_dict(online.state_dict())
        if env_steps >= next_eval_steps or env_steps >= config.steps:
            won = [play(eval_env, online.advantage, 0.0, rng)[1] for _ in range(config.eval_episodes)]
            print(f"{env_steps:>9,} steps  {updates:>7,} updates  win rate {np.mean(won):.0%}", flush=True)
            next_eval_steps += config.eval_interval_steps


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    description = (__doc__ or "").split("\n")[0]
    return run_command(Config, train, prog="plain_lan", description=description, argv=argv)


if __name__ == "__main__":
    sys.exit(main())
