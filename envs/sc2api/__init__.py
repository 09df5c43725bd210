"""Serves the simulator over Blizzard's SC2 API, so that unmodified clients play on it as on the game."""
