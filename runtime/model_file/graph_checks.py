"""Checking a model's graph part by part before onnxruntime sees it.

Inputs and outputs must be exactly those of the model contract, every node one of the allowed operators, every
value of a size known beforehand.
"""

from __future__ import annotations

import math

import numpy as np

from envs.types import HIDDEN_DIM, EnvSpec
from runtime.model_file.operators import (
    BATCH,
    BOOL,
    DTYPES,
    FLOAT,
    INT64,
    MAX_DIM,
    OPERATORS,
    Dim,
    Node,
    Value,
    require,
)
from runtime.model_file.wire import Message

MAX_NODES = 64
MAX_ELEMENTS = 1 << 20
"""Elements in one value for one row of the batch; the 4 MB of a file hold no more."""


def interface(spec: EnvSpec) -> tuple[dict[str, Value], dict[str, Value]]:
    """The graph's inputs and outputs by name, in order, as the model contract has them."""
    O, A, H = spec.obs_dim, spec.n_actions, HIDDEN_DIM
    inputs = {
        "obs": Value(FLOAT, (BATCH, O)),
        "last_action": Value(INT64, (BATCH,)),
        "agent_id": Value(INT64, (BATCH,)),
        "avail_actions": Value(BOOL, (BATCH, A)),
        "hidden": Value(FLOAT, (BATCH, H)),
    }
    outputs = {
        "action": Value(INT64, (BATCH,)),
        "advantages": Value(FLOAT, (BATCH, A)),
        "next_hidden": Value(FLOAT, (BATCH, H)),
    }
    return inputs, outputs


def check_graph(graph: Message, spec: EnvSpec) -> None:
    """GraphError unless the graph is made of allowed parts and has exactly the interface of `spec`."""
    inputs, outputs = interface(spec)
    for kind, wanted in (("input", inputs), ("output", outputs)):
        found = {info.get("name", ""): declared_value(info) for info in graph.get(kind, [])}
        require(len(found) == len(graph.get(kind, [])), f"two graph {kind}s of one name")
        for name, value in wanted.items():
            require(name in found, f"the graph has no {kind} {name!r}")
            is_not = f"is {describe(found[name])}, not {describe(value)}"
            require(found[name] == value, f"{kind} {name!r} {is_not}")
        require(list(found) == list(wanted), f"the graph's {kind}s are {list(found)}, not {list(wanted)}")
    values: dict[str, Value] = dict(inputs)
    for tensor in graph.get("initializer", []):
        name, value = tensor.get("name", ""), tensor_value(tensor)
        require(is_finite(value), f"initializer {name!r} holds a value that is not finite")
        define(values, name, value)
    nodes = graph.get("node", [])
    require(len(nodes) <= MAX_NODES, f"{len(nodes)} nodes; at most {MAX_NODES} are allowed")
    for node in nodes:
        apply_node(node, values)
    for name, value in outputs.items():
        require(name in values, f"nothing computes output {name!r}")
        require(values[name] == value, f"output {name!r} is computed as {describe(values[name])}")


def apply_node(message: Message, values: dict[str, Value]) -> None:
    """Infer a node's outputs and add them to `values`; GraphError when it is not allowed."""
    op = message.get("op_type", "")
    require(message.get("domain", "") == "", f"operator domain {message.get('domain')!r} is not allowed")
    require(op in OPERATORS, f"operator {op!r} is not allowed")
    for name in message.get("input", []):
        require(name == "" or name in values, f"{op} reads {name!r}, which nothing before it computes")
    outputs = message.get("output", [])
    attributes = {a.get("name", ""): attribute_value(a) for a in message.get("attribute", [])}
    require(len(attributes) == len(message.get("attribute", [])), f"{op} has an attribute twice")
    node = Node(op, [values.get(name) for name in message.get("input", [])], outputs, attributes)
    allowed = OPERATORS[op]
    require(len(node.inputs) in allowed.inputs, f"{op} with {len(node.inputs)} inputs")
    require(set(attributes) <= allowed.attributes, f"{op} with attributes {sorted(attributes)}")
    inferred = allowed.infer(node)
    require(len(outputs) == len(inferred), f"{op} with {len(outputs)} outputs")
    for name, value in zip(outputs, inferred, strict=True):
        if name or op != "GRU":
            define(values, name, value)


def define(values: dict[str, Value], name: str, value: Value) -> None:
    """Add a value under a new name; GraphError when the name is taken or the value is too large."""
    require(name != "" and name not in values, f"value {name!r} is defined twice or has no name")
    sizes = [1 if dim == BATCH else int(dim) for dim in value.shape]
    small = max(sizes, default=1) <= MAX_DIM and math.prod(sizes) <= MAX_ELEMENTS
    require(small, f"value {name!r} is too large")
    values[name] = value


def attribute_value(message: Message) -> int | Value:
    """An integer or a tensor; nothing else is used by an allowed operator."""
    kinds = {"i": 2, "t": 4}  # AttributeProto.AttributeType INT, TENSOR
    name, given = message.get("name"), [kind for kind in kinds if kind in message]
    require(len(given) == 1, f"attribute {name!r} is no integer or tensor")
    require(message.get("type") == kinds[given[0]], f"attribute {name!r} has a wrong type")
    return int(message["i"]) if given == ["i"] else tensor_value(message["t"])


def tensor_value(message: Message) -> Value:
    """A tensor whose bytes are in the file, exactly as many as its type and dimensions say."""
    name, dtype = message.get("name", ""), message.get("data_type", 0)
    require(dtype in (FLOAT, INT64), f"tensor {name!r} of type {dtype}; float32 and int64 are allowed")
    dims: list[int] = message.get("dims", [])
    require(len(dims) <= 4 and all(0 < dim <= MAX_DIM for dim in dims), f"tensor {name!r} of shape {dims}")
    raw: bytes = message.get("raw_data", b"")
    needed = math.prod(dims) * np.dtype(DTYPES[dtype]).itemsize
    require(len(raw) == needed, f"tensor {name!r} of shape {dims} has {len(raw)} bytes, not {needed}")
    return Value(dtype, tuple(dims), np.frombuffer(raw, DTYPES[dtype]).reshape(dims))


def declared_value(info: Message) -> Value:
    """Type and shape that the file declares for a graph input or output."""
    tensor = info.get("type", {}).get("tensor_type", {})
    dims: list[Dim] = []
    for dim in tensor.get("shape", {}).get("dim", []):
        require(len(dim) == 1, f"{info.get('name')!r} has a dimension with no or two meanings")
        dims.append(dim.get("dim_value", dim.get("dim_param")))
    return Value(tensor.get("elem_type", 0), tuple(dims))


def is_finite(value: Value) -> bool:
    """Whether a constant holds neither infinities nor NaN."""
    return value.content is not None and bool(np.isfinite(value.content).all())


def describe(value: Value) -> str:
    """A type and shape for an error, such as `float32 [batch, 64]`."""
    name = np.dtype(DTYPES[value.dtype]).name if value.dtype in DTYPES else f"type {value.dtype}"
    return f"{name} [{', '.join(str(dim) for dim in value.shape)}]"
