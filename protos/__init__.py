"""The wire contract between the game host and a policy server."""
