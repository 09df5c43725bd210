"""One script per yardstick; each prints what it measured, and a person can run each."""
