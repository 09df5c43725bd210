"""Deployment files: valid, confined, and with flags that the commands have."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tyro

from runtime.agent.cli import AgentConfig
from runtime.host.cli import PlayConfig
from runtime.identity.addresses import parse_addresses
from tests.paths import ROOT

kubernetes_validate = pytest.importorskip("kubernetes_validate")
yaml = pytest.importorskip("yaml")

DEPLOY = ROOT / "deploy"
N_AGENTS = 6


def documents() -> list[Any]:
    return [
        document
        for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
        for document in yaml.safe_load_all(path.read_text())
    ]


def document(kind: str, name: str) -> Any:
    return next(d for d in documents() if d["kind"] == kind and d["metadata"]["name"] == name)


def pod_specs() -> list[Any]:
    return [d["spec"]["template"]["spec"] for d in documents() if d["kind"] in ("StatefulSet", "Job")]


def agent_config(words: list[str]) -> AgentConfig:
    return tyro.cli(AgentConfig, args=[word.replace("$(AGENT_ID)", "3") for word in words])


@pytest.mark.parametrize("index", range(len(documents())))
@pytest.mark.parametrize("version", ["1.31", "1.33"])
def test_manifests_fit_the_api_schemas(index: int, version: str) -> None:
    kubernetes_validate.validate(documents()[index], version, strict=True)


def test_a_manifest_with_a_misspelt_field_would_be_noticed() -> None:
    manifest = document("StatefulSet", "lan-agent")
    manifest["spec"]["podManagementPolicies"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_pods_run_without_privileges_on_a_file_system_they_cannot_write() -> None:
    assert len(pod_specs()) == 2
    for spec in pod_specs():
        assert spec["automountServiceAccountToken"] is False
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True
            assert context["allowPrivilegeEscalation"] is False
            assert context["capabilities"] == {"drop": ["ALL"]}
            assert "memory" in container["resources"]["limits"]


def test_an_agents_pod_is_its_ordinal_and_sees_its_own_key_only() -> None:
    spec = document("StatefulSet", "lan-agent")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    config = agent_config(container["args"])
    assert config.agent_id == 3
    assert not config.insecure
    assert config.tls_cert == "/tls/tls.crt"
    fields = {entry["name"]: entry["valueFrom"]["fieldRef"]["fieldPath"] for entry in container["env"]}
    assert fields["AGENT_ID"] == "metadata.labels['apps.kubernetes.io/pod-index']"
    (mount,) = (mount for mount in container["volumeMounts"] if mount["name"] == "tls")
    assert mount["subPathExpr"] == "$(POD_NAME)"
    (secret,) = (volume["secret"] for volume in spec["template"]["spec"]["volumes"] if "secret" in volume)
    paths = {item["path"]: item["key"] for item in secret["items"]}
    assert spec["replicas"] == N_AGENTS
    assert paths == {
        path: key
        for i in range(N_AGENTS)
        for path, key in {
            f"lan-agent-{i}/tls.crt": f"agent-{i}.pem",
            f"lan-agent-{i}/tls.key": f"agent-{i}-key.pem",
            f"lan-agent-{i}/ca.crt": "ca.pem",
        }.items()
    }
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == 50_052


def test_agents_are_reached_by_the_host_alone_and_reach_nobody() -> None:
    policy = document("NetworkPolicy", "lan-agent")["spec"]
    assert policy["podSelector"] == {"matchLabels": {"app": "lan-agent"}}
    assert sorted(policy["policyTypes"]) == ["Egress", "Ingress"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    assert rule["from"] == [{"podSelector": {"matchLabels": {"app": "lan-host"}}}]
    assert rule["ports"] == [{"protocol": "TCP", "port": 50_051}]


def test_the_host_asks_every_agent_by_its_name() -> None:
    (container,) = document("Job", "lan-host")["spec"]["template"]["spec"]["containers"]
    config = tyro.cli(PlayConfig, args=container["args"])
    names = [str(address) for address in parse_addresses(config.agents)]
    assert names == [f"lan-agent-{i}.lan-agents:50051" for i in range(N_AGENTS)]
    assert not config.insecure


def test_compose_gives_every_agent_a_network_with_the_host_alone() -> None:
    compose = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
    services = compose["services"]
    host = services.pop("host")
    assert len(services) == N_AGENTS
    for i, (name, service) in enumerate(services.items()):
        config = agent_config(service["command"])
        assert (name, config.agent_id, config.insecure) == (f"agent-{i}", i, False)
        assert service["networks"] == [f"link-{i}"]
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert compose["networks"][f"link-{i}"] == {"internal": True}
        keys = [volume for volume in service["volumes"] if "key" in volume]
        assert keys == [f"${{CERTS:-./certs}}/agent-{i}-key.pem:/tls/tls.key:ro"]
        assert f"state-{i}:/state" in service["volumes"]
    assert host["networks"] == [f"link-{i}" for i in range(N_AGENTS)]
    words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in host["command"]]
    assert len(parse_addresses(tyro.cli(PlayConfig, args=words).agents)) == N_AGENTS


def test_the_image_is_the_base_install_and_not_root() -> None:
    text = (DEPLOY / "Containerfile").read_text()
    last_stage = text[text.rindex("FROM ") :]
    assert "USER 65532:65532" in last_stage
    assert "--from=build /opt/lan" in last_stage
    build = text[text.index("AS build\n") : text.index("FROM build AS build-host")]
    assert "pip install --no-cache-dir -c constraints.txt .\n" in build
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", build, re.M):
        for source in copied.split():
            assert (DEPLOY.parent / source).exists(), source
            assert f"!{source}\n" in (DEPLOY / "Containerfile.dockerignore").read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_systemd_unit_is_valid_and_its_flags_exist(tmp_path: Path) -> None:
    text = (DEPLOY / "lan-agent@.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    config = agent_config(command.replace("%i", "3").replace("${LISTEN}", "10.0.0.7:50051").split()[1:])
    assert config.agent_id == 3
    assert config.tls_cert is not None
    unit = tmp_path / "lan-agent@.service"
    unit.write_text(text.replace("/opt/lan/bin/lan-agent", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "lan-agent@" not in done.stderr, done.stderr
