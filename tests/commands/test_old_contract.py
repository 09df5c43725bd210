"""What was made for the battlefield of contract version 1 is refused at every door, in one sentence."""

import json
from pathlib import Path

import onnx
import pytest
import torch

from tests.commands.support.forked import Forks
from tests.commands.support.situations import copied

SENTENCE = (
    "of contract version 1, made for the old battlefield (positions in its states are divided by 32 instead "
    "of 28, and other rules held); train and export again"
)
DOORS = [
    "lan-train --resume run --steps 60",
    "lan-export --ckpt run --out new.onnx --battles 2",
    "lan-export --ckpt run/best.pt --out new.onnx --battles 2",
    "lan-eval --ckpt run --episodes 1",
    "lan-eval --model agent.onnx --episodes 1",
    "lan-inspect run",
    "lan-inspect agent.onnx",
    "lan-agent --model agent.onnx --agent-id 0 --listen 127.0.0.1:0",
    "lan-agents --model agent.onnx --agents 0 --listen 127.0.0.1:0",
]


def of_version_1(folder: Path) -> None:
    """Make the run and the model in `folder` those of contract version 1, spec and all."""
    for path in (folder / "run").glob("*.pt"):
        data = torch.load(path, weights_only=True)
        spec = json.dumps(json.loads(data["spec"]) | {"contract_version": 1}, sort_keys=True)
        torch.save({**data, "contract_version": 1, "spec": spec}, path)
    model = onnx.load(folder / "agent.onnx")
    for entry in model.metadata_props:
        if entry.key == "lan.contract_version":
            entry.value = "1"
        if entry.key == "lan.spec":
            entry.value = entry.value.replace('"contract_version": 2', '"contract_version": 1')
            assert json.loads(entry.value)["contract_version"] == 1
    onnx.save(model, folder / "agent.onnx")


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "lock"
    }


@pytest.mark.parametrize("words", DOORS)
def test_old_files_are_refused_in_one_sentence_and_nothing_is_lost(
    forks: Forks, files: Path, tmp_path: Path, words: str
) -> None:
    folder = tmp_path / "files"
    copied(files, folder)
    of_version_1(folder)
    before = contents(folder / "run")
    ended = forks.run(words.split(), folder, 30.0)
    assert ended.code == 2, ended
    assert not ended.complaints()
    assert SENTENCE in ended.err
    assert len(ended.err.splitlines()) == 1
    assert ended.out == ""
    assert contents(folder / "run") == before
    assert not (folder / "new.onnx").exists()
