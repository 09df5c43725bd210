"""The advantage network as an ONNX graph, written node by node.

Everything between an observation and an action is inside: one-hots, GRU, masking, greedy argmax. So the
runtime cannot drift from the trainer, and the file holds nothing of the machine that made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from envs.types import HIDDEN_DIM, EnemyRows, EnvSpec, FloatArray


def nodes(spec: EnvSpec, enemies: EnemyRows | None) -> list[onnx.NodeProto]:
    """The graph's nodes in order of execution; the comment on the line gives the shape of its output."""
    return [
        *input_nodes(spec),
        *enemy_nodes(spec, enemies),
        *first_layer("", enemies),  # x [batch, H]
        node("Unsqueeze", "x zero", "x_seq"),  # [1, batch, H]
        node("Unsqueeze", "hidden zero", "hidden_seq"),  # [1, batch, H]
        gru_node("x_seq", "gru", "hidden_seq", "next_hidden_seq"),  # [1, batch, H]
        node("Squeeze", "next_hidden_seq zero", "next_hidden"),  # [batch, H]
        *last_layer("", enemies),  # advantages [batch, A]
        *output_nodes(),
    ]


def input_nodes(spec: EnvSpec) -> list[onnx.NodeProto]:
    """From the graph's inputs to `inputs` [batch, O + A + N]; `agent_id_one_hot` [batch, N] on the way."""
    A, N = spec.n_actions, spec.n_agents
    return [
        constant("off_on", [0.0, 1.0]),
        constant("mask_value", float("-inf")),  # below every finite advantage
        constant("n_actions_plus_one", A + 1),
        constant("n_agents", N),
        constant("zero", [0]),
        constant("one", [1]),
        constant("n_actions", [A]),
        # OneHot counts -1 from the end: one class more than there are actions, and that class cut off again.
        node("OneHot", "last_action n_actions_plus_one off_on", "last_action_or_none"),  # [batch, A + 1]
        node("Slice", "last_action_or_none zero n_actions one", "last_action_one_hot"),  # [batch, A]
        node("OneHot", "agent_id n_agents off_on", "agent_id_one_hot"),  # [batch, N]
        node("Concat", "obs last_action_one_hot agent_id_one_hot", "inputs", axis=1),  # [batch, O + A + N]
    ]


def enemy_nodes(spec: EnvSpec, enemies: EnemyRows | None) -> list[onnx.NodeProto]:
    """From `obs` to `enemies` [batch, J, W + 1]: the features of each, and 1 where it is seen."""
    if enemies is None:
        return []
    J, W, distance = enemies.n_enemies, enemies.width, enemies.distance
    columns = np.eye(spec.n_actions, J, -enemies.first_attack, dtype=np.float32)
    return [
        constant("two", [2]),
        constant("first_enemy", [enemies.first]),
        constant("last_enemy", [enemies.end]),
        constant("enemy_shape", [0, J, W]),
        constant("distance", [distance]),
        constant("after_distance", [distance + 1]),
        constant("attack_columns", columns),  # [A, J]
        constant("zeros_a", np.zeros(spec.n_actions, np.float32)),
        node("Slice", "obs first_enemy last_enemy one", "enemy_features"),  # [batch, J W]
        node("Reshape", "enemy_features enemy_shape", "enemy_rows"),  # [batch, J, W]
        node("Slice", "enemy_rows distance after_distance two", "distances"),  # [batch, J, 1]
        node("Sign", "distances", "seen"),  # [batch, J, 1]
        node("Concat", "enemy_rows seen", "enemies", axis=2),  # [batch, J, W + 1]
    ]


def first_layer(of: str, enemies: EnemyRows | None) -> list[onnx.NodeProto]:
    """From `inputs` and `enemies` to `x` [batch, H]; `of` is added to the names, as in `fc1.0.weight`."""
    fc1 = node("Gemm", f"inputs fc1{of}.weight fc1{of}.bias", f"fc1_out{of}", transB=1)  # [batch, H]
    if enemies is None:
        return [fc1, node("Relu", f"fc1_out{of}", f"x{of}")]
    return [
        fc1,
        node("MatMul", f"enemies embed{of}.weight", f"embed_out{of}"),  # [batch, J, H]
        node("Relu", f"embed_out{of}", f"embeddings{of}"),  # [batch, J, H]
        node("ReduceSum", f"embeddings{of} one", f"embedding{of}", keepdims=0),  # [batch, H]
        node("Add", f"fc1_out{of} embedding{of}", f"both{of}"),  # [batch, H]
        node("Relu", f"both{of}", f"x{of}"),  # [batch, H]
    ]


def last_layer(of: str, enemies: EnemyRows | None) -> list[onnx.NodeProto]:
    """From `next_hidden` and the enemies' embeddings to `advantages` [batch, A]."""
    fc2 = f"next_hidden fc2{of}.weight fc2{of}.bias"
    if enemies is None:
        return [node("Gemm", fc2, f"advantages{of}", transB=1)]
    return [
        node("Gemm", fc2, f"fc2_out{of}", transB=1),  # [batch, A]
        node("Gemm", f"next_hidden query{of}.weight query{of}.bias", f"query{of}", transB=1),  # [batch, H]
        node("Unsqueeze", f"query{of} two", f"query_column{of}"),  # [batch, H, 1]
        node("MatMul", f"embeddings{of} query_column{of}", f"product_column{of}"),  # [batch, J, 1]
        node("Squeeze", f"product_column{of} two", f"products{of}"),  # [batch, J]
        node("Gemm", f"products{of} attack_columns zeros_a", f"attacks{of}", transB=1),  # [batch, A]
        node("Add", f"fc2_out{of} attacks{of}", f"advantages{of}"),  # [batch, A]
    ]


def output_nodes() -> list[onnx.NodeProto]:
    """From `advantages` to the greedy action among the available ones."""
    return [
        node("Where", "avail_actions advantages mask_value", "masked_advantages"),  # [batch, A]
        node("ArgMax", "masked_advantages", "action", axis=1, keepdims=0),  # [batch]
    ]


def constant(name: str, value: float | list[int] | list[float] | FloatArray) -> onnx.NodeProto:
    """A constant that is no parameter: a number or an array, f32 or i64 as given."""
    dtype = np.float32 if isinstance(np.ravel(value)[0].item(), float) else np.int64
    return helper.make_node(
        "Constant", [], [name], name=name, value=numpy_helper.from_array(np.array(value, dtype))
    )


def node(op: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    """An operator with one output, whose name it has; its inputs are separated by blanks."""
    return helper.make_node(op, inputs.split(), [output], name=output, **attributes)


def gru_node(x: str, name: str, hidden: str, next_hidden: str) -> onnx.NodeProto:
    """One step of a GRU with the weights NAME.W, .R, .B; all values [1, batch, …]."""
    return helper.make_node(
        "GRU",
        [x, f"{name}.W", f"{name}.R", f"{name}.B", "", hidden],
        ["", next_hidden],
        name=next_hidden,
        hidden_size=HIDDEN_DIM,
        linear_before_reset=1,  # torch applies the reset gate after the recurrent matrix and its bias
    )


def parameters(weights: Mapping[str, FloatArray]) -> dict[str, FloatArray]:
    """The initializers: every number of the state dict once, laid out as ONNX wants them."""
    plain = ("query.weight", "query.bias")  # of networks that read every enemy
    of_enemies = {name: weights[name] for name in plain if name in weights}
    if "embed.weight" in weights:
        of_enemies["embed.weight"] = weights["embed.weight"].T.copy()  # [W + 1, H]
    return of_enemies | {
        "fc1.weight": weights["fc1.weight"],
        "fc1.bias": weights["fc1.bias"],
        "gru.W": reorder_gates(weights["gru.weight_ih"])[None],  # [1, 3H, H]
        "gru.R": reorder_gates(weights["gru.weight_hh"])[None],  # [1, 3H, H]
        "gru.B": np.concatenate(
            (reorder_gates(weights["gru.bias_ih"]), reorder_gates(weights["gru.bias_hh"]))
        )[None],  # [1, 6H]
        "fc2.weight": weights["fc2.weight"],
        "fc2.bias": weights["fc2.bias"],
    }


def reorder_gates(stacked: FloatArray) -> FloatArray:
    """[3H, …] in torch's gate order (reset, update, new) -> in ONNX's (update, reset, hidden)."""
    reset, update, new = np.split(stacked, 3)
    return np.concatenate((update, reset, new))


def check_weights(weights: Mapping[str, FloatArray], spec: EnvSpec, enemies: EnemyRows | None) -> None:
    """ValueError naming the first weight that is missing, superfluous, not finite or of another shape."""
    H = HIDDEN_DIM
    expected: dict[str, tuple[int, ...]] = {
        "fc1.weight": (H, spec.obs_dim + spec.n_actions + spec.n_agents),
        "fc1.bias": (H,),
        "gru.weight_ih": (3 * H, H),
        "gru.weight_hh": (3 * H, H),
        "gru.bias_ih": (3 * H,),
        "gru.bias_hh": (3 * H,),
        "fc2.weight": (spec.n_actions, H),
        "fc2.bias": (spec.n_actions,),
    }
    if enemies is not None:
        of_query: dict[str, tuple[int, ...]] = {"query.weight": (H, H), "query.bias": (H,)}
        expected |= {"embed.weight": (H, enemies.width + 1)} | of_query
    if unlike := set(weights) ^ set(expected):
        raise ValueError(f"not an advantage network: weights missing or superfluous: {sorted(unlike)}")
    for name, shape in expected.items():
        array = weights[name]
        if array.shape != shape or array.dtype != np.float32:
            raise ValueError(
                f"weight {name} is {array.dtype} {list(array.shape)}; {spec.name} needs float32 {list(shape)}"
            )
        if not np.isfinite(array).all():
            raise ValueError(f"weight {name} holds a value that is not finite")
