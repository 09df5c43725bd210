"""Reading an ONNX file strictly: what the schema below does not name does not get in.

An ONNX file is a protobuf message. This reader knows the few fields that an exported policy uses and refuses
every other one, so external data, subgraphs, functions, sparse and quantised tensors cannot even be said. It
refuses what different protobuf parsers could read differently (a field given twice, an overlong number), so
that what is checked here is what onnxruntime will see. Field numbers: onnx.proto of ONNX 1.19.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from envs.errors import LanError

MAX_REPEATED = 1024
"""Entries in one repeated field; the largest real one, the nodes of a graph, has about 25."""
MAX_TEXT_BYTES = 64 * 1024

VARINT, LENGTH = 0, 2

Message = dict[str, Any]


class WireError(LanError):
    """The bytes are no ONNX file of the accepted form; the text says where and why."""


@dataclass(frozen=True)
class Field:
    """One field of a message: `kind` is int, text, bytes or the schema of a message."""

    name: str
    kind: str | dict[int, Field]
    repeated: bool = False


ENTRY = {1: Field("key", "text"), 2: Field("value", "text")}
OPSET = {1: Field("domain", "text"), 2: Field("version", "int")}
DIMENSION = {1: Field("dim_value", "int"), 2: Field("dim_param", "text")}
SHAPE = {1: Field("dim", DIMENSION, repeated=True)}
TENSOR_TYPE = {1: Field("elem_type", "int"), 2: Field("shape", SHAPE)}
TYPE = {1: Field("tensor_type", TENSOR_TYPE)}
VALUE_INFO = {1: Field("name", "text"), 2: Field("type", TYPE)}
TENSOR = {
    1: Field("dims", "int", repeated=True),
    2: Field("data_type", "int"),
    8: Field("name", "text"),
    9: Field("raw_data", "bytes"),
}
ATTRIBUTE = {
    1: Field("name", "text"),
    3: Field("i", "int"),
    5: Field("t", TENSOR),
    20: Field("type", "int"),
}
NODE = {
    1: Field("input", "text", repeated=True),
    2: Field("output", "text", repeated=True),
    3: Field("name", "text"),
    4: Field("op_type", "text"),
    5: Field("attribute", ATTRIBUTE, repeated=True),
    7: Field("domain", "text"),
}
GRAPH = {
    1: Field("node", NODE, repeated=True),
    2: Field("name", "text"),
    5: Field("initializer", TENSOR, repeated=True),
    11: Field("input", VALUE_INFO, repeated=True),
    12: Field("output", VALUE_INFO, repeated=True),
}
MODEL = {
    1: Field("ir_version", "int"),
    2: Field("producer_name", "text"),
    3: Field("producer_version", "text"),
    7: Field("graph", GRAPH),
    8: Field("opset_import", OPSET, repeated=True),
    14: Field("metadata_props", ENTRY, repeated=True),
}


def read_model(data: bytes) -> Message:
    """The file as nested dicts of the fields that it sets, lists where repeated; WireError otherwise."""
    return read_message(memoryview(data), MODEL, "model")


def read_message(data: memoryview, schema: dict[int, Field], where: str) -> Message:
    """One message and all messages inside it; the schemas do not recurse, so neither does a file."""
    message: Message = {}
    position = 0
    while position < len(data):
        key, position = read_varint(data, position, where)
        field = schema.get(key >> 3)
        if field is None:
            raise WireError(f"{where} has field {key >> 3}, which a policy file has no use for")
        here = f"{where}.{field.name}"
        values, position = read_field(data, position, key & 7, field, here)
        if field.repeated:
            entries = message.setdefault(field.name, [])
            entries += values
            if len(entries) > MAX_REPEATED:
                raise WireError(f"{here} has more than {MAX_REPEATED} entries")
        elif field.name in message:
            raise WireError(f"{here} is given twice")
        else:
            message[field.name] = values[0]
    return message


def read_field(data: memoryview, position: int, wire: int, field: Field, where: str) -> tuple[list[Any], int]:
    """The values of one occurrence of a field (several when numbers are packed) and where it ends."""
    if field.kind == "int" and wire == VARINT:
        value, position = read_varint(data, position, where)
        return [as_int64(value)], position
    if wire != LENGTH or (field.kind == "int" and not field.repeated):
        raise WireError(f"{where} is encoded as wire type {wire}")
    length, position = read_varint(data, position, where)
    if position + length > len(data):
        raise WireError(f"{where} is cut off: {length} bytes announced, {len(data) - position} there")
    body = data[position : position + length]
    return read_body(body, field, where), position + length


def read_body(body: memoryview, field: Field, where: str) -> list[Any]:
    """The value inside a length-delimited field, or the several of a packed one."""
    if isinstance(field.kind, dict):
        return [read_message(body, field.kind, where)]
    if field.kind == "bytes":
        return [bytes(body)]
    if field.kind == "int":
        return read_packed(body, where)
    if len(body) > MAX_TEXT_BYTES:
        raise WireError(f"{where} is longer than {MAX_TEXT_BYTES} bytes")
    try:
        return [str(body, "utf-8")]
    except UnicodeDecodeError:
        raise WireError(f"{where} is not UTF-8") from None


def read_packed(body: memoryview, where: str) -> list[int]:
    """The numbers of a packed repeated field."""
    values: list[int] = []
    position = 0
    while position < len(body):
        value, position = read_varint(body, position, where)
        values.append(as_int64(value))
        if len(values) > MAX_REPEATED:
            raise WireError(f"{where} has more than {MAX_REPEATED} entries")
    return values


def read_varint(data: memoryview, position: int, where: str) -> tuple[int, int]:
    """One base-128 number below 2^64 and where it ends."""
    value = 0
    for shift in range(0, 70, 7):
        if position >= len(data):
            raise WireError(f"{where} is cut off")
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            break
    else:
        raise WireError(f"{where} holds an overlong number")
    if value >= 1 << 64 or (byte == 0 and shift):
        raise WireError(f"{where} holds an overlong number")
    return value, position


def as_int64(value: int) -> int:
    """The signed number that an unsigned 64-bit one stands for."""
    return value - (1 << 64) if value >= 1 << 63 else value
