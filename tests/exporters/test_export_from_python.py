"""`export_checkpoint` writes what `lan-export` writes, and reports it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest

import exporters
from envs.checkers import SPEC
from envs.errors import InputError
from exporters.export import main
from runtime.model_file.loader import load_model
from trainer.learning.networks import advantage_net, count_parameters, value_net

Write = Callable[..., Path]


def test_a_checkpoint_is_exported_and_reported(write_checkpoint: Write, tmp_path: Path) -> None:
    out = tmp_path / "agent.onnx"
    report = exporters.export_checkpoint(write_checkpoint(), out, battles=2, seed=3)
    data = out.read_bytes()
    assert (report.path, report.n_bytes) == (out, len(data))
    assert report.sha256 == hashlib.sha256(data).hexdigest() == load_model(out).digest
    assert (report.map, report.algorithm, report.backend) == ("checkers", "lan", "sim")
    assert (report.env_steps, report.win_rate) == (12_345, 0.75)
    sizes = {"advantage": count_parameters(advantage_net(SPEC)), "value": count_parameters(value_net(SPEC))}
    assert report.parameters == sizes
    assert report.parity.equal
    assert (report.parity.battles, report.parity.agent_steps) == (2, 2 * 2 * 100)
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.sha256 = ""


def test_the_command_writes_the_same_file_and_prints_the_report(
    write_checkpoint: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt = write_checkpoint()
    report = exporters.export_checkpoint(ckpt, tmp_path / "a.onnx")
    assert main(["--ckpt", str(ckpt), "--out", str(tmp_path / "b.onnx")]) == 0
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    printed = capsys.readouterr().out
    for shown in (report.sha256, f"{report.n_bytes:,} bytes", f"{report.parity.agent_steps:,} agent steps"):
        assert shown in printed


def test_an_existing_file_is_kept_unless_forced(write_checkpoint: Write, tmp_path: Path) -> None:
    ckpt, out = write_checkpoint(), tmp_path / "agent.onnx"
    out.write_text("mine")
    with pytest.raises(InputError, match="exists"):
        exporters.export_checkpoint(ckpt, out)
    assert out.read_text() == "mine"
    report = exporters.export_checkpoint(str(ckpt), str(out), force=True)  # text will do for a path
    assert (report.path, report.sha256) == (out, load_model(out).digest)
