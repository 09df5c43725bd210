"""lan-export: what it writes acts as the checkpoint, and what would not is not written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

import exporters.graph
from envs.checkers import SPEC, CheckersEnv
from envs.make import env_spec, make_env
from envs.types import CONTRACT_VERSION, EnvSpec
from exporters.export import main
from exporters.parity import compare
from runtime.model_file.loader import load_model
from trainer.learning.networks import advantage_net, count_parameters, value_net
from trainer.playing.policy import TorchPolicy
from trainer.runs.checkpoint import Checkpoint, load_advantage_net, load_checkpoint

Write = Callable[..., Path]


def export(ckpt: Path, out: Path, *more: str) -> int:
    return main(["--ckpt", str(ckpt), "--out", str(out), *more])


def test_the_file_acts_as_the_checkpoint(write_checkpoint: Write, tmp_path: Path) -> None:
    """Loaded as an agent loads it, over battles with other seeds than the export's own check."""
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    assert export(ckpt, out) == 0
    reference = TorchPolicy(load_advantage_net(load_checkpoint(ckpt)))
    report = compare(CheckersEnv(n_battles=3), reference, load_model(out), n_battles=9, seed=99)
    assert report.agent_steps == 9 * 2 * 100
    assert report.differing_actions == 0
    assert report.max_difference < 1e-5


@pytest.mark.parametrize("name", ["3m", "8m"])
def test_the_file_acts_as_the_checkpoint_in_battle(
    name: str, write_checkpoint: Write, checkpoint_for: Callable[[EnvSpec], Checkpoint], tmp_path: Path
) -> None:
    """The same on SMAC, where agents die, actions come and go, and observations are those of battles."""
    spec = env_spec(name)
    ckpt, out = write_checkpoint(spec=spec, learner=checkpoint_for(spec).learner), tmp_path / "agent.onnx"
    assert export(ckpt, out, "--battles", "4") == 0
    env = make_env(name, "sim", n_battles=2, seed=77)
    reference = TorchPolicy(load_advantage_net(load_checkpoint(ckpt)))
    report = compare(env, reference, load_model(out), n_battles=4, seed=1)
    assert report.agent_steps > 4 * 10 * spec.n_agents
    assert report.differing_actions == 0
    assert report.max_difference < 1e-5


def test_the_summary_says_what_was_exported_and_what_was_left_behind(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "agent.onnx"
    assert export(write_checkpoint(), out) == 0
    text = capsys.readouterr().out
    assert f"{count_parameters(advantage_net(SPEC)):,} parameters" in text
    assert f"left behind  value network: {count_parameters(value_net(SPEC)):,} parameters" in text
    assert hashlib.sha256(out.read_bytes()).hexdigest() in text
    assert "every greedy action equal" in text


def test_the_file_holds_the_advantage_networks_parameters_and_not_one_more(
    write_checkpoint: Write, tmp_path: Path
) -> None:
    """Counted two ways: numbers in float initializers, and as values: each parameter is there exactly once.

    The graph's other floats are Constant nodes, and those are three: 0 and 1 of the one-hots, and the mask's
    -inf.
    """
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    assert export(ckpt, out) == 0
    graph = onnx.load(out).graph
    held = [numpy_helper.to_array(tensor) for tensor in graph.initializer]
    assert {array.dtype for array in held} == {np.dtype(np.float32)}
    assert sum(array.size for array in held) == count_parameters(advantage_net(SPEC))
    weights = load_checkpoint(ckpt).advantage.values()
    np.testing.assert_array_equal(
        np.sort(np.concatenate([array.ravel() for array in held])),
        np.sort(np.concatenate([tensor.numpy().ravel() for tensor in weights])),
    )
    constants = [
        numpy_helper.to_array(attribute.t)
        for node in graph.node
        for attribute in node.attribute
        if attribute.HasField("t")
    ]
    floats = np.concatenate([array.ravel() for array in constants if array.dtype == np.float32])
    assert sorted(floats) == [-np.inf, 0.0, 1.0]


def test_every_node_has_a_name_of_its_own(write_checkpoint: Write, tmp_path: Path) -> None:
    assert main(["--ckpt", str(write_checkpoint()), "--out", str(tmp_path / "agent.onnx")]) == 0
    names = [node.name for node in onnx.load(tmp_path / "agent.onnx").graph.node]
    assert all(names)
    assert len(set(names)) == len(names)
    assert {"fc1_out", "next_hidden_seq", "advantages", "action"} <= set(names)


def test_metadata_says_where_the_model_comes_from(write_checkpoint: Write, tmp_path: Path) -> None:
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    assert export(ckpt, out) == 0
    metadata = load_model(out).metadata
    config_json = json.dumps(load_checkpoint(ckpt).config, sort_keys=True)
    assert metadata == {
        "lan.contract_version": str(CONTRACT_VERSION),
        "lan.spec": SPEC.to_json(),
        "lan.algorithm": "lan",
        "lan.sharing": "all",
        "lan.backend": "sim",
        "lan.env_steps": "12345",
        "lan.win_rate": "0.75",
        "lan.config_sha256": hashlib.sha256(config_json.encode()).hexdigest(),
        "lan.project_version": "0.1.0",
    }


def test_a_run_directory_may_stand_for_its_checkpoint_and_gives_the_same_bytes(
    write_checkpoint: Write, tmp_path: Path
) -> None:
    ckpt = write_checkpoint()
    assert export(ckpt, tmp_path / "a.onnx") == 0
    assert export(ckpt.parent, tmp_path / "b.onnx") == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()


def test_nothing_of_the_machine_is_in_the_file(write_checkpoint: Write, tmp_path: Path) -> None:
    out = tmp_path / "agent.onnx"
    assert export(write_checkpoint(), out) == 0
    data = out.read_bytes()
    assert str(tmp_path).encode() not in data
    assert str(Path.home()).encode() not in data
    assert str(Path(exporters.graph.__file__).parent).encode() not in data


def test_a_difference_in_memory_alone_is_seen_too(checkpoint: Checkpoint) -> None:
    """The two policies keep memories of their own, so a GRU that drifts cannot hide behind the other's."""
    net = load_advantage_net(checkpoint)
    weights = {name: tensor.numpy().copy() for name, tensor in net.state_dict().items()}
    weights["gru.bias_hh"] = weights["gru.bias_hh"] + np.float32(1e-3)
    other = load_advantage_net(checkpoint)
    other.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    report = compare(CheckersEnv(n_battles=1), TorchPolicy(net), TorchPolicy(other), n_battles=2, seed=0)
    assert not report.equal


@pytest.mark.parametrize(("shift", "equal"), [(0.9e-5, True), (1.1e-5, False), (float("nan"), False)])
@pytest.mark.parametrize("size", [0.5, 1.0, 64.0])
def test_the_tolerance_is_a_hundred_thousandth(shift: float, equal: bool, size: float) -> None:
    """Of 1, or of the advantage where that is larger; NaN is within no tolerance."""

    class Constant:
        def __init__(self, advantage: float) -> None:
            self.advantages = np.full((2, SPEC.n_actions), advantage)

        def initial_hidden(self, n_rows: int) -> np.ndarray:
            return np.zeros((n_rows, 1), np.float32)

        def step(self, *inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            return np.zeros(2, np.int64), self.advantages, inputs[-1]

    other = Constant(size + shift * max(1.0, size))
    report = compare(CheckersEnv(), Constant(size), other, n_battles=2, seed=0)
    assert report.equal is equal
    assert report.agent_steps == 2 * 2 * 100
