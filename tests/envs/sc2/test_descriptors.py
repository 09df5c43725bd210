"""PyPI's s2clientprotocol loads under today's protobuf, and what is not that package is refused."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from envs.errors import InputError

pytest.importorskip("s2clientprotocol")


def test_messages_survive_the_wire() -> None:
    from envs.sc2.descriptors import sc2_protocol

    sc_pb = sc2_protocol()
    request = sc_pb.Request(step=sc_pb.RequestStep(count=8), id=3)
    assert sc_pb.Request.FromString(request.SerializeToString()) == request
    assert request.WhichOneof("request") == "step"
    assert sc_pb.Status.Value("in_game") == 3


def test_usual_imports_find_the_same_modules() -> None:
    from envs.sc2.descriptors import FILES, protocol_module

    for file in FILES:
        assert protocol_module(file) is sys.modules[f"s2clientprotocol.{file}_pb2"]
    from s2clientprotocol import raw_pb2

    assert raw_pb2 is protocol_module("raw")


def test_pysc2_imports_and_keeps_the_fast_protobuf() -> None:
    code = (
        "from envs.sc2.descriptors import sc2_protocol; sc2_protocol();"
        "from pysc2 import run_configs, maps; from pysc2.lib import remote_controller, sc_process;"
        "from google.protobuf.internal import api_implementation as a; print(a.Type())"
    )
    pytest.importorskip("pysc2.lib")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "upb", done.stderr


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("DESCRIPTOR = 3", "no serialized descriptor"),
        ("def (", "invalid syntax"),
        ("DESCRIPTOR = F(serialized_pb=_b('\\xff\\xff'))", "cannot be read"),
        ("DESCRIPTOR = F(serialized_pb=_b('\\n\\x05other'))", "describes 'other'"),
        ("DESCRIPTOR = F(serialized_pb=_b('\u1234'))", "cannot be read"),
    ],
)
def test_unknown_formats_are_refused(tmp_path: Path, text: str, says: str) -> None:
    from envs.sc2.descriptors import read_descriptor

    path = tmp_path / "common_pb2.py"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=says):
        read_descriptor(path)


def test_missing_file_is_refused(tmp_path: Path) -> None:
    from envs.sc2.descriptors import read_descriptor

    with pytest.raises(InputError, match="common_pb2"):
        read_descriptor(tmp_path / "common_pb2.py")
