"""The advantage network of a model file, for torch: the exporter's way back.

The graph is not looked at; its parameters are taken by name, and must be those of a network for all agents.
"""

from __future__ import annotations

import json

import torch

from envs.errors import InputError
from envs.kinds import MODEL, instead, kind_of_bytes
from envs.types import CONTRACT_VERSION, HIDDEN_DIM, EnemyRows, EnvSpec
from trainer.learning.networks import AdvantageNet, advantage_net

_SQUEEZED = {"gru.W": "gru.weight_ih", "gru.R": "gru.weight_hh"}


def net_of_model_file(data: bytes, where: str) -> tuple[EnvSpec, AdvantageNet]:
    """The environment that a model file was made for, and its network; InputError when it holds none."""
    import onnx
    from google.protobuf.message import DecodeError

    try:
        model = onnx.load_model_from_string(data)
        metadata = {entry.key: entry.value for entry in model.metadata_props}
        spec = EnvSpec.from_json(metadata.get("lan.spec", ""))
        if spec.contract_version != CONTRACT_VERSION:
            raise ValueError(f"it is of contract version {spec.contract_version}, not {CONTRACT_VERSION}")
        if metadata.get("lan.sharing", "all") != "all":
            raise ValueError("it has a network per unit type; give its checkpoint instead")
        enemies = EnemyRows.from_plain(json.loads(metadata.get("lan.enemies", "null")))
        if enemies is not None and not enemies.fit(spec):
            raise ValueError("its rows of enemies do not fit its spec")
        weights = {tensor.name: _tensor(tensor) for tensor in model.graph.initializer}
        net = advantage_net(spec, enemies=enemies) if _fits(spec, enemies, weights) else None
        if net is None:
            raise ValueError("its parameters are not those of an advantage network")
        net.load_state_dict(_state(weights))
    except (DecodeError, ValueError, RuntimeError, RecursionError) as error:
        found = kind_of_bytes(data)
        reason = "" if isinstance(error, DecodeError) else " ".join(str(error).split())[:160]
        if reason and found == f"a {MODEL}":
            raise InputError(f"model file {where} holds no network that can play here: {reason}") from None
        raise InputError(f"{where} is {instead(found, MODEL, reason)}") from None
    return spec, net.eval()


def _tensor(tensor: object) -> torch.Tensor:
    """The numbers of an initializer; ValueError when they lie in another file, or are no float32."""
    from onnx import TensorProto, numpy_helper

    assert isinstance(tensor, TensorProto)
    if tensor.data_location == TensorProto.EXTERNAL or tensor.data_type != TensorProto.FLOAT:
        raise ValueError(f"{tensor.name} is no float32 in the file itself")
    return torch.from_numpy(numpy_helper.to_array(tensor).copy())


def _fits(spec: EnvSpec, enemies: EnemyRows | None, weights: dict[str, torch.Tensor]) -> bool:
    """Whether the parameters have the names and shapes that the environment asks for."""
    H, inputs = HIDDEN_DIM, spec.obs_dim + spec.n_actions + spec.n_agents
    shapes: dict[str, tuple[int, ...]] = {
        "fc1.weight": (H, inputs), "fc1.bias": (H,), "gru.W": (1, 3 * H, H), "gru.R": (1, 3 * H, H),
        "gru.B": (1, 6 * H), "fc2.weight": (spec.n_actions, H), "fc2.bias": (spec.n_actions,),
    }  # fmt: skip
    if enemies is not None:
        shapes |= {"embed.weight": (enemies.width + 1, H), "query.weight": (H, H), "query.bias": (H,)}
    return {name: tuple(weight.shape) for name, weight in weights.items()} == shapes


def _state(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of the network, with torch's order of the GRU's gates."""
    state = {name: weight for name, weight in weights.items() if name.startswith(("fc", "query"))}
    if "embed.weight" in weights:
        state["embed.weight"] = weights["embed.weight"].t().contiguous()
    for name, own in _SQUEEZED.items():
        state[own] = _reordered(weights[name][0])
    for own, bias in zip(("gru.bias_ih", "gru.bias_hh"), weights["gru.B"][0].chunk(2), strict=True):
        state[own] = _reordered(bias)
    return state


def _reordered(stacked: torch.Tensor) -> torch.Tensor:
    """[3H, …] in ONNX's gate order (update, reset, hidden) -> in torch's (reset, update, new)."""
    update, reset, new = stacked.chunk(3)
    return torch.cat((reset, update, new))
