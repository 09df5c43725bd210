"""A file of one kind in the place of another is called what it is, with where to get the right one."""

from __future__ import annotations

import random
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from envs.kinds import CARD, CHECKPOINT, MAP, MODEL, RUN, WHENCE, kind_of
from tests.commands.support.forked import Forks
from tests.commands.support.situations import copied
from tests.paths import ROOT

PLACES = {
    "lan-export --ckpt {} --out new.onnx --battles 2": CHECKPOINT,
    "lan-eval --ckpt {} --episodes 1": CHECKPOINT,
    "lan-train --map checkers --init-from {} --run-dir new": CHECKPOINT,
    "lan-train --map 3m --opponent {} --run-dir new": MODEL,
    "lan-eval --model {} --episodes 1": MODEL,
    "lan-agent --model {} --agent-id 0 --listen 127.0.0.1:0": MODEL,
    "lan-agents --model {} --agents 0 --listen 127.0.0.1:0": MODEL,
    "lan-play --map checkers --model {} --episodes 1": MODEL,
    "lan-play --map 3m --opponent {} --agents 127.0.0.1:9 --episodes 1": MODEL,
    "lan-inspect {}": MODEL,
    "lan-inspect --card {}": MODEL,
    "lan-train --resume {}": RUN,
    "lan-eval --absolute {}": RUN,
    "lan-plot {} --out new.svg": RUN,
    "lan-train --map ./{} --run-dir new": MAP,
    "lan-map check {}": MAP,
    "lan-play --map ./{} --agents 127.0.0.1:9 --episodes 1": MAP,
}
KINDS = {
    "agent.onnx": "a model file",
    "run/run.pt": "a checkpoint",
    "run": "a run directory",
    "sweep": "a folder of run directories (2, such as sweep/a)",
    "run/config.json": "the settings of a run",
    "run/metrics.jsonl": "the metrics of a run",
    "arrays.npz": "a file of arrays (NAME.npz)",
    "own.json": "a map file",
    "card.json": "a card of a trained team",
    "drawn.csv": "a CSV file of lan-plot",
    "page.html": "an HTML page",
    "certs/ca.pem": "a PEM file (certificate or key)",
    "other.zip": "a zip archive",
    "empty": "an empty file",
    "a.folder": "a folder",
}
TAKEN = {CHECKPOINT: ("run", "run/run.pt"), MODEL: ("agent.onnx",), RUN: ("run", "run/"), MAP: ("own.json",)}
"""What each place takes, or answers in words of its own."""
OTHERWISE = {
    "lan-inspect {}": ("run", "run/run.pt", "own.json"),
    "lan-train --map 3m --opponent {} --run-dir new": ("run/run.pt",),
    "lan-plot {} --out new.svg": ("drawn.csv",),
}
JARGON = re.compile(r"protobuf|[Pp]arsing|line 1 column|Errno|pickle|magic|central directory", re.A)


@pytest.fixture(scope="module")
def folder(files: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of every kind."""
    folder = tmp_path_factory.mktemp("kinds")
    copied(files, folder)
    for name in ("a", "b"):
        shutil.copytree(folder / "run", folder / "sweep" / name)
    np.savez(folder / "arrays.npz", obs=np.zeros(3))
    shutil.copy(ROOT / "envs/smac/data/3m.json", folder / "own.json")
    shutil.copy(ROOT / "zoo/3m.json", folder / "card.json")
    shutil.copy(ROOT / "results/fast/5m_vs_6m.csv", folder / "drawn.csv")
    (folder / "page.html").write_text("<!DOCTYPE html><title>battle</title>")
    (folder / "empty").touch()
    with zipfile.ZipFile(folder / "other.zip", "w") as archive:
        archive.writestr("other.json", "{}")
    return folder


def test_each_kind_is_told_by_its_content(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert {name: kind_of(Path(name)) for name in KINDS} == KINDS
    for name in ("a.file", "a.loop", "a.dangling", "a.fifo", "nothing"):
        assert kind_of(Path(name)) is None


def test_a_mark_and_blanks_before_a_text_change_nothing(tmp_path: Path) -> None:
    for beginning in ("\ufeff", " \n" * 60):
        (tmp_path / "card.json").write_text(beginning + (ROOT / "zoo/3m.json").read_text())
        assert kind_of(tmp_path / "card.json") == f"a {CARD}"


def test_a_file_that_is_cut_off_is_still_told(folder: Path, tmp_path: Path) -> None:
    for name in ("run/run.pt", "arrays.npz", "agent.onnx", "drawn.csv"):
        content, cut = (folder / name).read_bytes(), tmp_path / "cut"
        cut.write_bytes(content[: len(content) - 8])
        assert kind_of(cut) == KINDS[name]


def others(words: str) -> list[str]:
    """The files of other kinds than the place takes."""
    wanted = PLACES[words]
    taken = (*TAKEN[wanted], *OTHERWISE.get(words, ()))
    return [name for name in KINDS if name not in taken and (wanted != MAP or name.endswith(".json"))]


def check_refusal(words: str, name: str, forks: Forks, folder: Path) -> None:
    """The command calls the file what it is, in one sentence that says where to get the right one."""
    ended = forks.run(words.format(name).split(), folder, 30.0)
    assert ended.code == 2, ended
    assert not ended.complaints()
    assert len(ended.err.splitlines()) == 1, ended.err
    wanted = PLACES[words]
    told = f"no {wanted} but {re.escape(KINDS[name]).replace('sweep/a', '.*sweep/a')}; {WHENCE[wanted]}"
    in_run = f"run/.* is a file; name the run's directory, {re.escape(str(Path(name).parent))}"
    either = "is a folder.*; name a checkpoint, a run directory or a model file"  # which lan-inspect takes
    assert re.search(f"{told}|{in_run}|{either}", ended.err), ended.err
    assert not JARGON.search(ended.err), ended.err


@pytest.mark.slow
@pytest.mark.parametrize("words", PLACES)
def test_a_file_of_any_other_kind_is_called_what_it_is(words: str, forks: Forks, folder: Path) -> None:
    for name in others(words):
        check_refusal(words, name, forks, folder)


@pytest.mark.parametrize("words", PLACES)
def test_a_file_of_some_other_kind_is_called_what_it_is(words: str, forks: Forks, folder: Path) -> None:
    for name in random.Random(words).sample(others(words), 2):
        check_refusal(words, name, forks, folder)


@pytest.mark.parametrize("words", PLACES)
def test_a_file_that_is_not_there_is_said_so(words: str, forks: Forks, folder: Path) -> None:
    name = "nothing.json" if PLACES[words] == MAP else "nothing"
    ended = forks.run(words.format(name).split(), folder, 30.0)
    assert ended.code == 2, ended
    assert len(ended.err.splitlines()) == 1, ended.err
    assert name in ended.err
    assert ";" in ended.err or ":" in ended.err.partition("error: ")[2], ended.err  # and what to do
    assert not JARGON.search(ended.err), ended.err


def test_a_map_beside_a_model_is_no_damaged_card(forks: Forks, folder: Path, tmp_path: Path) -> None:
    shutil.copy(folder / "agent.onnx", tmp_path / "rescue.onnx")
    shutil.copy(folder / "own.json", tmp_path / "rescue.json")
    ended = forks.run(["lan-inspect", "--card", "rescue.onnx"], tmp_path)
    assert ended.code == 2
    assert f"rescue.json is no {CARD} but a {MAP}; {WHENCE[CARD]}" in ended.err
