"""A slow, obvious reading of what the learners compute: one episode and one step at a time, with one-hots."""

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from envs.types import EnemyRows, EnvSpec
from trainer.learning.networks import (
    AdvantageNet,
    AdvantageNetPerType,
    SharedAdvantageNet,
)
from trainer.replay.episode import Episode

SPEC = EnvSpec(name="toy", n_agents=3, n_actions=5, obs_dim=7, state_dim=4, unit_dim=2, episode_limit=9)
TYPES = ("knight", "archer", "knight")
"""Types of SPEC's agents where only agents of one type share a network."""
ENEMIES = EnemyRows(first=1, n_enemies=2, width=3, distance=1, first_attack=3)
"""Where SPEC's agents see enemies; each is out of sight in a third of `random_episode`."""


def random_episode(rng: np.random.Generator, length: int, *, truncated: bool = False) -> Episode:
    N, A = SPEC.n_agents, SPEC.n_actions
    avail = rng.random((length + 1, N, A)) < 0.6
    avail[..., 1] = True
    dead = rng.random((length + 1, N)) < 0.2
    avail[dead] = np.eye(A, dtype=bool)[0]
    obs = rng.standard_normal((length + 1, N, SPEC.obs_dim)).astype(np.float32)
    for j in range(ENEMIES.n_enemies):
        at = ENEMIES.first + j * ENEMIES.width
        obs[..., at + ENEMIES.distance] = np.abs(obs[..., at + ENEMIES.distance])
        obs[..., at : at + ENEMIES.width] *= rng.random((length + 1, N, 1)) < 2 / 3
    obs[dead] = 0
    return Episode(
        obs=obs,
        state=rng.standard_normal((length + 1, SPEC.state_dim)).astype(np.float32),
        avail_actions=avail,
        action=(rng.random(avail[:-1].shape) * avail[:-1]).argmax(-1),
        reward=rng.standard_normal(length).astype(np.float32),
        terminated=not truncated,
        truncated=truncated,
        won=False,
    )


def one_hot_inputs(obs: torch.Tensor, last_action: torch.Tensor) -> torch.Tensor:
    """[N, O + A + N]; last_action -1 is all zeros."""
    actions = F.one_hot(last_action.clamp(min=0), SPEC.n_actions) * (last_action >= 0)[:, None]
    return torch.cat((obs, actions.float(), torch.eye(SPEC.n_agents)), dim=1)


def slow_advantages(net: AdvantageNet, episode: Episode) -> tuple[torch.Tensor, torch.Tensor]:
    """Memory [L + 1, N, H] and advantages [L + 1, N, A] of one episode, one agent and step at a time."""
    nets = [net.nets[kind] if isinstance(net, AdvantageNetPerType) else net for kind in TYPES]
    assert all(isinstance(own, SharedAdvantageNet) for own in nets)
    h, hiddens, advantages = [torch.zeros(64)] * SPEC.n_agents, [], []
    last = torch.full((SPEC.n_agents,), -1)
    for t in range(episode.length + 1):
        inputs = one_hot_inputs(torch.from_numpy(episode.obs[t]), last)
        each = [slow_step(own, inputs[a], h[a]) for a, own in enumerate(nets)]
        h = [hidden for hidden, _ in each]
        hiddens.append(torch.stack(h))
        advantages.append(torch.stack([values for _, values in each]))
        if t < episode.length:
            last = torch.from_numpy(episode.action[t])
    return torch.stack(hiddens), torch.stack(advantages)


def slow_step(
    net: SharedAdvantageNet, inputs: torch.Tensor, hidden: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """The new memory [H] and the advantages [A] of one agent, enemy by enemy."""
    embeddings, rows = {}, net.enemies
    if rows is not None:
        for j in range(rows.n_enemies):
            features = inputs[rows.first + j * rows.width :][: rows.width]
            if features[rows.distance] > 0:
                embeddings[j] = F.relu(net.embed(torch.cat((features, torch.ones(1)))))
    hidden = net.gru(F.relu(sum(embeddings.values(), start=net.fc1(inputs))), hidden)
    values = list(net.fc2(hidden))
    for j, embedding in embeddings.items():
        values[net.enemies.first_attack + j] = (
            values[net.enemies.first_attack + j] + net.query(hidden) @ embedding
        )
    return hidden, torch.stack(values)


def slow_targets(
    rewards: Sequence[float], q_next: Sequence[torch.Tensor], gamma: float, td_lambda: float, *, ends: bool
) -> list[torch.Tensor]:
    """The targets of one episode's L steps, from its end; nothing follows its last step where it `ends`."""
    future = torch.zeros_like(q_next[-1]) if ends else q_next[-1]
    targets = [rewards[-1] + gamma * future]
    for reward, q in zip(rewards[-2::-1], q_next[-2::-1], strict=True):
        targets.append(reward + gamma * ((1 - td_lambda) * q + td_lambda * targets[-1]))
    return targets[::-1]
