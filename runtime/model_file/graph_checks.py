"""Checking a model's graph part by part before onnxruntime sees it.

Inputs and outputs must be exactly those of the model contract, every node one of the allowed operators, every
value of a size known beforehand.
"""

from __future__ import annotations

import math

import numpy as np

from envs.types import EnvSpec
from protos import onnx_subset_pb2 as onnx_subset
from runtime.model_file.contract import BATCH, DTYPES, FLOAT, INT64, Dim, inputs_of, outputs_of
from runtime.model_file.operators import MAX_DIM, OPERATORS, Node, Value, require

MAX_NODES = 128
MAX_ELEMENTS = 1 << 20
"""Elements in one value for one row of the batch; the 4 MB of a file hold no more."""


def check_graph(graph: onnx_subset.Graph, spec: EnvSpec) -> None:
    """GraphError unless the graph is made of allowed parts and has exactly the interface of `spec`."""
    inputs = {name: Value(*given) for name, given in inputs_of(spec).items()}
    outputs = {name: Value(*given) for name, given in outputs_of(spec).items()}
    for kind, infos, wanted in (("input", graph.input, inputs), ("output", graph.output, outputs)):
        found = {info.name: declared_value(info) for info in infos}
        require(len(found) == len(infos), f"two graph {kind}s of one name")
        for name, value in wanted.items():
            require(name in found, f"the graph has no {kind} {name!r}")
            is_not = f"is {describe(found[name])}, not {describe(value)}"
            require(found[name] == value, f"{kind} {name!r} {is_not}")
        require(list(found) == list(wanted), f"the graph's {kind}s are {list(found)}, not {list(wanted)}")
    values: dict[str, Value] = dict(inputs)
    for tensor in graph.initializer:
        value = tensor_value(tensor)
        require(is_finite(value), f"initializer {tensor.name!r} holds a value that is not finite")
        define(values, tensor.name, value)
    n_nodes = len(graph.node)
    require(n_nodes <= MAX_NODES, f"{n_nodes} nodes; at most {MAX_NODES} are allowed")
    for node in graph.node:
        apply_node(node, values)
    for name, value in outputs.items():
        require(name in values, f"nothing computes output {name!r}")
        require(values[name] == value, f"output {name!r} is computed as {describe(values[name])}")


def apply_node(message: onnx_subset.Node, values: dict[str, Value]) -> None:
    """Infer a node's outputs and add them to `values`; GraphError when it is not allowed."""
    op = message.op_type
    require(message.domain == "", f"operator domain {message.domain!r} is not allowed")
    require(op in OPERATORS, f"operator {op!r} is not allowed")
    for name in message.input:
        require(name == "" or name in values, f"{op} reads {name!r}, which nothing before it computes")
    attributes = {attribute.name: attribute_value(attribute) for attribute in message.attribute}
    require(len(attributes) == len(message.attribute), f"{op} has an attribute twice")
    outputs = list(message.output)
    node = Node(op, [values.get(name) for name in message.input], outputs, attributes)
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


def attribute_value(attribute: onnx_subset.Attribute) -> int | Value:
    """An integer or a tensor; nothing else is used by an allowed operator."""
    name, has_integer = attribute.name, attribute.HasField("i")
    require(has_integer != attribute.HasField("t"), f"attribute {name!r} is no integer or tensor")
    wanted_type = 2 if has_integer else 4  # AttributeProto.AttributeType INT, TENSOR
    require(attribute.type == wanted_type, f"attribute {name!r} has a wrong type")
    return attribute.i if has_integer else tensor_value(attribute.t)


def tensor_value(tensor: onnx_subset.Tensor) -> Value:
    """A tensor whose bytes are in the file, exactly as many as its type and dimensions say."""
    name, dtype, dims, raw = tensor.name, tensor.data_type, list(tensor.dims), tensor.raw_data
    require(dtype in (FLOAT, INT64), f"tensor {name!r} of type {dtype}; float32 and int64 are allowed")
    require(len(dims) <= 4 and all(0 < dim <= MAX_DIM for dim in dims), f"tensor {name!r} of shape {dims}")
    needed = math.prod(dims) * np.dtype(DTYPES[dtype]).itemsize
    require(len(raw) == needed, f"tensor {name!r} of shape {dims} has {len(raw)} bytes, not {needed}")
    return Value(dtype, tuple(dims), np.frombuffer(raw, DTYPES[dtype]).reshape(dims))


def declared_value(info: onnx_subset.ValueInfo) -> Value:
    """Type and shape that the file declares for a graph input or output."""
    tensor = info.type.tensor_type
    dims: list[Dim] = []
    for dim in tensor.shape.dim:
        kind = dim.WhichOneof("value")
        require(kind is not None, f"{info.name!r} has a dimension without a size or name")
        dims.append(dim.dim_value if kind == "dim_value" else dim.dim_param)
    return Value(tensor.elem_type, tuple(dims))


def is_finite(value: Value) -> bool:
    """Whether a constant holds neither infinities nor NaN."""
    return value.content is not None and bool(np.isfinite(value.content).all())


def describe(value: Value) -> str:
    """A type and shape for an error, such as `float32 [batch, 64]`."""
    name = np.dtype(DTYPES[value.dtype]).name if value.dtype in DTYPES else f"type {value.dtype}"
    return f"{name} [{', '.join(str(dim) for dim in value.shape)}]"
