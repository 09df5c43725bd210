"""One training run: its loop, its directory, its checkpoints, and what a person sees of it."""
