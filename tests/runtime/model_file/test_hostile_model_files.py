"""Model files that somebody tampered with: refused before anything of them runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from envs.errors import ModelError
from runtime.model_file.contract import METADATA_CONTRACT_VERSION, METADATA_SPEC
from runtime.model_file.loader import load_model_bytes
from tests.runtime.support.model_refusals import refusal
from tests.runtime.support.small_models import model_bytes
from tests.runtime.support.tag_env import SPEC


def edited(edit: Callable[[onnx.ModelProto], None]) -> bytes:
    """A good model file with one thing changed."""
    model = onnx.load_model_from_string(model_bytes())
    edit(model)
    data: bytes = model.SerializeToString()
    return data


def set_metadata(key: str, value: str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        for entry in model.metadata_props:
            if entry.key == key:
                entry.value = value

    return edit


def node_of(model: onnx.ModelProto, op: str) -> onnx.NodeProto:
    return next(node for node in model.graph.node if node.op_type == op)


def initializer_of(model: onnx.ModelProto, name: str) -> onnx.TensorProto:
    return next(tensor for tensor in model.graph.initializer if tensor.name == name)


def external(model: onnx.ModelProto) -> None:
    tensor = initializer_of(model, "fc1.bias")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="hard_link")


def endless_loop(model: onnx.ModelProto) -> None:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
        ],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, [])],
    )
    model.graph.node.append(helper.make_node("Loop", ["", "true"], [], body=body))


def add_node(op: str, inputs: list[str], outputs: list[str], **attributes: object) -> Callable[..., None]:
    def edit(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(op, inputs, outputs, **attributes))

    return edit


def wide_one_hot(model: onnx.ModelProto) -> None:
    for node in model.graph.node:
        if node.output[0] == "n_agents":
            node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(1 << 40)))


def doubling(model: onnx.ModelProto) -> None:
    """Twelve Concats, each fifteen times as wide as the last."""
    name = "obs"
    for index in range(12):
        model.graph.node.append(helper.make_node("Concat", [name] * 15, [f"wide{index}"], axis=1))
        name = f"wide{index}"


def call_function(model: onnx.ModelProto) -> None:
    identity = helper.make_node("Identity", ["x"], ["y"])
    opset = helper.make_opsetid("", 17)
    model.functions.append(helper.make_function("mine", "f", ["x"], ["y"], [identity], [opset]))


def rename_input(model: onnx.ModelProto) -> None:
    model.graph.input[0].name = "observation"
    node_of(model, "Concat").input[0] = "observation"


def set_dim(model: onnx.ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 99


def set_attribute(op: str, name: str, value: int) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        for attribute in node_of(model, op).attribute:
            if attribute.name == name:
                attribute.i = value

    return edit


HOSTILE: dict[str, tuple[Callable[[onnx.ModelProto], None], str]] = {
    "external data": (external, "initializer has field 13"),
    "an endless loop": (endless_loop, "attribute has field 6"),
    "a huge constant": (add_node("ConstantOfShape", ["one"], ["x"]), "operator 'ConstantOfShape'"),
    "a huge one-hot": (wide_one_hot, "OneHot: depth"),
    "growth": (doubling, "too large"),
    "a function": (call_function, "model has field 25"),
    "another domain": (add_node("Relu", ["x"], ["y"], domain="com.microsoft"), "domain 'com.microsoft'"),
    "another operator set": (lambda m: m.opset_import.add(domain="ai.onnx.ml", version=3), "operator sets"),
    "another opset": (lambda m: setattr(m.opset_import[0], "version", 21), "operator sets"),
    "training info": (lambda m: m.training_info.add(), "model has field 20"),
    "a sparse tensor": (lambda m: m.graph.sparse_initializer.add(), "graph has field 15"),
    "a file reader": (add_node("RegexFullMatch", ["x"], ["y"]), "operator 'RegexFullMatch'"),
    "another input name": (rename_input, "no input 'obs'"),
    "another dimension": (set_dim, "not float32 [batch, 13]"),
    "another input": (lambda m: m.graph.input.add(name="state"), "inputs are"),
    "two inputs of a name": (lambda m: m.graph.input.append(m.graph.input[0]), "two graph inputs"),
    "an input too few": (lambda m: m.graph.input.pop(), "no input 'hidden'"),
    "an output too few": (lambda m: m.graph.output.pop(), "no output 'next_hidden'"),
    "an output of nothing": (lambda m: m.graph.node.pop(), "nothing computes output 'action'"),
    "a value twice": (add_node("Relu", ["x"], ["x"]), "defined twice"),
    "a value of nothing": (add_node("Relu", ["nothing"], ["y"]), "which nothing before it computes"),
    "many nodes": (lambda m: [add_node("Relu", ["x"], [f"y{i}"])(m) for i in range(130)], "nodes; at most"),
    "the last row": (set_attribute("ArgMax", "axis", 0), "ArgMax: attributes"),
    "other gates": (set_attribute("GRU", "linear_before_reset", 0), "GRU: attributes"),
    "another memory": (set_attribute("GRU", "hidden_size", 32), "GRU: attributes"),
    "a bias too short": (
        lambda m: initializer_of(m, "fc1.bias").CopyFrom(
            numpy_helper.from_array(np.zeros(3, "f4"), "fc1.bias")
        ),
        "Gemm: bias [3]",
    ),
    "cut weights": (lambda m: setattr(initializer_of(m, "fc1.bias"), "raw_data", b"xyz"), "3 bytes, not 256"),
    "NaN weights": (
        lambda m: setattr(initializer_of(m, "fc1.bias"), "raw_data", b"\xff" * 256),
        "not finite",
    ),
    "strings": (lambda m: initializer_of(m, "fc1.bias").string_data.append(b"x"), "has field 6"),
    "doubles": (lambda m: setattr(initializer_of(m, "fc1.bias"), "data_type", 11), "of type 11"),
    "a negative dimension": (
        lambda m: initializer_of(m, "fc1.bias").dims.__setitem__(0, -64),
        "of shape [-64]",
    ),
    "no spec": (lambda m: m.metadata_props.pop(), "not exported by this project"),
    "a spec twice": (lambda m: m.metadata_props.append(m.metadata_props[1]), "stands twice"),
    "a spec that is none": (set_metadata(METADATA_SPEC, "[1, 2]"), "not an object"),
    "a deep spec": (set_metadata(METADATA_SPEC, "[" * 4_000), "spec"),
    "a long spec": (set_metadata(METADATA_SPEC, "[" * 60_000), "longer than 4096"),
    "another contract": (set_metadata(METADATA_CONTRACT_VERSION, "99"), "contract version '99'"),
    "the old battlefield": (set_metadata(METADATA_CONTRACT_VERSION, "1"), "made for the old battlefield"),
    "a spec of another contract": (
        set_metadata(METADATA_SPEC, replace(SPEC, contract_version=1).to_json()),
        "contract version 1, not 2",
    ),
    "a spec of other dimensions": (
        set_metadata(METADATA_SPEC, replace(SPEC, n_actions=6).to_json()),
        "not bool [batch, 6]",
    ),
    "no dimension": (set_metadata(METADATA_SPEC, replace(SPEC, state_dim=0).to_json()), "not positive"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_before_it_runs(what: str) -> None:
    edit, says = HOSTILE[what]
    assert says in refusal(edited(edit))


def test_what_two_parsers_could_read_differently_is_refused(small_model_bytes: bytes) -> None:
    ir_version = b"\x08\x08"
    assert small_model_bytes.startswith(ir_version)
    rest = small_model_bytes[2:]
    load_model_bytes(ir_version + rest, "test")
    for prefix, says in {
        ir_version + ir_version: "from byte 2 on it is not as protobuf writes it",
        b"\x08\x88\x00": "from byte 1 on it is not as protobuf writes it",
        b"\x08" + b"\xff" * 10 + b"\x01": "damaged, cut off or no ONNX file",
        b"\x0d\x08\x00\x00\x00": "model has field 1 of wire type 5",
        b"\x0b\x0c": "model has field 1 of wire type 3",
        b"\x12\xff\xff\xff\xff\x0f": "damaged, cut off or no ONNX file",
        b"\x12\x02\xff\xfe": "damaged, cut off or no ONNX file",
    }.items():
        assert says in refusal(prefix + rest)


def test_mutated_files_load_or_are_refused_and_nothing_else() -> None:
    """Bytes changed, removed, repeated and swapped at random; half of them outside the weights."""
    good = model_bytes()
    graph_end = good.index(b"\x08\x08") + 3500
    rng = np.random.default_rng(0)
    refused = 0
    for index in range(400):
        data = bytearray(good)
        limit = graph_end if index % 2 else len(good)
        for _ in range(rng.integers(1, 4)):
            at = int(rng.integers(0, limit))
            kind = rng.integers(0, 4)
            if kind == 0:
                data[at] = int(rng.integers(0, 256))
            elif kind == 1:
                del data[at : at + int(rng.integers(1, 9))]
            elif kind == 2:
                data[at:at] = data[at : at + int(rng.integers(1, 60))]
            else:
                other = int(rng.integers(0, limit))
                data[at : at + 4], data[other : other + 4] = data[other : other + 4], data[at : at + 4]
        try:
            load_model_bytes(bytes(data), "mutated")
        except ModelError:
            refused += 1
    assert 200 < refused < 400
