"""One training run: its loop, its directory, its checkpoints, its display."""
