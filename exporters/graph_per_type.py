"""The same graph for networks per agent type: one file that selects by agent id, with the same few operators.

Every type's layers run on every row, and a row keeps exactly its type's result: the results of other types
are multiplied by zero or leave its memory as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from envs.types import HIDDEN_DIM, EnemyRows, EnvSpec, FloatArray
from exporters.graph import (
    check_weights,
    constant,
    enemy_nodes,
    first_layer,
    gru_node,
    input_nodes,
    last_layer,
    node,
    output_nodes,
    parameters,
)

KEEP = 1e6
"""Added to the update gate of another type's GRU: its sigmoid is then 1, and the memory stays as it is."""


def split_weights(
    weights: Mapping[str, FloatArray], agent_types: Sequence[str], spec: EnvSpec, enemies: EnemyRows | None
) -> dict[str, dict[str, FloatArray]]:
    """The state dict of an `AdvantageNetPerType` by type; ValueError where one does not fit."""
    names = list(dict.fromkeys(agent_types))
    parts = {
        name: {
            key.removeprefix(f"nets.{name}."): array
            for key, array in weights.items()
            if key.startswith(f"nets.{name}.")
        }
        for name in names
    }
    known = sum(len(part) for part in parts.values())
    if len(agent_types) != spec.n_agents or known != len(weights):
        raise ValueError(f"not advantage networks of the types {', '.join(names)}")
    for part in parts.values():
        check_weights(part, spec, enemies)
    return parts


def parameters_per_type(parts: Mapping[str, Mapping[str, FloatArray]]) -> dict[str, FloatArray]:
    """The initializers of all types, each under its type's number.

    A GRU reads the type, one-hot [K], beside its input, so its W [1, 3H, H + K] has K columns that are no
    parameters: `KEEP` in the update gate where the type is another.
    """
    merged: dict[str, FloatArray] = {}
    for k, part in enumerate(parts.values()):
        own = parameters(part)
        gate = np.zeros((1, 3 * HIDDEN_DIM, len(parts)), np.float32)  # ONNX's order: update, reset, hidden
        gate[:, :HIDDEN_DIM] = KEEP
        gate[:, :, k] = 0
        own["gru.W"] = np.concatenate((own["gru.W"], gate), axis=2)
        for name, array in own.items():
            layer, _, kind = name.partition(".")
            merged[f"{layer}.{k}.{kind}"] = array
    return merged


def nodes_per_type(
    spec: EnvSpec, agent_types: Sequence[str], names: Sequence[str], enemies: EnemyRows | None
) -> list[onnx.NodeProto]:
    """The graph's nodes in order of execution; the comment on the line gives the shape of its output.

    `names` [K]: the types in the order of their numbers.
    """
    K = len(names)
    is_type = np.array([[kind == name for kind in agent_types] for name in names], np.float32)  # [K, N]
    graph = [
        *input_nodes(spec),
        *enemy_nodes(spec, enemies),
        constant("type_of_agent", is_type),
        constant("zeros_k", np.zeros(K, np.float32)),
        node("Gemm", "agent_id_one_hot type_of_agent zeros_k", "type_one_hot", transB=1),  # [batch, K]
        node("Unsqueeze", "hidden zero", "hidden_seq.0"),  # [1, batch, H]
    ]
    for k in range(K):
        graph += [
            *first_layer(f".{k}", enemies),  # x.k [batch, H]
            node("Concat", f"x.{k} type_one_hot", f"x_and_type.{k}", axis=1),  # [batch, H + K]
            node("Unsqueeze", f"x_and_type.{k} zero", f"x_seq.{k}"),  # [1, batch, H + K]
            gru_node(f"x_seq.{k}", f"gru.{k}", f"hidden_seq.{k}", f"hidden_seq.{k + 1}"),  # [1, batch, H]
        ]
    graph.append(node("Squeeze", f"hidden_seq.{K} zero", "next_hidden"))  # [batch, H]
    for k in range(K):
        graph += [
            *last_layer(f".{k}", enemies),  # advantages.k [batch, A]
            constant(f"type.{k}", [k]),
            constant(f"after_type.{k}", [k + 1]),
            node("Slice", f"type_one_hot type.{k} after_type.{k} one", f"is_type.{k}"),  # [batch, 1]
            node("Mul", f"advantages.{k} is_type.{k}", f"own.{k}"),  # [batch, A]
        ]
    sums = ["own.0", *(f"sum.{k}" for k in range(1, K - 1)), "advantages"]  # of the first k + 1 types
    graph += [node("Add", f"{sums[k - 1]} own.{k}", sums[k]) for k in range(1, K)]  # [batch, A]
    return [*graph, *output_nodes()]
