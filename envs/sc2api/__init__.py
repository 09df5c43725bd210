"""The simulator behind Blizzard's SC2 API: unmodified clients play on it as if it were the game."""
