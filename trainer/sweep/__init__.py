"""Many runs over maps, algorithms and seeds, side by side on Ray."""
