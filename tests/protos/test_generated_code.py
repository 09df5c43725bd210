from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from protos import generate, policy_pb2, policy_pb2_grpc
from tests.paths import ROOT


def test_the_service_is_the_contracts() -> None:
    service = policy_pb2.DESCRIPTOR.services_by_name["PolicyService"]
    assert service.full_name == "lan.policy.v1.PolicyService"
    assert [method.name for method in service.methods] == ["Describe", "Act", "ActStream", "EndEpisode"]
    assert hasattr(policy_pb2_grpc, "PolicyServiceServicer")


def test_no_message_has_room_for_a_state_or_another_agents_observation() -> None:
    fields = [field.name for field in policy_pb2.ActRequest.DESCRIPTOR.fields]
    assert fields == ["episode_id", "step", "observation", "available_actions", "include_advantages"]


@pytest.mark.skipif(not generate.ROOT.joinpath(".venv-protos").exists(), reason="no generator is installed")
def test_the_committed_code_is_what_the_contract_generates() -> None:
    subprocess.run([sys.executable, "-m", "protos.generate", "--check"], check=True, cwd=ROOT, timeout=120)


def test_an_edit_by_hand_is_noticed(tmp_path: Path) -> None:
    text = (ROOT / "protos" / "policy_pb2.py").read_text()
    (tmp_path / "policy_pb2.py").write_text(text + "\n# by hand\n")
    assert "by hand" in generate.differences(tmp_path, {"policy_pb2.py": text})
    (tmp_path / "policy_pb2.py").write_text(text)
    assert generate.differences(tmp_path, {"policy_pb2.py": text}) == ""
