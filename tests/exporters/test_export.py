"""lan-export: what it writes acts as the checkpoint, and what would not is not written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import replace
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
from exporters.graph import build_model
from exporters.parity import compare
from exporters.torch_policy import TorchPolicy, load_advantage_net
from runtime.model import load_model
from trainer.checkpoint import Checkpoint, load_checkpoint
from trainer.networks import advantage_net, count_parameters, value_net

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


def test_metadata_says_where_the_model_comes_from(write_checkpoint: Write, tmp_path: Path) -> None:
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    assert export(ckpt, out) == 0
    metadata = load_model(out).metadata
    config_json = json.dumps(load_checkpoint(ckpt).config, sort_keys=True)
    assert metadata == {
        "lan.contract_version": str(CONTRACT_VERSION),
        "lan.spec": SPEC.to_json(),
        "lan.algorithm": "lan",
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


@pytest.mark.parametrize("name", ["fc1.weight", "gru.weight_hh", "gru.bias_ih", "fc2.bias"])
def test_a_file_that_differs_is_refused_and_not_written(
    name: str,
    write_checkpoint: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One number of one weight is changed between the checkpoint and the graph."""

    def tampered(weights: dict[str, np.ndarray], *rest: object) -> bytes:
        changed = {key: array.copy() for key, array in weights.items()}
        changed[name].flat[0] += 0.5
        return build_model(changed, *rest)

    monkeypatch.setattr(exporters.graph, "build_model", tampered)
    out = tmp_path / "agent.onnx"
    assert export(write_checkpoint(), out) == 2
    assert "was not written" in only_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


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


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("lan-export: error: ")
    return lines[0]


def write_other_version(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    torch.save({**data, "contract_version": CONTRACT_VERSION + 1}, path)


def write_foreign(path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(3)}}, path)


def write_other_weights(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    other = EnvSpec("checkers", 2, 5, SPEC.obs_dim + 1, SPEC.state_dim, 2, 100)
    data["learner"]["advantage"] = advantage_net(other).state_dict()
    torch.save(data, path)


def write_no_advantage(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    del data["learner"]["advantage"]
    torch.save(data, path)


def write_nan(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    data["learner"]["advantage"]["fc2.bias"][0] = float("nan")
    torch.save(data, path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "truncated"),
        (lambda path: path.write_bytes(b""), "truncated"),
        (lambda path: path.write_text("not a checkpoint"), "no checkpoint"),
        (lambda path: path.unlink(), "no checkpoint at"),
        (write_foreign, "no checkpoint of lan-train"),
        (write_other_version, "contract version"),
        (write_other_weights, "does not fit"),
        (write_no_advantage, "does not fit"),
        (write_nan, "not finite"),
    ],
    ids=["truncated", "empty", "text", "missing", "foreign", "version", "weights", "part", "nan"],
)
def test_a_checkpoint_that_cannot_be_used_is_one_clear_line(
    spoil: Callable[[Path], object],
    said: str,
    write_checkpoint: Write,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ckpt = write_checkpoint()
    spoil(ckpt)
    assert export(ckpt, tmp_path / "agent.onnx") == 2
    assert said in only_line(capsys)
    assert not (tmp_path / "agent.onnx").exists()


def test_a_checkpoint_of_an_environment_that_has_changed_is_refused(
    tmp_path: Path, write_checkpoint: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = write_checkpoint(spec=replace(SPEC, episode_limit=50))
    assert export(ckpt, tmp_path / "agent.onnx") == 2
    assert "episode_limit" in only_line(capsys)


def test_an_environment_that_is_code_to_import_must_be_named_by_the_user(
    tmp_path: Path, write_checkpoint: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = write_checkpoint(spec=replace(SPEC, name="pettingzoo:antigravity"))
    assert export(ckpt, tmp_path / "agent.onnx") == 2
    assert "say --map 'pettingzoo:antigravity'" in only_line(capsys)


def test_an_existing_file_is_kept_unless_forced(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    out.write_text("mine")
    assert export(ckpt, out) == 2
    assert "--force" in only_line(capsys)
    assert out.read_text() == "mine"
    assert export(ckpt, out, "--force") == 0
    assert load_model(out).spec == SPEC


def test_a_forced_export_that_fails_leaves_the_old_file(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    out.write_text("mine")
    write_nan(ckpt)
    assert export(ckpt, out, "--force") == 2
    assert "not finite" in only_line(capsys)
    assert out.read_text() == "mine"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out", "missing/agent.onnx"], "no directory"),
        (["--out", "."], "is a directory"),
        (["--out", "agent.onnx", "--battles", "1"], "--battles"),
        (["--out", "agent.onnx", "--seed", "-1"], "--seed"),
        (["--out", "agent.onnx", "--env", "simm"], "did you mean"),
        (["--out", "agent.onnx", "--env", "sc2"], "no StarCraft II map"),
        (["--out", "agent.onnx", "--map", "3m"], "made for checkers"),
    ],
)
def test_flags_that_cannot_be_used_are_one_clear_line(
    flags: list[str],
    said: str,
    write_checkpoint: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["--ckpt", str(write_checkpoint()), *flags]) == 2
    assert said in only_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
