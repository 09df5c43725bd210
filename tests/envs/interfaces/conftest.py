"""The stand-in game, for the official package."""

from tests.envs.sc2.conftest import game_tree, sc2_path

__all__ = ["game_tree", "sc2_path"]
