"""`lan-train` with LAN's update as it is usually written, to see that the fast one learns the same.

Episodes are padded to the longest and masked, one-hots are concatenated, the GRU is called once per step, and
autograd does the rest; everything else, from seeds to checkpoints, is `lan-train` itself:

    python -m benchmarks.plain_lan --map 3m --seed 0 --steps 60000 --threads 1
    lan-train --map 3m --seed 0 --steps 60000 --threads 1
    lan-plot runs/3m-lan-plain-seed0 runs/3m-lan-seed0
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

import trainer.runs.assembly
from envs.types import EnvSpec
from trainer.cli import main as lan_train
from trainer.learning.algorithms import ALGORITHMS
from trainer.learning.batch import EpisodeBatch
from trainer.learning.lan import LanLearner
from trainer.learning.learner import UNAVAILABLE, LearnerSettings
from trainer.learning.networks import SharedAdvantageNet, ValueNet

NAME = "lan-plain"


class PlainLanLearner(LanLearner):
    """LAN for agents that share one network, on padded episodes [B, T + 1, ...], one step after the other."""

    def loss(self, batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
        """As `LanLearner.loss`: the mean over real steps and agents, by a mask."""
        rows, real = padded_rows(batch)
        obs, state, avail = batch.obs[rows], batch.state[rows], batch.avail_actions[rows]
        last_action = batch.last_action[rows]
        action = last_action[:, 1:].clamp(min=0)
        reward, terminated = (of_steps(x, rows, batch.n_episodes) for x in (batch.reward, batch.terminated))
        mask = real[:, 1:]

        advantages, value = self._values(self.advantage, self.value, obs, last_action, state)
        q_proxy = value[:, :-1] + advantages[:, :-1].gather(3, action[..., None]).squeeze(3)
        with torch.no_grad():
            targets = self.targets["advantage"], self.targets["value"]
            target_advantages, target_value = self._values(*targets, obs, last_action, state)
            best = advantages.masked_fill(~avail, UNAVAILABLE)[:, 1:].argmax(3, keepdim=True)
            q_next = target_value[:, 1:] + target_advantages[:, 1:].gather(3, best).squeeze(3)
            y = reward[..., None] + self.settings.gamma * (1 - terminated[..., None]) * q_next
        squares = (q_proxy - y).square() * mask[..., None]
        n_agents = obs.shape[2]
        return squares.sum() / (mask.sum() * n_agents), q_proxy[mask]

    def _values(
        self, net: nn.Module, value: nn.Module, obs: Tensor, last_action: Tensor, state: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Advantages [B, T + 1, N, A] and values [B, T + 1, 1]; the memory one step after the other."""
        assert isinstance(net, SharedAdvantageNet)
        assert isinstance(value, ValueNet)
        assert isinstance(value.embed, nn.Linear)
        B, steps, N, _ = obs.shape
        actions = F.one_hot(last_action + 1, net.n_actions + 1)[..., 1:].to(obs.dtype)  # -1 becomes zeros
        ids = torch.eye(N, dtype=obs.dtype).expand(B, steps, N, N)
        inputs = torch.cat((obs, actions, ids), dim=3)
        h = inputs.new_zeros(B * N, net.hidden_dim)
        hiddens = []
        for t in range(steps):
            h = net.gru(F.relu(net.fc1(inputs[:, t].reshape(B * N, -1))), h)
            hiddens.append(h.view(B, N, -1))
        hidden = torch.stack(hiddens, dim=1)
        advantages = net.fc2(hidden)
        if self.subtract_mean:
            advantages = advantages - advantages.mean(3, keepdim=True)
        seen = hidden if self.settings.value_gradient_to_gru else hidden.detach()
        merged = F.relu(value.embed(torch.cat((seen, inputs), dim=3))).sum(2)
        v = F.relu(value.fc1(torch.cat((merged, state), dim=2)))
        return advantages, value.fc3(F.relu(value.fc2(v)))


def padded_rows(batch: EpisodeBatch) -> tuple[Tensor, Tensor]:
    """[B, T + 1] i64: the packed row of each episode's step (0 after its end), and whether there is one."""
    rows = torch.zeros(batch.n_episodes, len(batch.row_counts), dtype=torch.long)
    real = torch.zeros_like(rows, dtype=torch.bool)
    start = 0
    for t, count in enumerate(batch.row_counts):
        rows[:count, t] = torch.arange(start, start + count)
        real[:count, t] = True
        start += count
    return rows, real


def of_steps(values: Tensor, rows: Tensor, n_episodes: int) -> Tensor:
    """[B, T]: what is packed by next rows [P - B], such as rewards, for each step."""
    return values[(rows[:, 1:] - n_episodes).clamp(min=0)]


def make_plain(
    algorithm: str, spec: EnvSpec, settings: LearnerSettings, device: torch.device, agent_types: None = None
) -> PlainLanLearner:
    """In the place of `make_learner`, for the one algorithm that is made here."""
    assert (algorithm, agent_types, device.type) == (NAME, None, "cpu")
    return PlainLanLearner(spec, settings, device)


def main(argv: Sequence[str] | None = None) -> int:
    """`lan-train` with one more algorithm, for this process: what its runs are called by."""
    ALGORITHMS[NAME] = ALGORITHMS["lan"]
    trainer.runs.assembly.make_learner = make_plain  # type: ignore[attr-defined, assignment]
    return lan_train([*(sys.argv[1:] if argv is None else argv), "--algorithm", NAME])


if __name__ == "__main__":
    sys.exit(main())
