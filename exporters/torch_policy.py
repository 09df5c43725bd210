"""The trained advantage network as a policy: the yardstick that an exported file is held against."""

from __future__ import annotations

import numpy as np
import torch

from envs.command import InputError
from envs.types import BoolArray, FloatArray, IntArray
from trainer.checkpoint import Checkpoint
from trainer.networks import AdvantageNet, advantage_net


def load_advantage_net(checkpoint: Checkpoint) -> AdvantageNet:
    """The advantage network of a checkpoint, and nothing else of it; InputError when it does not fit."""
    net = advantage_net(checkpoint.spec)
    try:
        net.load_state_dict(checkpoint.advantage)
    except (KeyError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"the checkpoint's advantage network does not fit its {checkpoint.spec.name}: {reason}"
        ) from None
    return net.eval()


class TorchPolicy:
    """Greedy in the advantages of a torch network; satisfies `exporters.play.Policy`."""

    def __init__(self, net: AdvantageNet) -> None:
        self.net = net

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
        next_hidden, advantages = self.net.step(
            *(torch.from_numpy(x) for x in (hidden, obs, last_action, agent_id))
        )
        masked = np.where(avail_actions, advantages.numpy(), -np.inf)
        return masked.argmax(1), advantages.numpy(), next_hidden.numpy()
