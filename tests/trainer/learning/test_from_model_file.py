"""The network of a model file is the one that was exported."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from envs.errors import InputError
from envs.types import EnvSpec
from exporters.model import build_model
from runtime.model_file.loader import load_model
from tests.paths import ROOT
from trainer.learning.from_model_file import net_of_model_file
from trainer.learning.networks import advantage_net

ZOO_3M = ROOT / "zoo" / "3m.onnx"
SPEC = EnvSpec("small", n_agents=2, n_actions=3, obs_dim=4, state_dim=5, unit_dim=2, episode_limit=9)


def small_model(**metadata: str) -> bytes:
    torch.manual_seed(0)
    weights = {name: tensor.numpy() for name, tensor in advantage_net(SPEC).state_dict().items()}
    return build_model(weights, SPEC, {"lan.spec": SPEC.to_json(), **metadata})


def test_it_answers_as_the_file_does() -> None:
    model = load_model(ZOO_3M)
    spec, net = net_of_model_file(ZOO_3M.read_bytes(), "zoo")
    assert spec == model.spec
    rng, N, A = np.random.default_rng(3), spec.n_agents, spec.n_actions
    hidden = model.initial_hidden(N)
    last_action, agent_id = np.full(N, -1), np.arange(N)
    for _ in range(20):
        obs = rng.random((N, spec.obs_dim), np.float32)
        action, advantages, after = model.step(obs, last_action, agent_id, np.ones((N, A), np.bool_), hidden)
        with torch.no_grad():
            inputs = (torch.from_numpy(x) for x in (hidden, obs, last_action, agent_id))
            by_torch = net.step(*inputs)
        np.testing.assert_allclose(by_torch[0].numpy(), after, atol=1e-5)
        np.testing.assert_allclose(by_torch[1].numpy(), advantages, rtol=1e-5, atol=1e-5)
        hidden, last_action = after, action


def test_the_exporters_weights_come_back() -> None:
    torch.manual_seed(0)
    wanted = advantage_net(SPEC).state_dict()
    found = net_of_model_file(small_model(), "a")[1].state_dict()
    assert set(found) == set(wanted)
    assert all((found[name] == wanted[name]).all() for name in wanted)


def test_files_that_hold_no_network_are_refused(tmp_path: Path) -> None:
    def changed(change: str) -> bytes:
        model = onnx.load_model_from_string(small_model())
        tensor = model.graph.initializer[0]
        if change == "external":
            tensor.data_location = onnx.TensorProto.EXTERNAL
            tensor.external_data.add(key="location", value="/etc/passwd")
        elif change == "renamed":
            tensor.name = "other"
        else:
            tensor.dims[0] -= 1
        data: bytes = model.SerializeToString()
        return data

    for data, problem in (
        (b"no model", "a is damaged, or no model file; lan-export makes one"),
        (b"", "a is no model file but an empty file"),
        (small_model()[:-400], "a is damaged, or no model file"),
        (small_model(**{"lan.spec": SPEC.to_json().replace("2", "1", 1)}), "is of contract version 1, not 2"),
        (small_model(**{"lan.sharing": "type"}), "it has a network per unit type; give its checkpoint"),
        (changed("external"), "is no float32 in the file itself"),
        (changed("renamed"), "its parameters are not those of an advantage network"),
        (changed("shape"), "no model file .cannot reshape array"),
    ):
        with pytest.raises(InputError, match=problem):
            net_of_model_file(data, "a")
