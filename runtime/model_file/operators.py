"""The operators a policy graph may be made of, and how large their outputs get.

An operator is allowed when a rule below can tell the type and shape of its output from its inputs. Every size
is therefore known before onnxruntime sees the file: nothing loops, nothing grows with data, nothing is large.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy.typing as npt

from envs.errors import LanError
from envs.types import HIDDEN_DIM
from runtime.model_file.contract import BATCH, BOOL, FLOAT, INT64, Dim

MAX_DIM = 65_536
MAX_PRODUCTS = 1 << 22
"""Of one MatMul for one row of the batch; a Gemm has no more either, since its weights are in the file."""


class GraphError(LanError):
    """The graph is not that of a policy; the text says which part and why."""


@dataclass(frozen=True)
class Value:
    """Type and shape of a value in the graph, and its content where the file fixes it."""

    dtype: int
    shape: tuple[Dim, ...]
    content: npt.NDArray[Any] | None = field(default=None, compare=False)


@dataclass(frozen=True)
class Node:
    """One operator with its inputs looked up; an input left out is None."""

    op: str
    inputs: list[Value | None]
    outputs: list[str]
    attributes: dict[str, int | Value] = field(default_factory=dict)

    def constant(self, index: int, dtype: int, rank: int) -> npt.NDArray[Any]:
        """The content of an input that the file must fix."""
        content = self.value(index, dtype, rank).content
        if content is None:
            raise GraphError(f"{self.op}: input {index} must be a constant")
        return content

    def variable(self, index: int, dtype: int, *ranks: int) -> tuple[Dim, ...]:
        """The shape of an input that depends on what the agent sees."""
        value = self.value(index, dtype, *ranks)
        require(value.content is None, f"{self.op}: input {index} must not be a constant")
        return value.shape

    def value(self, index: int, dtype: int, *ranks: int) -> Value:
        """An input that must be there, of one type and of one of some ranks."""
        value = self.inputs[index]
        if value is None or value.dtype != dtype or len(value.shape) not in ranks:
            raise GraphError(f"{self.op}: input {index} is missing or of a wrong type")
        return value

    def axis(self) -> int:
        """The single axis that a constant second input names."""
        axes = self.constant(1, INT64, 1)
        require(axes.shape == (1,), f"{self.op}: one axis is allowed")
        return int(axes[0])


def require(condition: bool, text: str) -> None:
    """GraphError with `text` unless the condition holds."""
    if not condition:
        raise GraphError(text)


def one_hot(node: Node) -> list[Value]:
    (rows,) = node.variable(0, INT64, 1)
    depth = int(node.constant(1, INT64, 0))
    require(0 < depth <= MAX_DIM, f"OneHot: depth {depth}")
    require(node.constant(2, FLOAT, 1).shape == (2,), "OneHot: two values are needed")
    return [Value(FLOAT, (rows, depth))]


def slice_(node: Node) -> list[Value]:
    *others, width = node.variable(0, FLOAT, 2, 3)
    start, end, axis = (node.constant(index, INT64, 1).tolist() for index in (1, 2, 3))
    last = len(others)
    require(len(node.inputs) == 4 and axis == [last], f"Slice: steps or axes other than {last}")
    require(len(start) == len(end) == 1, "Slice: one range is allowed")
    require(isinstance(width, int) and 0 <= start[0] < end[0] <= width, f"Slice: range {start[0]}:{end[0]}")
    return [Value(FLOAT, (*others, end[0] - start[0]))]


def concat(node: Node) -> list[Value]:
    shapes = [node.variable(index, FLOAT, 2, 3) for index in range(len(node.inputs))]
    *others, _ = shapes[0]
    last = len(others)
    require(node.attributes.get("axis") == last, f"Concat: axis other than {last}")
    require(
        all([BATCH, *shape[1:-1]] == others for shape in shapes), "Concat: parts without rows, or unequal"
    )
    return [Value(FLOAT, (*others, sum(int(shape[-1]) for shape in shapes)))]


def reshape(node: Node) -> list[Value]:
    rows, width = node.variable(0, FLOAT, 2)
    shape = node.constant(1, INT64, 1).tolist()
    fits = len(shape) == 3 and shape[0] == 0 and min(shape[1:]) > 0 and shape[1] * shape[2] == width
    require(rows == BATCH and fits, f"Reshape: shape {shape} for {width} features")
    return [Value(FLOAT, (rows, *shape[1:]))]


def matmul(node: Node) -> list[Value]:
    rows, count, width = node.variable(0, FLOAT, 3)
    right = node.value(1, FLOAT, 2, 3)
    *of_rows, inner, outer = right.shape
    same_rows = (len(right.shape) == 2 and right.content is not None) or of_rows == [BATCH]
    require(rows == BATCH and same_rows and inner == width, "MatMul: factors that do not fit")
    products = int(count) * int(width) * int(outer)
    require(products <= MAX_PRODUCTS, f"MatMul: {products} products; at most {MAX_PRODUCTS} are allowed")
    return [Value(FLOAT, (rows, count, outer))]


def reduce_sum(node: Node) -> list[Value]:
    rows, _, width = node.variable(0, FLOAT, 3)
    require(node.axis() == 1 and node.attributes == {"keepdims": 0}, "ReduceSum: axis other than 1, or kept")
    require(rows == BATCH, "ReduceSum: values without rows")
    return [Value(FLOAT, (rows, width))]


def add(node: Node) -> list[Value]:
    shape = node.variable(0, FLOAT, 2)
    require(node.variable(1, FLOAT, 2) == shape, "Add: values of different shapes")
    return [Value(FLOAT, shape)]


def mul(node: Node) -> list[Value]:
    rows, width = node.variable(0, FLOAT, 2)
    require(node.variable(1, FLOAT, 2) == (rows, 1), "Mul: a factor other than one number for each row")
    return [Value(FLOAT, (rows, width))]


def unchanged(node: Node) -> list[Value]:
    return [Value(FLOAT, node.variable(0, FLOAT, 2, 3))]


def gemm(node: Node) -> list[Value]:
    rows, width = node.variable(0, FLOAT, 2)
    weight, bias = node.constant(1, FLOAT, 2), node.constant(2, FLOAT, 1)
    require(node.attributes.get("transB") == 1, "Gemm: transB other than 1")
    require(weight.shape[1] == width, f"Gemm: weights {list(weight.shape)} for {width} inputs")
    require(bias.shape == weight.shape[:1], f"Gemm: bias {list(bias.shape)} for weights {list(weight.shape)}")
    return [Value(FLOAT, (rows, weight.shape[0]))]


def gru(node: Node) -> list[Value]:
    H = HIDDEN_DIM
    require(len(node.inputs) == 6 and node.inputs[4] is None, "GRU: sequence lengths are not allowed")
    steps, rows, width = node.variable(0, FLOAT, 3)
    shapes = [node.constant(index, FLOAT, rank).shape for index, rank in ((1, 3), (2, 3), (3, 2))]
    require(steps == 1 and rows == BATCH, "GRU: one step of the batch is allowed")
    require(shapes == [(1, 3 * H, width), (1, 3 * H, H), (1, 6 * H)], f"GRU: weights of shape {shapes}")
    require(node.variable(5, FLOAT, 3) == (1, BATCH, H), "GRU: initial memory of a wrong shape")
    wanted = {"hidden_size": H, "linear_before_reset": 1}
    require(node.attributes == wanted, f"GRU: attributes other than {wanted}")
    require(node.outputs[:1] == [""], "GRU: only the last memory may be an output")
    return [Value(FLOAT, (1, BATCH, H)), Value(FLOAT, (1, BATCH, H))]


def unsqueeze(node: Node) -> list[Value]:
    shape, axis = node.variable(0, FLOAT, 2), node.axis()
    require(axis in (0, 2), "Unsqueeze: axis other than 0 or 2")
    return [Value(FLOAT, (1, *shape) if axis == 0 else (*shape, 1))]


def squeeze(node: Node) -> list[Value]:
    shape, axis = node.variable(0, FLOAT, 3), node.axis()
    require(axis in (0, 2) and shape[axis] == 1, "Squeeze: axis other than 0 or 2, or of more than one entry")
    return [Value(FLOAT, shape[1:] if axis == 0 else shape[:2])]


def where(node: Node) -> list[Value]:
    condition, values = node.variable(0, BOOL, 2), node.variable(1, FLOAT, 2)
    node.constant(2, FLOAT, 0)
    require(condition == values, "Where: condition and values of different shapes")
    return [Value(FLOAT, values)]


def argmax(node: Node) -> list[Value]:
    rows, _ = node.variable(0, FLOAT, 2)
    require(node.attributes == {"axis": 1, "keepdims": 0}, "ArgMax: attributes other than axis=1, keepdims=0")
    return [Value(INT64, (rows,))]


def constant(node: Node) -> list[Value]:
    value = node.attributes.get("value")
    if not isinstance(value, Value):
        raise GraphError("Constant without a tensor")
    return [value]


@dataclass(frozen=True)
class Rule:
    """How many inputs and which attributes an operator may have, and what comes out of it."""

    inputs: range
    attributes: frozenset[str]
    infer: Callable[[Node], list[Value]]


def rule(infer: Callable[[Node], list[Value]], inputs: int | range, *attributes: str) -> Rule:
    """A rule for exactly `inputs` inputs, or for a number of them in a range."""
    counts = inputs if isinstance(inputs, range) else range(inputs, inputs + 1)
    return Rule(counts, frozenset(attributes), infer)


OPERATORS: dict[str, Rule] = {
    "Add": rule(add, 2),
    "ArgMax": rule(argmax, 1, "axis", "keepdims"),
    "Concat": rule(concat, range(1, 17), "axis"),
    "Constant": rule(constant, 0, "value"),
    "GRU": rule(gru, 6, "hidden_size", "linear_before_reset"),
    "Gemm": rule(gemm, 3, "transB"),
    "MatMul": rule(matmul, 2),
    "Mul": rule(mul, 2),
    "OneHot": rule(one_hot, 3),
    "ReduceSum": rule(reduce_sum, 2, "keepdims"),
    "Relu": rule(unchanged, 1),
    "Reshape": rule(reshape, 2),
    "Sign": rule(unchanged, 1),
    "Slice": rule(slice_, 4),
    "Squeeze": rule(squeeze, 2),
    "Unsqueeze": rule(unsqueeze, 2),
    "Where": rule(where, 3),
}
