"""A map of one's own travels: what was trained on it is resumed, evaluated and played without its file."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from envs.errors import InputError, ModelError
from envs.make import env_spec
from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text
from envs.smac.own_maps import map_of_text
from envs.start import COMMANDS
from envs.types import MAX_MAP_BYTES
from exporters.evaluate import main as evaluate
from exporters.export import main as export
from runtime.model_file.loader import load_model
from runtime.model_file.metadata import environment_in
from tests.exporters.conftest import make_checkpoint
from trainer.learning.networks import advantage_net
from trainer.runs.checkpoint import load_checkpoint

LINE = "2 marines and a medivac against a zealot, 16 x 12, limit 30"
SHORT = ["--steps", "300", "--threads", "1", "--batch-episodes", "4", "--first-update-episodes", "4"]


def command(name: str, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which has read no map."""
    code = f"import sys; from {COMMANDS[name]} import main; sys.exit(main())"
    line = [sys.executable, "-P", "-c", code, *words]
    return subprocess.run(line, cwd=cwd, capture_output=True, text=True, timeout=180)


@pytest.mark.slow
def test_a_map_is_written_trained_on_and_no_longer_needed(tmp_path: Path) -> None:
    def done(name: str, *words: str) -> str:
        result = command(name, *words, cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        return result.stdout

    done("lan-map", "new", LINE, "--out", "duo.json")
    done("lan-train", "--map", "duo.json", "--run-dir", "run", *SHORT, "--eval-episodes", "4")
    changed = json.loads((tmp_path / "duo.json").read_text()) | {"episode_limit_steps": 31}
    (tmp_path / "changed.json").write_text(json.dumps(changed))
    (tmp_path / "duo.json").unlink()
    done("lan-train", "--resume", "run", "--steps", "400")
    refused = command("lan-train", "--resume", "run", "--map", "changed.json", cwd=tmp_path)
    assert refused.returncode == 2
    assert "a resumed run keeps its settings: --map was duo@" in refused.stderr
    done("lan-export", "--ckpt", "run", "--out", "duo.onnx")
    by_torch = json.loads(done("lan-eval", "--ckpt", "run", "--episodes", "3", "--json"))
    (tmp_path / "run").rename(tmp_path / "away")
    words = ["--model", "duo.onnx", "--episodes", "3", "--json"]
    by_onnx = json.loads(done("lan-eval", *words, "--record", "battles.html"))
    played = json.loads(done("lan-play", *words))
    assert {by_torch["map"], by_onnx["map"], played["map"]} == {f"duo@{by_onnx['map'][4:]}"}
    assert by_torch["return_mean"] == by_onnx["return_mean"] == pytest.approx(played["return_mean"])
    for name in ("lan-play", "lan-eval"):
        other = command(name, "--model", "duo.onnx", "--map", "changed.json", cwd=tmp_path)
        assert other.returncode == 2
        assert "duo@" in other.stderr
        assert "Traceback" not in other.stderr


def own_checkpoint(write: Callable[..., Path], **config: Any) -> tuple[Path, str]:
    """The checkpoint of a run on a map of one's own, and the environment's name."""
    own = map_of_text(file_text(map_of_line(LINE, "duo")), "duo.json")
    spec = env_spec(own.name)
    settings = make_checkpoint(spec).config
    assert settings["map_text"] == own.text
    weights = {"advantage": advantage_net(spec).state_dict()}
    return write(spec=spec, learner=weights, config=settings | config), own.name


def test_the_model_file_holds_the_map_of_the_checkpoint(
    write_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt, name = own_checkpoint(write_checkpoint)
    out = tmp_path / "duo.onnx"
    assert export(["--ckpt", str(ckpt), "--out", str(out), "--battles", "2"]) == 0
    spec, text = environment_in(out)
    assert (spec.name, text) == (name, load_checkpoint(ckpt).map_text)
    assert load_model(out).metadata["lan.map"] == text
    assert evaluate(["--model", str(out), "--episodes", "1"]) == 0
    assert capsys.readouterr().out.count(name) == 2


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"map_text": '{"name": "duo"}'}, "the map in .*: map: lacks "),
        ({"map_text": "[" * 20_000}, "the map in .* is damaged, or no map file .not JSON"),
        (
            {"map_text": file_text(map_of_line(LINE, "other"))},
            "was made for duo@.*, but the map in it is other@",
        ),
        ({"map_text": 3}, "is damaged: its config.map_text is 3"),
    ],
)
def test_a_checkpoint_with_a_bad_map_is_refused(
    changed: dict[str, Any],
    problem: str,
    write_checkpoint: Callable[..., Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ckpt, _ = own_checkpoint(write_checkpoint, **changed)
    assert export(["--ckpt", str(ckpt), "--out", str(tmp_path / "a.onnx")]) == 2
    with pytest.raises(InputError, match=problem):
        raise InputError(capsys.readouterr().err)


def test_an_older_checkpoint_without_a_map_loads(
    write_checkpoint: Callable[..., Path], tmp_path: Path
) -> None:
    settings = make_checkpoint().config
    del settings["map_text"]
    ckpt = write_checkpoint(config=settings)
    assert load_checkpoint(ckpt).map_text is None
    out = tmp_path / "a.onnx"
    assert export(["--ckpt", str(ckpt), "--out", str(out), "--battles", "2"]) == 0
    assert environment_in(out)[1] is None


def test_a_strangers_model_file_is_checked_like_a_file(
    write_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ckpt, name = own_checkpoint(write_checkpoint)
    out = tmp_path / "duo.onnx"
    assert export(["--ckpt", str(ckpt), "--out", str(out), "--battles", "2"]) == 0

    def with_map(text: str) -> Path:
        model = onnx.load(out)
        for entry in model.metadata_props:
            if entry.key == "lan.map":
                entry.value = text
        other = tmp_path / "other.onnx"
        other.write_bytes(model.SerializeToString(deterministic=True))
        return other

    text = str(environment_in(out)[1])
    for changed, problem in (
        (text.replace('"count":2', '"count":3'), f"was made for {name}, but the map in it is duo@"),
        (text.replace('"count":2', '"count":99'), "allies: has 100 units; a side has at most 64"),
        (text.replace('"marine"', '"__import__"'), "unknown '__import__'"),
        ("{}", "map: lacks name"),
    ):
        assert changed != text
        assert evaluate(["--model", str(with_map(changed)), "--episodes", "1"]) == 2
        assert problem in capsys.readouterr().err
    with pytest.raises(ModelError, match=f"its map is longer than {MAX_MAP_BYTES} bytes"):
        environment_in(with_map("x" * (MAX_MAP_BYTES + 1)))
