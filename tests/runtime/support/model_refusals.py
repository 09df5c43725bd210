"""What the loader says of a file that it refuses."""

from __future__ import annotations

import time

import pytest

from envs.errors import ModelError
from runtime.model_file.loader import load_model_bytes


def refusal(data: bytes, sha256: str | None = None) -> str:
    """What the loader says, which is never long in coming."""
    start_s = time.monotonic()
    with pytest.raises(ModelError) as caught:
        load_model_bytes(data, "hostile.onnx", sha256)
    assert time.monotonic() - start_s < 5
    assert "hostile.onnx" in str(caught.value) or "SHA-256" in str(caught.value)
    return str(caught.value)
