"""A renewed certificate and a new model arrive in an agent, mounted as each deployment mounts them.

Every agent runs in a mount namespace with what its deployment gives it, as its deployment's user, with its
deployment's flags, whose paths are moved below a folder.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from protos import policy_pb2, policy_pb2_grpc
from runtime.identity.addresses import Address, parse_addresses
from runtime.identity.certs import CertsConfig, certs
from runtime.identity.tls import agent_dns_name
from tests.paths import ROOT
from tests.runtime.support.processes import Started, started, wait_until
from tests.runtime.support.small_models import model_bytes

yaml = pytest.importorskip("yaml")

DEPLOY = ROOT / "deploy"
AGENT = 2
DYNAMIC_USER = 61_184  # the first of those that systemd takes for DynamicUser=
GROUP = 61_999
READ_ONLY = "mount --bind '{0}' '{1}'; mount -o remount,bind,ro '{1}'; "


def why_not() -> str:
    """What keeps this machine from running an agent as another user in its own mounts, or nothing."""
    if os.geteuid() != 0:
        return "only root may mount"
    as_another = ["setpriv", "--reuid", str(DYNAMIC_USER), "--clear-groups", sys.executable, "-c", ""]
    done = subprocess.run(["unshare", "--mount", *as_another], capture_output=True, text=True, timeout=60)
    return done.stderr


pytestmark = pytest.mark.skipif(bool(why_not()), reason=f"mounts and users: {why_not()}")


class Place:
    """What is outside, `certs` and `model`, and the agent's own view of it below `box`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.certs, self.model, self.box = root / "certs", root / "model", root / "box"
        certs(CertsConfig(out=self.certs, agents=3, folders=True))
        self.model.mkdir()
        (self.model / "agent.onnx").write_bytes(model_bytes())
        self.own = self.certs / f"agent-{AGENT}"

    def mounted(self, *folders: tuple[Path, str], user: tuple[str, ...]) -> tuple[str, ...]:
        """Words before a command that runs it with these folders, read-only, at these places in the box."""
        script = ""
        for outside, inside in folders:
            target = self.box / inside.lstrip("/")
            target.mkdir(parents=True, exist_ok=True)
            script += READ_ONLY.format(outside, target)
        return ("unshare", "--mount", "sh", "-ec", script + 'exec "$@"', "sh", "setpriv", *user)

    @contextlib.contextmanager
    def agent(self, words: list[str], before: tuple[str, ...]) -> Iterator[tuple[Started, Address]]:
        """The agent with its deployment's flags, on a free port of loopback."""
        state = self.root / "state"
        state.mkdir()
        state.chmod(0o777)
        moved = {"--listen=.*": "--listen=127.0.0.1:0", "--state-dir=.*": f"--state-dir={state}"}
        moved["=/(tls|model|etc)/"] = rf"={self.box}/\1/"
        for old, new in moved.items():
            words = [re.sub(old, new, word) for word in words]
        flags = [word for word in words if not word.startswith("--health")]
        log = self.root / "log"
        with started("agent", *flags, until="serves", log=log, before=before) as agent:
            yield agent, parse_addresses(agent.said.split()[-1])[0]

    def log(self) -> str:
        return (self.root / "log").read_text()


@pytest.fixture
def place() -> Iterator[Place]:
    with tempfile.TemporaryDirectory() as root:  # pytest's own folders are closed to other users
        Path(root).chmod(0o755)
        yield Place(Path(root))


def serial_number(path: Path) -> str:
    return str(ssl._ssl._test_decode_cert(str(path))["serialNumber"])  # type: ignore[attr-defined]


def shown_at(address: Address, place: Place) -> str:
    """The serial number of the certificate that the agent shows the host."""
    host = place.certs / "host"
    context = ssl.create_default_context(cafile=host / "ca.crt")
    context.load_cert_chain(host / "tls.crt", host / "tls.key")
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection((address.host, address.port), 10) as plain,
        context.wrap_socket(plain, server_hostname=agent_dns_name(AGENT)) as secured,
    ):
        return str((secured.getpeercert() or {})["serialNumber"])


def digest_at(address: Address, place: Place) -> str:
    """The digest of the model with which the agent begins episodes."""
    host = place.certs / "host"
    ca, key, cert = ((host / name).read_bytes() for name in ("ca.crt", "tls.key", "tls.crt"))
    options = (("grpc.ssl_target_name_override", agent_dns_name(AGENT)),)
    with grpc.secure_channel(str(address), grpc.ssl_channel_credentials(ca, key, cert), options) as channel:
        stub: Any = policy_pb2_grpc.PolicyServiceStub(channel)
        return str(stub.Describe(policy_pb2.DescribeRequest(), timeout=10).model_sha256)


def renew(place: Place) -> None:
    certs(CertsConfig(out=place.certs, agents=3, folders=True, renew=True))


def rename_into_place(path: Path, content: bytes) -> None:
    partial = path.with_name("partial")
    partial.write_bytes(content)
    partial.chmod(0o644)
    partial.replace(path)


def check_a_new_model_arrives(agent: Started, address: Address, place: Place, replace: Any) -> None:
    """SIGHUP says truly whether there was a new one."""
    old = digest_at(address, place)
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "still holds" in place.log(), "the agent to say that nothing is new")
    assert "new episodes are played by" not in place.log()
    replace(model_bytes(seed=5))
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "new episodes are played by" in place.log(), "the agent to take the new model")
    assert digest_at(address, place) != old


def compose_agent() -> Any:
    return yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"][f"agent-{AGENT}"]


def test_in_compose(place: Place) -> None:
    service = compose_agent()
    user, group = service["user"].split(":")
    owned = [place.certs / "host", *place.certs.glob("agent-*")]
    subprocess.run(["chown", "-R", user, *owned], check=True, timeout=30)
    given = {"${MODEL_DIR:-./model}": place.model, f"${{CERTS:-./certs}}/agent-{AGENT}": place.own}
    split = [re.fullmatch(r"(.*):(/\w+):ro", volume) for volume in service["volumes"]]
    folders = [(given[match[1]], match[2]) for match in split if match]
    assert len(folders) == 2
    as_user = ("--reuid", user, "--regid", group, "--clear-groups", "--bounding-set=-all", "--no-new-privs")
    before = place.mounted(*folders, user=as_user)
    with place.agent(service["command"], before) as (agent, address):
        assert shown_at(address, place) == serial_number(place.own / "tls.crt")
        renew(place)
        assert shown_at(address, place) == serial_number(place.own / "tls.crt")
        check_a_new_model_arrives(
            agent, address, place, lambda content: rename_into_place(place.model / "agent.onnx", content)
        )


class Kubelet:
    """A volume as the kubelet writes it: names that point through `..data`, which is swapped at once."""

    def __init__(self, volume: Path, mode: int, group: int) -> None:
        self.volume, self.mode, self.group = volume, mode, group
        self.updates = 0
        volume.mkdir()

    def write(self, contents: dict[str, bytes]) -> None:
        self.updates += 1
        data = self.volume / f"..{self.updates}"
        data.mkdir(mode=0o755)
        for name, content in contents.items():
            (data / name).write_bytes(content)
            os.chown(data / name, 0, self.group)
            (data / name).chmod(self.mode)
        (self.volume / "..data_tmp").symlink_to(data.name)
        (self.volume / "..data_tmp").replace(self.volume / "..data")
        for name in contents:
            if not (self.volume / name).is_symlink():
                (self.volume / name).symlink_to(f"..data/{name}")
        if self.updates > 1:
            shutil.rmtree(self.volume / f"..{self.updates - 1}")


def test_in_kubernetes(place: Place) -> None:
    def secret() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in place.own.iterdir()}

    text = (DEPLOY / "kubernetes" / "agent.yaml.in").read_text().replace("{id}", str(AGENT))
    pod = yaml.safe_load(text)["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    security = pod["securityContext"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    tls = Kubelet(place.root / "secret", volumes["tls"]["secret"]["defaultMode"], security["fsGroup"])
    model = Kubelet(place.root / "configmap", 0o644, security["fsGroup"])
    tls.write(secret())
    model.write({"agent.onnx": model_bytes()})
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    user = ("--reuid", str(security["runAsUser"]), "--regid", str(security["runAsGroup"]))
    as_user = (*user, "--clear-groups", "--bounding-set=-all", "--no-new-privs")
    before = place.mounted((tls.volume, mounts["tls"]), (model.volume, mounts["model"]), user=as_user)
    with place.agent(container["args"], before) as (agent, address):
        assert shown_at(address, place) == serial_number(place.own / "tls.crt")
        renew(place)
        tls.write(secret())
        assert shown_at(address, place) == serial_number(place.own / "tls.crt")
        check_a_new_model_arrives(agent, address, place, lambda content: model.write({"agent.onnx": content}))


def test_with_systemd(place: Place) -> None:
    text = (DEPLOY / "lan-agent@.service").read_text()
    command = next(line for line in text.splitlines() if line.startswith("ExecStart="))
    words = re.sub(r" (--[a-z-]+) (?!--)", r" \1=", command.replace("%i", str(AGENT))).split()[1:]
    assert "LoadCredential" not in text
    lan = place.root / "etc-lan"
    lan.mkdir()
    shutil.copytree(place.own, lan / f"agent-{AGENT}")
    shutil.copy(place.model / "agent.onnx", lan)
    own = lan / f"agent-{AGENT}"
    for path in (own, *own.iterdir()):  # as the unit's head says
        os.chown(path, 0, GROUP)
    own.chmod(0o750)
    (own / "tls.key").chmod(0o640)
    as_user = ("--reuid", str(DYNAMIC_USER), "--regid", str(DYNAMIC_USER), "--groups", str(GROUP))
    before = place.mounted((lan, "/etc/lan"), user=(*as_user, "--bounding-set=-all", "--no-new-privs"))
    with place.agent(words, before) as (agent, address):
        assert shown_at(address, place) == serial_number(own / "tls.crt")
        renew(place)
        for name in ("tls.key", "tls.crt", "ca.crt"):  # whoever installs them forgets the group
            rename_into_place(own / name, (place.own / name).read_bytes())
            (own / name).chmod(0o600)
        before_group = shown_at(address, place)
        assert before_group != serial_number(own / "tls.crt")
        assert "the certificate stays as it is for now" in place.log()
        for path in own.iterdir():
            os.chown(path, 0, GROUP)
            path.chmod(0o640)
        assert shown_at(address, place) == serial_number(own / "tls.crt")
        check_a_new_model_arrives(
            agent, address, place, lambda content: rename_into_place(lan / "agent.onnx", content)
        )
