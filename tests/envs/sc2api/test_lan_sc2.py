"""lan-sc2: the tree it installs, and what it refuses."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("s2clientprotocol")
pytest.importorskip("websockets")

from envs.sc2api.binary import main as game_main
from envs.sc2api.cli import main
from envs.smac.maps import MAP_NAMES
from envs.smac.scenarios import FIELD


def test_install_makes_what_pysc2_looks_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "StarCraftII"
    for _ in range(2):  # again over itself
        assert main(["install", "--root", str(root)]) == 0
    assert f"SC2PATH={root}" in capsys.readouterr().out
    assert os.access(root / "Versions/Base75689/SC2_x64", os.X_OK)
    assert {path.stem for path in (root / "Maps/SMAC_Maps").iterdir()} == {*MAP_NAMES, FIELD}


@pytest.mark.parametrize("name", ["my games", "it's; $HOME", "a:b", "-x"])
def test_what_install_prints_can_be_pasted_and_the_game_starts_from_any_folder(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    root = tmp_path / name
    assert main(["install", "--root", str(root)]) == 0
    pasted = capsys.readouterr().out.partition("now: ")[2]
    shown = subprocess.run(
        ["sh", "-c", f'{pasted}printf %s "$SC2PATH"'], capture_output=True, text=True, timeout=60, check=True
    )
    assert shown.stdout == str(root)
    game = [str(root / "Versions/Base75689/SC2_x64"), "-listen", "127.0.0.1", "-port", "none"]
    ran = subprocess.run(game, cwd=root, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (2, "SC2_x64: error: -port 'none' is no port\n")


def test_install_leaves_a_real_game_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    binary = tmp_path / "Versions/Base69232/SC2_x64"
    binary.parent.mkdir(parents=True)
    binary.write_bytes(b"\x7fELF")
    assert main(["install", "--root", str(tmp_path)]) == 2
    assert "choose another --root" in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Versions"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["install", "--root", "/dev/null"], "is no folder"),
        (["install", "--root", "/tmp/x", "--base-build", "12"], "55958"),
        (["serve", "--port", "99999"], "is no port"),
        (["serve", "--port", "0", "--host", "é..x"], "with --host"),
        (["serve", "--port", "0", "--host", "é" * 70], "with --host"),
        (["serve", "--port", "0", "--host", ".."], "with --host"),
        (["serve", "--port", "0", "--host", "\udce9"], "with --host"),
        (["serve", "--port", "0", "--host", "192.0.2.1"], "Cannot assign requested address; choose an"),
        ([], "usage"),
        (["fly"], "usage"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert says in said
    assert "attempting" not in said


def test_install_where_no_folder_can_be_is_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "loop").symlink_to("loop")
    os.mkfifo(tmp_path / "pipe")
    for name in ("loop", "pipe", "pipe/in", "loop/in"):
        assert main(["install", "--root", str(tmp_path / name)]) == 2
        assert "is no folder; choose another with --root" in capsys.readouterr().err
    assert main(["install", "--root", str(tmp_path / ("x" * 300))]) == 2
    assert "File name too long" in capsys.readouterr().err


def test_an_interrupt_ends_the_server() -> None:
    command = [sys.executable, "-m", "envs.sc2api.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        assert server.stdout.readline().startswith("serving ws://127.0.0.1:")
        server.send_signal(signal.SIGINT)
        _, said = server.communicate(timeout=60)
    assert server.returncode == 130
    assert said == "lan-sc2 serve: interrupted\n"


def test_the_game_wants_a_port(capsys: pytest.CaptureFixture[str]) -> None:
    assert game_main(["-listen", "127.0.0.1", "-port", "abc"]) == 2
    assert "-port 'abc' is no port" in capsys.readouterr().err
    assert game_main(["-port", "1" * 5_000]) == 2
    assert "is no port" in capsys.readouterr().err
