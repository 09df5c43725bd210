"""Helpers of the tests of live games."""
