"""Sixteen float32 at once in a kernel: sums stay in registers, which a loop over arrays does not promise.

Every operation rounds as its scalar one does, lane by lane. LLVM splits them where registers are narrower.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from llvmlite import ir  # type: ignore[import-untyped]
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic, models, register_model

from envs.compiled import kernel

LANES = 16

Function = TypeVar("Function", bound=Callable[..., Any])

_intrinsic: Any = intrinsic
_types: Any = types
_models: Any = models
_register_model: Any = register_model
_cgutils: Any = cgutils
_IR = ir.VectorType(ir.FloatType(), LANES)


def vector_kernel(function: Function, **options: Any) -> Function:
    """Compile a kernel that uses these operations: it is compiled anew when this module changes."""
    return kernel(function, sources=[__name__], **options)


class Vector(_types.Type):  # type: ignore[misc]
    """The type of sixteen float32, for local variables only."""


VECTOR = Vector("float32x16")


@_register_model(Vector)
class VectorModel(_models.PrimitiveModel):  # type: ignore[misc]
    """It is one LLVM vector."""

    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _IR)


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, index: Any) -> Any:
    """The address of element `index` of a C-contiguous array, counted over all its axes, as a vector's."""
    data = context.make_array(array_type)(context, builder, array).data
    return builder.bitcast(builder.gep(data, [index]), _IR.as_pointer())


@_intrinsic  # type: ignore[untyped-decorator]
def load(typing_context: Any, array: Any, index: Any) -> Any:
    """The sixteen values from flat position `index` of a C-contiguous float32 array on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(pointer, align=4)

    return VECTOR(array, types.int64), generate


@_intrinsic  # type: ignore[untyped-decorator]
def store(typing_context: Any, array: Any, index: Any, vector: Any) -> Any:
    """Write sixteen values from flat position `index` of a C-contiguous float32 array on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], pointer, align=4)
        return context.get_dummy_value()

    return types.none(array, types.int64, VECTOR), generate


def _splat(builder: Any, scalar: Any) -> Any:
    one = builder.insert_element(ir.Constant(_IR, ir.Undefined), scalar, ir.Constant(ir.IntType(32), 0))
    lanes = ir.Constant(ir.VectorType(ir.IntType(32), LANES), [0] * LANES)
    return builder.shuffle_vector(one, ir.Constant(_IR, ir.Undefined), lanes)


def _fma(builder: Any, a: Any, b: Any, c: Any) -> Any:
    kind = ir.FunctionType(_IR, [_IR] * 3)
    fma = _cgutils.get_or_insert_function(builder.module, kind, f"llvm.fma.v{LANES}f32")
    return builder.call(fma, [a, b, c])


@_intrinsic  # type: ignore[untyped-decorator]
def splat(typing_context: Any, x: Any) -> Any:
    """Sixteen times x."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return VECTOR(types.float32), generate


@_intrinsic  # type: ignore[untyped-decorator]
def add(typing_context: Any, a: Any, b: Any) -> Any:
    """a + b."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fadd(*arguments)

    return VECTOR(VECTOR, VECTOR), generate


@_intrinsic  # type: ignore[untyped-decorator]
def times(typing_context: Any, x: Any, a: Any) -> Any:
    """x a, where x is one float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.fmul(_splat(builder, arguments[0]), arguments[1])

    return VECTOR(types.float32, VECTOR), generate


@_intrinsic  # type: ignore[untyped-decorator]
def add_times(typing_context: Any, x: Any, a: Any, b: Any) -> Any:
    """x a + b, rounded once, where x is one float32."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _fma(builder, _splat(builder, arguments[0]), *arguments[1:])

    return VECTOR(types.float32, VECTOR, VECTOR), generate


@_intrinsic  # type: ignore[untyped-decorator]
def positive(typing_context: Any, a: Any) -> Any:
    """a, with 0 where it is negative."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(_IR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered("<", arguments[0], zero), zero, arguments[0])

    return VECTOR(VECTOR), generate


@_intrinsic  # type: ignore[untyped-decorator]
def add_products(typing_context: Any, a: Any, b: Any, c: Any) -> Any:
    """a b + c, lane by lane, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _fma(builder, *arguments)

    return VECTOR(VECTOR, VECTOR, VECTOR), generate


@_intrinsic  # type: ignore[untyped-decorator]
def where_positive(typing_context: Any, a: Any, b: Any) -> Any:
    """b where a is above 0, else 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        zero = ir.Constant(_IR, [0.0] * LANES)
        return builder.select(builder.fcmp_ordered(">", arguments[0], zero), arguments[1], zero)

    return VECTOR(VECTOR, VECTOR), generate


@_intrinsic  # type: ignore[untyped-decorator]
def nonzero_bits(typing_context: Any, array: Any, index: Any) -> Any:
    """Which of the sixteen values from a flat position on are not zero: the first one's bit is the lowest."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        values = builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4)
        there = builder.fcmp_unordered("!=", values, ir.Constant(_IR, [0.0] * LANES))
        return builder.zext(builder.bitcast(there, ir.IntType(LANES)), ir.IntType(64))

    return types.int64(array, types.int64), generate


@_intrinsic  # type: ignore[untyped-decorator]
def lowest_bit(typing_context: Any, bits: Any) -> Any:
    """The position of the lowest bit that is set; one must be."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), generate
