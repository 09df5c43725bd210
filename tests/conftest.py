"""For all tests: how long one may take before it counts as hanging."""

from __future__ import annotations

import pytest

SLOW_TIMEOUT_S = 3_600.0
"""For a slow test; the others' stands in pyproject.toml."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give slow tests more time."""
    for item in items:
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(SLOW_TIMEOUT_S))
