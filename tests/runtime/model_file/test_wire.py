"""Strict reading: what is accepted can be read in one way only, and costs little memory to read."""

from __future__ import annotations

import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protos.onnx_subset_pb2 import Model
from runtime.model_file.wire import MAX_REPEATED, MAX_STRUCTURE_BYTES, WireError, read_model
from tests.runtime.support.small_models import model_bytes


def structure() -> bytes:
    """A model file with all its fields and few of its weights, so that most changes meet the structure."""
    model = Model.FromString(model_bytes())
    for tensor in model.graph.initializer:
        tensor.raw_data = tensor.raw_data[:4]
    return model.SerializeToString(deterministic=True)


GOOD = structure()
ATTRIBUTE_TYPES = onnx.AttributeProto.AttributeType.values()
FRAGMENTS = [
    b"\x08\x08",  # ir_version once more
    b"\x88\x00",  # field 1 with an overlong key
    b"\x88\x80\x00",  # 8 as an overlong number
    b"\x0a\x00",  # an empty string or message
    b"\x0a\x02\x01\x01",  # packed numbers, or text
    b"\x12\x01\xff",  # text that is not UTF-8
    b"\x0b\x0c",  # a group
    b"\x3a\x00",  # an empty graph, to be merged
    b"\x78\x01",  # a number in field 15
    b"\xff" * 9 + b"\x01",  # -1
    b"\xff\xff\xff\xff\x0f",  # -1 in 32 bits
]
POSITION = st.integers(0, len(GOOD))
EDIT = st.one_of(
    st.tuples(POSITION, st.integers(0, 12), st.sampled_from(FRAGMENTS)),
    st.tuples(POSITION, st.integers(0, 4), st.binary(max_size=4)),
    st.tuples(POSITION, st.just(0), POSITION.map(lambda at: GOOD[at : at + 30])),
    st.tuples(POSITION, st.just(1), st.integers(0, 255).map(lambda byte: bytes([byte]))),
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(st.lists(EDIT, min_size=1, max_size=3))
def test_a_changed_file_is_refused_or_reads_as_exactly_its_bytes(edits: list[tuple[int, int, bytes]]) -> None:
    """The content of what is accepted writes the same bytes in the subset's schema and in ONNX's own."""
    data = GOOD
    for at, n_removed, inserted in edits:
        data = data[:at] + inserted + data[at + n_removed :]
    try:
        model = read_model(data)
    except WireError:
        return
    assert model.SerializeToString(deterministic=True) == data
    if any(
        attribute.type not in ATTRIBUTE_TYPES for node in model.graph.node for attribute in node.attribute
    ):
        return  # refused by graph_checks; ONNX's parser keeps such a number as an unknown field
    theirs = onnx.ModelProto.FromString(data)
    theirs.DiscardUnknownFields()
    assert theirs.SerializeToString(deterministic=True) == data


def nested(*fields: int, body: bytes) -> bytes:
    """A body inside length-delimited fields, the innermost last."""
    for field in reversed(fields):
        n_bytes = len(body)
        length = bytearray()
        while n_bytes > 127:
            length.append(n_bytes & 127 | 128)
            n_bytes >>= 7
        body = bytes([field << 3 | 2, *length, n_bytes]) + body
    return body


@pytest.mark.parametrize(
    "bomb",
    [
        nested(7, body=b"\x0a\x00" * 1_900_000),
        nested(7, 1, body=b"\x2a\x00" * 1_900_000),
        nested(7, 11, 2, 1, 2, body=b"\x0a\x00" * 1_900_000),
        b"\x42\x00" * 1_900_000,
    ],
    ids=["nodes", "attributes", "dimensions", "operator sets"],
)
def test_millions_of_empty_messages_are_refused_before_they_are_unpacked(bomb: bytes) -> None:
    with pytest.raises(WireError, match=f"are not weights; at most {MAX_STRUCTURE_BYTES}"):
        read_model(bomb)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (nested(7, body=b"\x2a\x00" * (MAX_REPEATED + 1)), "graph.initializer has more than 1024 entries"),
        (nested(7, body=b"\x0a\x00" * (MAX_REPEATED + 1)), "graph.node has more than 1024 entries"),
        (nested(7, 1, body=b"\x0a\x00" * (MAX_REPEATED + 1)), "node.input has more than 1024 entries"),
        (nested(7, 5, body=b"\x08\x01" * (MAX_REPEATED + 1)), "initializer.dims has more than 1024 entries"),
        (nested(7, 1, 3, body=b"a" * 65_537), "node.name is longer than 65536 bytes"),
        (nested(14, 2, body=b"a" * 65_537), "metadata_props.value is longer than 65536 bytes"),
        (nested(7, 5, body=b"\x0a\x02\x01\x01"), "not as protobuf writes it"),
        (nested(2, body=b"a") + b"\x08\x08", "from byte 0 on it is not as protobuf writes it"),
    ],
    ids=["initializers", "nodes", "inputs", "dims", "text", "metadata", "packed", "order"],
)
def test_what_is_too_much_or_written_otherwise_is_named(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says):
        read_model(data)
