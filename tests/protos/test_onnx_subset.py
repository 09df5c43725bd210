"""The subset of onnx.proto has ONNX's own field numbers and types, and nothing that could be dangerous."""

from __future__ import annotations

from typing import Any

import onnx

from protos.onnx_subset_pb2 import Model

NEVER = {"external_data", "data_location", "g", "graphs", "functions", "sparse_initializer", "sparse_tensor",
         "quantization_annotation", "training_info", "device_configurations", "ref_attr_name"}  # fmt: skip


def test_every_field_is_onnx_own_and_no_message_contains_itself() -> None:
    seen: set[str] = set()

    def compare(subset: Any, full: Any, inside: tuple[str, ...]) -> None:
        assert subset.name not in inside
        for field in subset.fields:
            theirs = full.fields_by_number[field.number]
            assert (field.name, field.is_repeated) == (theirs.name, theirs.is_repeated)
            assert field.is_packed == theirs.is_packed
            assert field.has_presence == theirs.has_presence
            seen.add(field.name)
            if field.message_type is not None:
                compare(field.message_type, theirs.message_type, (*inside, subset.name))
            elif theirs.enum_type is None:
                assert field.type == theirs.type, field.full_name
            else:
                assert field.type == field.TYPE_INT32

    compare(Model.DESCRIPTOR, onnx.ModelProto.DESCRIPTOR, ())
    assert {"raw_data", "op_type", "dim_param"} <= seen
    assert not seen & NEVER
