"""The model file's bytes: the graph of the advantage network, its weights and its metadata."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx
from onnx import helper, numpy_helper

from envs.types import EnemyRows, EnvSpec, FloatArray
from exporters.graph import check_weights, nodes, parameters
from exporters.graph_per_type import nodes_per_type, parameters_per_type, split_weights
from runtime.model_file.contract import IR_VERSION, OPSET, Interface, inputs_of, outputs_of


def build_model(
    weights: Mapping[str, FloatArray],
    spec: EnvSpec,
    metadata: Mapping[str, str],
    agent_types: Sequence[str] | None = None,
    enemies: EnemyRows | None = None,
) -> bytes:
    """Serialize the graph of the model contract; equal arguments give equal bytes.

    `weights`: an AdvantageNet's state dict as f32 arrays, by its names. Every float initializer of the
    graph is one of these parameters and nothing else: the scalars of one-hots and mask are Constant nodes.
    `agent_types` [N]: the weights are those of an AdvantageNetPerType; see `graph_per_type`.
    `enemies`: where the network reads every enemy by itself.
    ValueError when a weight is missing, superfluous, not finite, or not of the shape that `spec` asks for.
    """
    if agent_types is None:
        check_weights(weights, spec, enemies)
        operators, initializers = nodes(spec, enemies), parameters(weights)
    else:
        parts = split_weights(weights, agent_types, spec, enemies)
        operators = nodes_per_type(spec, agent_types, list(parts), enemies)
        initializers = parameters_per_type(parts)
    graph = helper.make_graph(
        operators,
        "advantage_network",
        inputs=value_infos(inputs_of(spec)),
        outputs=value_infos(outputs_of(spec)),
        initializer=[numpy_helper.from_array(array, name) for name, array in initializers.items()],
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
        producer_name="lan-export",
    )
    helper.set_model_props(model, dict(sorted(metadata.items())))
    onnx.checker.check_model(model, full_check=True)
    return model.SerializeToString(deterministic=True)


def value_infos(values: Interface) -> list[onnx.ValueInfoProto]:
    """The declarations of the graph's inputs or outputs."""
    return [helper.make_tensor_value_info(name, dtype, shape) for name, (dtype, shape) in values.items()]
