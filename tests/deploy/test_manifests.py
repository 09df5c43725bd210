"""Deployment files: valid, confined, and with flags that the commands have."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import tyro

from envs.start import COMMANDS
from runtime.agent.cli import AgentConfig
from runtime.host.flags import PlayConfig
from runtime.identity.addresses import parse_addresses
from tests.paths import ROOT

kubernetes_validate = pytest.importorskip("kubernetes_validate")
yaml = pytest.importorskip("yaml")

DEPLOY = ROOT / "deploy"
N_AGENTS = 6


def documents() -> list[Any]:
    texts = [path.read_text() for path in sorted((DEPLOY / "kubernetes").glob("*.yaml"))]
    agent = (DEPLOY / "kubernetes" / "agent.yaml.in").read_text()
    texts += [agent.replace("{id}", str(i)) for i in range(N_AGENTS)]
    return [document for text in texts for document in yaml.safe_load_all(text)]


def document(kind: str, name: str) -> Any:
    return next(d for d in documents() if d["kind"] == kind and d["metadata"]["name"] == name)


def pod_specs() -> list[Any]:
    return [d["spec"]["template"]["spec"] for d in documents() if d["kind"] in ("StatefulSet", "Job")]


def agent_config(words: list[str]) -> AgentConfig:
    return tyro.cli(AgentConfig, args=words)


@pytest.mark.parametrize("index", range(len(documents())))
@pytest.mark.parametrize("version", ["1.31", "1.33"])
def test_manifests_fit_the_api_schemas(index: int, version: str) -> None:
    kubernetes_validate.validate(documents()[index], version, strict=True)


def test_a_manifest_with_a_misspelt_field_would_be_noticed() -> None:
    manifest = document("StatefulSet", "lan-agent-3")
    manifest["spec"]["podManagementPolicies"] = "Parallel"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, "1.31", strict=True)


def test_pods_run_without_privileges_on_a_file_system_they_cannot_write() -> None:
    assert len(pod_specs()) == N_AGENTS + 1
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


@pytest.mark.parametrize("i", range(N_AGENTS))
def test_an_agents_pod_mounts_its_own_secret_alone_and_whole(i: int) -> None:
    """Whole volumes, because a `subPath` never gets a Secret's or a ConfigMap's new content."""
    spec = document("StatefulSet", f"lan-agent-{i}")["spec"]
    pod = spec["template"]["spec"]
    (container,) = pod["containers"]
    config = agent_config(container["args"])
    assert (config.agent_id, config.insecure, spec["replicas"]) == (i, False, 1)
    assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    assert spec["selector"]["matchLabels"]["agent"] == str(i)
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert [volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume] == [
        f"lan-agent-{i}-tls"
    ]
    assert volumes["model"]["configMap"] == {"name": "lan-model"}
    check_files_lie_in_whole_mounts(config, container["volumeMounts"])
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["grpc"]["port"] == 50_052


def check_files_lie_in_whole_mounts(config: AgentConfig | PlayConfig, mounts: list[Any]) -> None:
    assert not [mount for mount in mounts if {"subPath", "subPathExpr"} & set(mount)]
    places = {Path(mount["mountPath"]) for mount in mounts}
    assert {Path(path).parent for path in read_files(config)} <= places


def read_files(config: AgentConfig | PlayConfig) -> list[str | Path]:
    files = [config.tls_cert, config.tls_key, config.tls_ca]
    return [path for path in [*files, getattr(config, "model", None)] if path is not None]


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
    assert names == [f"lan-agent-{i}-0.lan-agents:50051" for i in range(N_AGENTS)]
    for i, name in enumerate(names):
        agents = document("StatefulSet", f"lan-agent-{i}")
        assert name == f"{agents['metadata']['name']}-0.{agents['spec']['serviceName']}:50051"
    assert not config.insecure
    check_files_lie_in_whole_mounts(config, container["volumeMounts"])


def test_the_host_may_start_before_its_agents() -> None:
    """It waits for them, and whoever runs it starts it again when they come later still."""
    job = document("Job", "lan-host")["spec"]
    (container,) = job["template"]["spec"]["containers"]
    assert tyro.cli(PlayConfig, args=container["args"]).connect_timeout_s >= 300
    assert job["backoffLimit"] > 0
    host = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]["host"]
    assert host["restart"].startswith("on-failure")
    words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in host["command"]]
    assert tyro.cli(PlayConfig, args=words).connect_timeout_s >= 60


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
        assert service["volumes"] == [
            "${MODEL_DIR:-./model}:/model:ro", f"${{CERTS:-./certs}}/agent-{i}:/tls:ro", f"state-{i}:/state"
        ]  # fmt: skip
        places = {Path(volume.split(":")[-2]) for volume in service["volumes"][:2]}
        assert {Path(path).parent for path in read_files(config)} <= places  # whole folders
    assert host["networks"] == [f"link-{i}" for i in range(N_AGENTS)]
    words = [re.sub(r"\$\{\w+:-(\w+)\}", r"\1", word) for word in host["command"]]
    assert len(parse_addresses(tyro.cli(PlayConfig, args=words).agents)) == N_AGENTS
    assert host["volumes"] == ["${CERTS:-./certs}/host:/tls:ro"]


def stages() -> dict[str, str]:
    """The container file's stages by name."""
    parts = re.split(r"^FROM \S+ AS (\S+)\n", (DEPLOY / "Containerfile").read_text(), flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_the_image_is_the_base_install_and_not_root() -> None:
    assert list(stages())[-1] == "agent"
    for name in ("agent", "host", "certs"):
        assert "USER 65532:65532" in stages()[name]
        assert f"--from=build-{name} /opt/lan" in stages()[name]
    assert "pip" not in stages()["build-agent"]
    build = stages()["build"]
    assert "pip install --no-cache-dir -c constraints.txt .\n" in build
    for copied in re.findall(r"^COPY (?!--from)(.*) \S+$", build, re.M):
        for source in copied.split():
            assert (DEPLOY.parent / source).exists(), source
            assert f"!{source}\n" in (DEPLOY / "Containerfile.dockerignore").read_text()


@pytest.mark.parametrize(
    ("image", "commands"),
    [("agent", {"lan-agent", "lan-agents"}), ("host", {"lan-play", "lan-status"}), ("certs", {"lan-certs"})],
)
def test_an_image_holds_the_commands_that_can_run_in_it_and_no_others(
    tmp_path: Path, image: str, commands: set[str]
) -> None:
    """Its own line removes the others; what stays uses only packages that were copied."""
    for name in [*COMMANDS, "python", "pip"]:
        (tmp_path / name).touch()
    (line,) = re.findall(r"find /opt/lan/bin .*-delete", stages()[f"build-{image}"])
    subprocess.run(line.replace("/opt/lan/bin", str(tmp_path)), shell=True, check=True, timeout=30)
    assert {path.name for path in tmp_path.iterdir()} == commands | {"python", "pip"}
    entry = re.findall(r'ENTRYPOINT \["/opt/lan/bin/(.*)"\]', stages()[image])
    assert set(entry) <= commands
    copied = re.findall(r"^COPY (?!--from)(\w+) \w+$", stages()["build"], re.M)
    for name in commands:
        assert COMMANDS[name].split(".")[0] in copied


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
def test_the_systemd_unit_is_valid_and_its_flags_exist(tmp_path: Path) -> None:
    text = (DEPLOY / "lan-agent@.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    config = agent_config(command.replace("%i", "3").replace("${LISTEN}", "10.0.0.7:50051").split()[1:])
    assert config.agent_id == 3
    assert {Path(path).parent for path in read_files(config)} == {Path("/etc/lan"), Path("/etc/lan/agent-3")}
    assert "LoadCredential" not in text  # a copy that is made at the start and never again
    assert "\nSupplementaryGroups=lan-agent-%i\n" in text
    unit = tmp_path / "lan-agent@.service"
    unit.write_text(text.replace("/opt/lan/bin/lan-agent", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert "lan-agent@" not in done.stderr, done.stderr
