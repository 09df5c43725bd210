"""lan-export refuses what differs from the checkpoint, and says in one line what it cannot use."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import exporters.model
from envs.checkers import SPEC, CheckersEnv
from envs.types import CONTRACT_VERSION, EnvSpec
from exporters.export import main
from exporters.model import build_model
from runtime.model_file.loader import load_model
from trainer.learning.networks import advantage_net

Write = Callable[..., Path]


def export(ckpt: Path, out: Path, *more: str) -> int:
    return main(["--ckpt", str(ckpt), "--out", str(out), *more])


def only_line(capsys: pytest.CaptureFixture[str]) -> str:
    """The one line on stderr."""
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("lan-export: error: ")
    return lines[0]


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

    monkeypatch.setattr(exporters.model, "build_model", tampered)
    closed: list[CheckersEnv] = []
    monkeypatch.setattr(CheckersEnv, "close", lambda env: closed.append(env))
    out = tmp_path / "agent.onnx"
    assert export(write_checkpoint(), out) == 2
    assert "was not written" in only_line(capsys)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]
    assert len(closed) == 1


def write_other_version(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    torch.save({**data, "contract_version": CONTRACT_VERSION + 1}, path)


def write_foreign(path: Path) -> None:
    torch.save({"model": {"weight": torch.zeros(3)}}, path)


def write_other_weights(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    other = EnvSpec("checkers", 2, 5, SPEC.obs_dim + 1, SPEC.state_dim, 2, 100)
    data["states"]["learner"]["advantage"] = advantage_net(other).state_dict()
    torch.save(data, path)


def write_no_advantage(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    del data["states"]["learner"]["advantage"]
    torch.save(data, path)


def write_nan(path: Path) -> None:
    data = torch.load(path, weights_only=True)
    data["states"]["learner"]["advantage"]["fc2.bias"][0] = float("nan")
    torch.save(data, path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "is a damaged checkpoint"),
        (lambda path: path.write_bytes(b""), "no checkpoint but an empty file"),
        (lambda path: path.write_text("not a checkpoint"), "no checkpoint"),
        (lambda path: path.unlink(), "no checkpoint at"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is no regular file"),
        (write_foreign, "no checkpoint of lan-train"),
        (write_other_version, "contract version"),
        (write_other_weights, "does not fit"),
        (write_no_advantage, "does not fit"),
        (write_nan, "not finite"),
    ],
    ids=["truncated", "empty", "text", "missing", "fifo", "foreign", "version", "weights", "part", "nan"],
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
    assert "say --map pettingzoo:antigravity if" in only_line(capsys)


def test_the_name_that_must_be_said_again_can_be_pasted_into_a_shell(
    tmp_path: Path, write_checkpoint: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "pettingzoo:it's?size=(3,4)&n=$HOME"
    assert export(write_checkpoint(spec=replace(SPEC, name=name)), tmp_path / "agent.onnx") == 2
    pasted = only_line(capsys).partition("say --map ")[2].removesuffix(" if you trust it")
    assert shlex.split(pasted) == [name]


def test_a_model_that_agents_would_refuse_for_its_size_is_refused_with_the_limit(
    tmp_path: Path, write_checkpoint: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for number, obs_dim in enumerate((16_000, 70_000)):  # too many bytes, too many inputs
        spec = replace(SPEC, obs_dim=obs_dim)
        wide = {"advantage": advantage_net(spec).state_dict()}
        ckpt = write_checkpoint(f"run{number}", spec=spec, learner=wide)
        assert export(ckpt, tmp_path / "agent.onnx") == 2
        said = only_line(capsys)
        assert f"{obs_dim:,} features" in said
        assert "at most 4,000,000 bytes and 65,536 inputs" in said
    assert not (tmp_path / "agent.onnx").exists()


def test_a_pipe_in_place_of_a_file_holds_lan_inspect_up_no_longer_than_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    done = subprocess.run(
        [Path(sys.executable).with_name("lan-inspect"), tmp_path / "pipe"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert "is no regular file" in done.stderr


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


def test_no_checkpoint_is_replaced_by_its_own_export(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt, link = write_checkpoint(), tmp_path / "link.onnx"
    link.symlink_to(ckpt)
    before = ckpt.read_bytes()
    for out in (ckpt, link):
        assert export(ckpt, out, "--force") == 2
        assert f"--out {out} is --ckpt too" in only_line(capsys)
    assert (ckpt.read_bytes(), link.is_symlink()) == (before, True)
    assert export(ckpt.parent, ckpt, "--force") == 2
    assert f"--out {ckpt} is a file of --ckpt" in only_line(capsys)
    assert ckpt.read_bytes() == before


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--out", "missing/agent.onnx"], "no directory"),
        (["--out", "."], "is a directory"),
        (["--out", "agent.onnx", "--battles", "1"], "--battles"),
        (["--out", "agent.onnx", "--seed", "-1"], "--seed"),
        (["--out", "agent.onnx", "--seed", str(2**64)], "less than 2^64"),
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
