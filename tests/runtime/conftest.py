from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.support.small_models import model_bytes


@pytest.fixture(scope="session")
def small_model_bytes() -> bytes:
    """A policy with random weights for the small environment of these tests."""
    return model_bytes()


@pytest.fixture
def model_file(tmp_path: Path, small_model_bytes: bytes) -> Path:
    path = tmp_path / "agent.onnx"
    path.write_bytes(small_model_bytes)
    return path
