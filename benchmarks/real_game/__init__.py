"""The simulator against what is known of the real game; see `__main__`."""
