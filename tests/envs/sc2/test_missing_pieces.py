"""What is missing for a live game is said in one sentence, with exit code 2."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from envs.sc2api.cli import main as lan_sc2
from runtime.host.cli import main as lan_play


def refusal(capsys: pytest.CaptureFixture[str], root: Path | str, monkeypatch: pytest.MonkeyPatch) -> str:
    """What lan-play says when the game is to be found under `root`."""
    monkeypatch.setenv("SC2PATH", str(root))
    assert lan_play(["--map", "3m", "--env", "sc2", "--agents", "127.0.0.1:1"]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "Traceback" not in said.err
    errors = [line for line in said.err.splitlines() if "error" in line]
    assert len(errors) == 1
    return errors[0]


@pytest.mark.parametrize("root", ["", "empty", "without-binary", "nowhere"])
def test_no_game(
    root: str,
    sc2_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "without-binary/Versions/Base75689").mkdir(parents=True)
    (tmp_path / "without-binary/Maps").symlink_to(sc2_path / "Maps")
    looked_at = tmp_path / root if root else tmp_path / "home/StarCraftII"
    error = refusal(capsys, looked_at if root else "", monkeypatch)
    assert f"{looked_at} holds no Versions/Base*/SC2_x64" in error
    assert "Install" in error
    assert "--env sim" in error


@pytest.mark.parametrize("maps", [None, "Maps", "Maps/SMAC_Maps"])
def test_no_maps(
    maps: str | None,
    sc2_path: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "Versions").symlink_to(sc2_path / "Versions")
    if maps is not None:
        (tmp_path / maps).mkdir(parents=True)
    error = refusal(capsys, tmp_path, monkeypatch)
    assert "3m.SC2Map is missing" in error
    assert "copy the SMAC_Maps folder" in error


def test_one_map_is_missing(
    sc2_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Versions").symlink_to(sc2_path / "Versions")
    (tmp_path / "Maps/SMAC_Maps").mkdir(parents=True)
    for path in (sc2_path / "Maps/SMAC_Maps").iterdir():
        if path.name != "3m.SC2Map":
            (tmp_path / "Maps/SMAC_Maps" / path.name).symlink_to(path)
    assert "3m.SC2Map is missing" in refusal(capsys, tmp_path, monkeypatch)


@pytest.mark.parametrize("version", ["4.6.2", "four", "99.9"])
def test_a_version_that_is_not_there(
    version: str, sc2_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SC2_VERSION", version)
    error = refusal(capsys, sc2_path, monkeypatch)
    assert f"StarCraft II {version} is not installed" in error
    assert "SC2_VERSION" in error


def test_a_port_that_is_taken(sc2_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert lan_sc2(["serve", "--port", str(port)]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    (error,) = said.err.splitlines()
    assert f"port {port} of 127.0.0.1 is taken" in error
