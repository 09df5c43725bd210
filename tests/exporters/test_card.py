"""lan-inspect: cards of maps, checkpoints and model files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from envs.checkers import SPEC
from envs.smac.maps import MAP_NAMES
from exporters.card import main
from exporters.export import main as export
from runtime.model_file.loader import load_model
from trainer.learning.networks import advantage_net, count_parameters, value_net

TABLE_3 = {
    "2s3z": (62, 50, 36),
    "3s5z": (74, 90, 60),
    "1c3s5z": (83, 113, 73),
    "5m_vs_6m": (56, 43, 32),
    "10m_vs_11m": (68, 106, 70),
    "27m_vs_30m": (111, 709, 283),
    "3s5z_vs_3s6z": (76, 95, 63),
    "MMM2": (86, 136, 85),
    "2s_vs_1sc": (46, 18, 12),
    "3s_vs_5z": (54, 31, 22),
    "6h_vs_8z": (61, 59, 42),
    "bane_vs_bane": (125, 555, 241),
    "2c_vs_64zg": (119, 116, 72),
    "corridor": (79, 109, 69),
}
"""LAN paper, Table 3: parameters of what is central, in thousands: LAN's value, QPLEX's and QMIX's mixers."""


def card(capsys: pytest.CaptureFixture[str], *argv: str) -> dict[str, Any]:
    """The JSON object that lan-inspect prints."""
    assert main([*argv, "--json"]) == 0
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    return result


@pytest.mark.parametrize("name", TABLE_3)
@pytest.mark.parametrize(
    ("column", "algorithm", "part"), [(0, "lan", "value"), (1, "qplex", "mixer"), (2, "qmix", "mixer")]
)
def test_what_is_central_is_as_large_as_the_papers(
    name: str, column: int, algorithm: str, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    parameters = card(capsys, "--map", name, "--algorithm", algorithm)["parameters"]
    assert set(parameters) == {"advantage", part}
    assert round(parameters[part] / 1000) == TABLE_3[name][column]


@pytest.mark.parametrize("name", MAP_NAMES)
def test_every_map_has_a_card(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The advantage network's size from the card's own dimensions, worked out layer by layer."""
    data = card(capsys, "--map", name)
    assert data["name"] == name
    n_inputs = data["obs_dim"] + data["n_actions"] + data["n_agents"]
    first, gru, last = 64 * n_inputs + 64, 2 * (192 * 64 + 192), 64 * data["n_actions"] + data["n_actions"]
    assert data["parameters"]["advantage"] == first + gru + last
    assert data["state_dim"] > 0
    assert data["episode_limit"] > 0


@pytest.mark.parametrize("name", ["checkers", "spread:6"])
def test_environments_beside_smac_have_cards(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    data = card(capsys, "--map", name)
    assert data["name"] == name
    assert data["parameters"]["value"] > 0


def test_the_card_of_a_checkpoint_counts_its_networks_and_not_their_copies(
    write_checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_checkpoint()
    data = card(capsys, str(path))
    assert data["kind"] == "checkpoint"
    assert data["parameters"] == {
        "advantage": count_parameters(advantage_net(SPEC)),
        "value": count_parameters(value_net(SPEC)),
    }
    assert (data["env_steps"], data["episodes"], data["updates"]) == (12_345, 678, 1_356)
    assert (data["algorithm"], data["backend"], data["win_rate"]) == ("lan", "sim", 0.75)
    assert card(capsys, str(path.parent)) == data


def test_the_card_of_a_model_file_counts_what_is_in_it(
    write_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "agent.onnx"
    assert export(["--ckpt", str(write_checkpoint()), "--out", str(out)]) == 0
    capsys.readouterr()
    data = card(capsys, str(out))
    assert data["kind"] == "model"
    assert data["parameters"] == {"advantage": count_parameters(advantage_net(SPEC))}
    assert data["sha256"] == load_model(out).digest
    assert data["size_bytes"] == out.stat().st_size
    assert (data["n_agents"], data["n_actions"], data["obs_dim"]) == (2, 5, SPEC.obs_dim)
    assert (data["env_steps"], data["win_rate"]) == (12_345, 0.75)


def test_a_card_for_people_shows_the_same_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--map", "checkers"]) == 0
    text = capsys.readouterr().out
    assert f"{count_parameters(value_net(SPEC)):,} (training only)" in text
    assert f"{count_parameters(advantage_net(SPEC)):,} (deployed)" in text


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        ([], "either a file or --map"),
        (["agent.onnx", "--map", "3m"], "either a file or --map"),
        (["agent.onnx"], "no file agent.onnx"),
        (["--map", "2s4z"], "2s3z"),
        (["--map", "spread:none"], "spread:N"),
        (["--map", "checkers", "--algorithm", "lam"], "did you mean 'lan'"),
    ],
)
def test_bad_input_is_one_clear_line(
    argv: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    assert_one_line(capsys, said)


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 but no zip", b"\x00\x01 something else", b"\xff" * 5000]
)
def test_a_file_that_is_neither_is_one_clear_line(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "thing"
    path.write_bytes(content)
    assert main([str(path)]) == 2
    assert_one_line(capsys, str(path))


def test_a_truncated_model_file_is_one_clear_line(
    write_checkpoint: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "agent.onnx"
    assert export(["--ckpt", str(write_checkpoint()), "--out", str(out)]) == 0
    capsys.readouterr()
    out.write_bytes(out.read_bytes()[:-100])
    assert main([str(out)]) == 2
    assert_one_line(capsys, "refused")


def test_text_from_a_file_is_shown_and_never_obeyed(
    write_checkpoint: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_checkpoint(config={"algorithm": "[red]lan[/red]", "sharing": "all"}, backend="\x1b[2Jsim")
    assert main([str(path)]) == 0
    text = capsys.readouterr().out
    assert "[red]lan[/red]" in text
    assert "\x1b" not in text
    assert "\\x1b[2Jsim" in text


def assert_one_line(capsys: pytest.CaptureFixture[str], said: str) -> None:
    """Nothing on stdout, and on stderr one line of ours that says `said`."""
    output = capsys.readouterr()
    assert output.out == ""
    (line,) = output.err.splitlines()
    assert line.startswith("lan-inspect: error: ")
    assert said in line


@pytest.mark.parametrize(
    "flags", [("--sharing", "type"), ("--algorithm", "qmix"), ("--algorithm", "lan"), ("--network", "entity")]
)
@pytest.mark.parametrize("named", [("zoo/3m.onnx",), ("--card", "zoo/3m.onnx")])
def test_what_a_file_says_itself_is_not_asked_for(
    flags: tuple[str, ...], named: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*named, *flags]) == 2
    assert f"{flags[0]} is for --map" in capsys.readouterr().err
