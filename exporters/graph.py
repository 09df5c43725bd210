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

from envs.types import HIDDEN_DIM, EnvSpec, FloatArray


def nodes(spec: EnvSpec) -> list[onnx.NodeProto]:
    """The graph's nodes in order of execution; the comment on the line gives the shape of its output."""
    return [
        *input_nodes(spec),
        node("Gemm", "inputs fc1.weight fc1.bias", "fc1_out", transB=1),  # [batch, H]
        node("Relu", "fc1_out", "x"),  # [batch, H]
        node("Unsqueeze", "x zero", "x_seq"),  # [1, batch, H]
        node("Unsqueeze", "hidden zero", "hidden_seq"),  # [1, batch, H]
        gru_node("x_seq", "gru", "hidden_seq", "next_hidden_seq"),  # [1, batch, H]
        node("Squeeze", "next_hidden_seq zero", "next_hidden"),  # [batch, H]
        node("Gemm", "next_hidden fc2.weight fc2.bias", "advantages", transB=1),  # [batch, A]
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
    """The initializers: every number of the state dict once, the GRU's laid out as ONNX wants them."""
    return {
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


def check_weights(weights: Mapping[str, FloatArray], spec: EnvSpec) -> None:
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
