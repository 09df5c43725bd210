"""Measurements, one script each; every script prints its results."""
