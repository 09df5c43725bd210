"""Playing: policy servers, one process per agent, and the game host. Never torch."""
