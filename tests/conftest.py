"""Which tests share a process when they run side by side (`pytest -n 2 --dist loadgroup`)."""

from pathlib import Path

import pytest

from tests.paths import ROOT

OWN_PORTS = ("runtime", "envs/sc2", "envs/sc2api", "benchmarks/test_serving_benchmark.py")
"""Tests that start servers: they pick free ports, keep deadlines, and so run one after the other."""


@pytest.hookimpl(tryfirst=True)  # before xdist reads the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        place = Path(item.path).relative_to(ROOT / "tests")
        if any(place.is_relative_to(name) for name in OWN_PORTS):
            item.add_marker(pytest.mark.xdist_group("servers"))
