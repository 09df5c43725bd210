"""Episodes as they are kept: in memory without their zeros, and on disk."""
