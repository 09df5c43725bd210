"""A game to play on: the simulator behind Blizzard's API, installed where pysc2 looks."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def game_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for package in ("s2clientprotocol", "pysc2.lib", "websockets", "websocket"):
        pytest.importorskip(package)
    from envs.sc2api.install import install

    root = tmp_path_factory.mktemp("StarCraftII")
    install(root, 75689)
    return root


@pytest.fixture
def sc2_path(game_tree: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SC2PATH", str(game_tree))
    monkeypatch.delenv("SC2_VERSION", raising=False)
    return game_tree
