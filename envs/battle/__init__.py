"""The embedded simulator: StarCraft II's battles as numba kernels over many battles at once."""
