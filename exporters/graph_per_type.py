"""The same graph for networks per agent type: one file that selects by agent id, with the same few operators.

Every type's layers run on every row, and a row keeps exactly its type's result: the results of other types
are multiplied by zero or leave its memory as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx

from envs.types import HIDDEN_DIM, EnvSpec, FloatArray
from exporters.graph import check_weights, constant, gru_node, input_nodes, node, output_nodes, parameters

KEEP = 1e6
"""Added to the update gate of another type's GRU: its sigmoid is then 1, and the memory stays as it is."""
MARGIN = 1e3
"""By how much the advantages of other types are pushed below zero, in units of the largest there can be."""


def split_weights(
    weights: Mapping[str, FloatArray], agent_types: Sequence[str], spec: EnvSpec
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
        check_weights(part, spec)
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
    spec: EnvSpec, agent_types: Sequence[str], parts: Mapping[str, Mapping[str, FloatArray]]
) -> list[onnx.NodeProto]:
    """The graph's nodes in order of execution; the comment on the line gives the shape of its output."""
    names, K, A = list(parts), len(parts), spec.n_actions
    is_type = np.array([[kind == name for kind in agent_types] for name in names], np.float32)  # [K, N]
    select, merge = selection(parts)
    graph = [
        *input_nodes(spec),
        constant("type_of_agent", is_type),
        constant("zeros_k", np.zeros(K, np.float32)),
        node("Gemm", "agent_id_one_hot type_of_agent zeros_k", "type_one_hot", transB=1),  # [batch, K]
        node("Unsqueeze", "hidden zero", "hidden_seq.0"),  # [1, batch, H]
    ]
    for k in range(K):
        graph += [
            node("Gemm", f"inputs fc1.{k}.weight fc1.{k}.bias", f"fc1_out.{k}", transB=1),  # [batch, H]
            node("Relu", f"fc1_out.{k}", f"x.{k}"),  # [batch, H]
            node("Concat", f"x.{k} type_one_hot", f"x_and_type.{k}", axis=1),  # [batch, H + K]
            node("Unsqueeze", f"x_and_type.{k} zero", f"x_seq.{k}"),  # [1, batch, H + K]
            gru_node(f"x_seq.{k}", f"gru.{k}", f"hidden_seq.{k}", f"hidden_seq.{k + 1}"),  # [1, batch, H]
        ]
    graph.append(node("Squeeze", f"hidden_seq.{K} zero", "next_hidden"))  # [batch, H]
    for k in range(K):
        graph.append(
            node("Gemm", f"next_hidden fc2.{k}.weight fc2.{k}.bias", f"fc2_out.{k}", transB=1)
        )  # [batch, A]
    every = " ".join(f"fc2_out.{k}" for k in range(K))
    return [
        *graph,
        constant("select", select),
        constant("zeros_2ka", np.zeros(2 * K * A, np.float32)),
        constant("merge", merge),
        constant("zeros_a", np.zeros(A, np.float32)),
        node("Concat", f"{every} type_one_hot", "fc2_and_type", axis=1),  # [batch, KA + K]
        node("Gemm", "fc2_and_type select zeros_2ka", "signed", transB=1),  # [batch, 2KA]
        node("Relu", "signed", "selected"),  # [batch, 2KA], zeros but for the own type's parts
        node("Gemm", "selected merge zeros_a", "advantages", transB=1),  # [batch, A]
        *output_nodes(),
    ]


def selection(parts: Mapping[str, Mapping[str, FloatArray]]) -> tuple[FloatArray, FloatArray]:
    """Two constant matrices that let through the advantages of a row's own type, to the last bit.

    With r = relu(select [advantages of all types, type]) a row has its own positive and negative parts in r
    and zeros for the other types, since these were pushed below zero; merge r = positive - negative part.
    select [2KA, KA + K], merge [A, 2KA].
    """
    K, A = len(parts), len(next(iter(parts.values()))["fc2.bias"])
    one = np.eye(K * A, dtype=np.float32)
    push = np.zeros((K * A, K), np.float32)
    for k, part in enumerate(parts.values()):
        largest = np.abs(part["fc2.weight"]).sum(1).max() + np.abs(part["fc2.bias"]).max()  # |hidden| <= 1
        push[k * A : (k + 1) * A] = -MARGIN * (1 + largest)
        push[k * A : (k + 1) * A, k] = 0
    select = np.block([[one, push], [-one, push]])
    merge = np.tile(np.eye(A, dtype=np.float32), 2 * K)
    merge[:, K * A :] *= -1
    return select.astype(np.float32), merge
