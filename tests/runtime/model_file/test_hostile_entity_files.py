"""Model files of networks that read every enemy: their operators are checked as strictly as the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from envs.types import EnemyRows
from exporters.model import build_model
from runtime.model_file.contract import METADATA_CONTRACT_VERSION, METADATA_SPEC
from runtime.model_file.loader import load_model_bytes
from tests.runtime.support.model_refusals import refusal
from tests.runtime.support.small_models import random_weights
from tests.runtime.support.tag_env import SPEC

ENEMIES = EnemyRows(first=1, n_enemies=3, width=4, distance=1, first_attack=2)
Edit = Callable[[onnx.ModelProto], None]


def good() -> bytes:
    rng, H = np.random.default_rng(1), 64
    shapes = {"embed.weight": (H, ENEMIES.width + 1), "query.weight": (H, H), "query.bias": (H,)}
    weights = random_weights(SPEC, 1) | {n: rng.normal(size=s).astype("f4") for n, s in shapes.items()}
    metadata = {METADATA_CONTRACT_VERSION: str(SPEC.contract_version), METADATA_SPEC: SPEC.to_json()}
    return build_model(weights, SPEC, metadata, enemies=ENEMIES)


def set_constant(name: str, value: object) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        node = next(node for node in model.graph.node if node.name == name)
        node.attribute[0].t.CopyFrom(numpy_helper.from_array(np.array(value)))

    return edit


def set_input(name: str, index: int, value: str) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.name == name).input[index] = value

    return edit


def set_integer(name: str, value: int) -> Edit:
    def edit(model: onnx.ModelProto) -> None:
        next(node for node in model.graph.node if node.name == name).attribute[0].i = value

    return edit


def add(*nodes: onnx.NodeProto) -> Edit:
    return lambda model: model.graph.node.extend(nodes)


def large_product(model: onnx.ModelProto) -> None:
    """obs [batch, 13] repeated to 2 197 x 1 and multiplied with itself turned: 4 826 809 products."""
    wide = [helper.make_node("Concat", ["obs"] * 13, ["w1"], axis=1)]
    wide.append(helper.make_node("Concat", ["w1"] * 13, ["w2"], axis=1))
    for name, shape in (("tall", [0, 2197, 1]), ("flat", [0, 1, 2197])):
        value = numpy_helper.from_array(np.array(shape))
        wide.append(helper.make_node("Constant", [], [f"{name}_shape"], value=value))
        wide.append(helper.make_node("Reshape", ["w2", f"{name}_shape"], [name]))
    wide.append(helper.make_node("MatMul", ["tall", "flat"], ["squares"]))
    model.graph.node.extend(wide)


HOSTILE: dict[str, tuple[Edit, str]] = {
    "another number of enemies": (set_constant("enemy_shape", [0, 2, 4]), "Reshape: shape [0, 2, 4]"),
    "rows of the batch in a shape": (set_constant("enemy_shape", [-1, 3, 4]), "Reshape: shape [-1, 3, 4]"),
    "a negative shape": (set_constant("enemy_shape", [0, -3, -4]), "Reshape: shape [0, -3, -4]"),
    "a shape of two": (set_constant("enemy_shape", [0, 12]), "Reshape: shape [0, 12]"),
    "a column too far": (set_constant("after_distance", [5]), "Slice: range 1:5"),
    "a slice of rows": (set_input("distances", 3, "one"), "Slice: steps or axes other than 2"),
    "enemies beside each other": (set_integer("enemies", 1), "Concat: axis other than 2"),
    "unequal parts": (set_input("enemies", 1, "inputs"), "Concat: parts without rows, or unequal"),
    "another embedding": (set_input("embed_out", 1, "query.weight"), "MatMul: factors that do not fit"),
    "a product of rows": (set_input("embed_out", 0, "embed.weight"), "MatMul: input 0"),
    "a large product": (large_product, "4826809 products; at most 4194304"),
    "a sum over the rows": (set_input("embedding", 1, "zero"), "ReduceSum: axis other than 1"),
    "a sum that keeps its axis": (set_integer("embedding", 1), "ReduceSum: axis other than 1, or kept"),
    "a sum of unequal values": (set_input("both", 1, "inputs"), "Add: values of different shapes"),
    "a constant added": (set_input("both", 1, "fc1.weight"), "Add: input 1 must not be a constant"),
    "a product of values": (add(helper.make_node("Mul", ["x", "x"], ["y"])), "Mul: a factor other than"),
    "an axis of many entries away": (set_input("products", 0, "embeddings"), "of more than one entry"),
    "a column of columns": (set_input("query_column", 1, "one"), "Unsqueeze: axis other than 0 or 2"),
    "signs of numbers": (add(helper.make_node("Sign", ["last_action"], ["y"])), "Sign: input 0"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_file_is_refused_before_it_runs(what: str) -> None:
    edit, says = HOSTILE[what]
    model = onnx.load_model_from_string(good())
    edit(model)
    assert says in refusal(model.SerializeToString())


def test_the_good_file_is_taken() -> None:
    assert load_model_bytes(good(), "good").spec == SPEC
