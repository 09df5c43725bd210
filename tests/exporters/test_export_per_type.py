"""Networks per agent type leave as one file, which selects by agent id and acts as the checkpoint does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from envs.make import agent_types, env_spec
from envs.types import EnvSpec
from exporters.card import of_model
from exporters.export import main
from exporters.graph_per_type import KEEP
from exporters.model import build_model
from runtime.model_file.contract import METADATA_CONTRACT_VERSION, METADATA_SPEC
from runtime.model_file.loader import Model, load_model, load_model_bytes
from tests.trainer.support.learning import settings
from trainer.config import TrainConfig
from trainer.learning.algorithms import make_learner
from trainer.learning.networks import AdvantageNet, advantage_net, count_parameters
from trainer.playing.policy import TorchPolicy
from trainer.runs.checkpoint import Checkpoint, save_checkpoint
from trainer.runs.clocks import Clocks

SPEC = EnvSpec("village", 5, 4, 6, 3, 1, 20)
TYPES = ("archer", "archer", "smith", "monk", "monk")


def wide_net(spec: EnvSpec, types: tuple[str, ...], seed: int) -> AdvantageNet:
    """Weights drawn wide, so that memories and advantages are large."""
    torch.manual_seed(seed)
    net = advantage_net(spec, types)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(4.0)
    return net.eval()


def model_of(net: AdvantageNet) -> tuple[bytes, Model]:
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    metadata = {METADATA_CONTRACT_VERSION: str(SPEC.contract_version), METADATA_SPEC: SPEC.to_json()}
    data = build_model(weights, SPEC, metadata, TYPES)
    return data, load_model_bytes(data, "village.onnx")


def test_every_row_gets_what_its_own_types_network_says_step_after_step() -> None:
    net = wide_net(SPEC, TYPES, seed=1)
    _, model = model_of(net)
    reference, rng = TorchPolicy(net), np.random.default_rng(1)
    for n_rows in (1, 5, 23):
        hidden, hidden_file = reference.initial_hidden(n_rows), model.initial_hidden(n_rows)
        last_action = np.full(n_rows, -1, np.int64)
        agent_id = rng.integers(SPEC.n_agents, size=n_rows)
        for _ in range(40):
            obs = rng.normal(size=(n_rows, SPEC.obs_dim), scale=3).astype(np.float32)
            avail = rng.random((n_rows, SPEC.n_actions)) < 0.7
            avail[:, 0] = True
            action, advantages, hidden = reference.step(obs, last_action, agent_id, avail, hidden)
            action_file, advantages_file, hidden_file = model.step(
                obs, last_action, agent_id, avail, hidden_file
            )
            np.testing.assert_array_equal(action_file, action)
            np.testing.assert_allclose(advantages_file, advantages, rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(hidden_file, hidden, rtol=0, atol=1e-5)
            last_action = action


def test_another_types_weights_change_not_a_bit() -> None:
    """Selection is exact: a type's answers are the same bits whatever the other types' networks are."""
    net = wide_net(SPEC, TYPES, seed=2)
    _, before = model_of(net)
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if not name.startswith("nets.archer."):
                parameter.mul_(-3)
    _, after = model_of(net)
    rng = np.random.default_rng(2)
    rows = np.arange(SPEC.n_agents)
    feeds = (
        rng.normal(size=(5, SPEC.obs_dim)).astype(np.float32), np.full(5, 2, np.int64), rows,
        np.ones((5, SPEC.n_actions), np.bool_), np.tanh(rng.normal(size=(5, 64))).astype(np.float32),
    )  # fmt: skip
    for was, now in zip(before.step(*feeds)[1:], after.step(*feeds)[1:], strict=True):
        np.testing.assert_array_equal(was[:2], now[:2])
        assert (was[2:] != now[2:]).any()


def test_the_file_holds_every_parameter_once_and_the_card_counts_them(tmp_path: Path) -> None:
    net = wide_net(SPEC, TYPES, seed=3)
    data, _ = model_of(net)
    path = tmp_path / "village.onnx"
    path.write_bytes(data)
    assert of_model(path).parameters == {"advantage": count_parameters(net)}
    held = [numpy_helper.to_array(tensor) for tensor in onnx.load_model_from_string(data).graph.initializer]
    values = np.concatenate([array.ravel() for array in held])
    learned = np.concatenate([p.detach().numpy().ravel() for p in net.parameters()])
    rest = values[(values != 0) & (values != KEEP)]
    np.testing.assert_array_equal(np.sort(rest), np.sort(learned))


def test_weights_that_are_not_of_these_types_are_refused() -> None:
    net = wide_net(SPEC, TYPES, seed=4)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    with pytest.raises(ValueError, match="archer, smith"):
        build_model(weights, SPEC, {}, ("archer", "archer", "smith", "smith", "smith"))
    del weights["nets.monk.fc2.bias"]
    with pytest.raises(ValueError, match=r"fc2\.bias"):
        build_model(weights, SPEC, {}, TYPES)


def test_lan_export_and_the_runtime_take_a_checkpoint_of_networks_per_type(tmp_path: Path) -> None:
    """Exported with its parity check over battles, loaded as an agent loads it."""
    spec, types = env_spec("2s3z"), agent_types("2s3z")
    torch.manual_seed(5)
    learner = make_learner("lan", spec, settings(), torch.device("cpu"), types)
    checkpoint = Checkpoint(
        spec=spec,
        backend="sim",
        config=TrainConfig(map="2s3z", sharing="type").to_dict(),
        agent_types=types,
        enemies=None,
        project_version="0.1.0",
        states={"clocks": Clocks(env_steps=1).state_dict(), "learner": learner.state_dict()},
    )
    save_checkpoint(tmp_path / "run.pt", checkpoint)
    out = tmp_path / "agent.onnx"
    assert main(["--ckpt", str(tmp_path), "--out", str(out), "--battles", "2"]) == 0
    assert load_model(out).spec == spec
