"""First weights of a learner's networks, which the LAN paper leaves open."""

from __future__ import annotations

import torch
from torch import nn


@torch.no_grad()
def initialize(net: nn.Module, how: str) -> None:
    """Give every linear layer and GRU cell of a network its first weights.

    `torch`: they stay as torch drew them. `orthogonal`: orthogonal matrices, one for each gate of a GRU, and
    no biases (Saxe et al. 2014). `unit-rows`: torch's, but every row of a matrix is scaled to length 1.
    """
    if how == "torch":
        return
    for layer in net.modules():
        if not isinstance(layer, nn.Linear | nn.GRUCell):
            continue
        for weight in layer.parameters():
            if how == "unit-rows" and weight.dim() == 2:
                weight.div_(weight.norm(dim=1, keepdim=True))
            elif how == "orthogonal" and weight.dim() == 2:
                for matrix in weight.chunk(3) if isinstance(layer, nn.GRUCell) else (weight,):
                    nn.init.orthogonal_(matrix)
            elif how == "orthogonal":
                weight.zero_()
