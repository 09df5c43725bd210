"""A client in another language, written from the .proto and the documents, plays battles through agents."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs import make_env
from runtime.identity.certs import CertsConfig, certs
from runtime.model_file.loader import load_model
from tests.paths import ROOT
from tests.runtime.support.playing import play_in_process
from tests.runtime.support.processes import TIMEOUT_S, free_ports, started
from tests.runtime.support.small_models import model_bytes

CLIENT = ROOT / "deploy" / "node-client"
EPISODES = 2

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENT / "node_modules").is_dir(),
    reason="needs node, and `npm ci --prefix deploy/node-client`",
)


class NodeHost:
    """The client as a process: `ask` writes a line and reads the answer."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.agents = self._read()

    def ask(self, **line: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(line) + "\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer = json.loads(self._process.stdout.readline())
        assert isinstance(answer, dict)
        return answer


@contextlib.contextmanager
def node_host(model_file: Path, certificates: Path | None = None) -> Iterator[NodeHost]:
    """Three agents and the client that knows them, with TLS where there are certificates."""
    port = free_ports(3)
    flags = ["--model", model_file, "--agents", "0-2", "--listen", f"127.0.0.1:{port}"]
    words = ["node", str(CLIENT / "client.js"), ",".join(f"127.0.0.1:{port + i}" for i in range(3))]
    if certificates is not None:
        flags += [
            "--tls-cert",
            certificates / "agent-{id}.pem",
            "--tls-key",
            certificates / "agent-{id}-key.pem",
        ]
        flags += ["--tls-ca", certificates / "ca.pem"]
        words.append(str(certificates))
    with (
        started("agents", *flags, until="agents serve"),
        subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process,
    ):
        yield NodeHost(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(TIMEOUT_S) == 0


@pytest.fixture
def model_file(tmp_path: Path) -> Path:
    with make_env("3m", "sim") as env:
        (tmp_path / "agent.onnx").write_bytes(model_bytes(env.spec))
    return tmp_path / "agent.onnx"


@pytest.mark.parametrize("tls", [False, True])
def test_battles_are_the_same_as_in_one_process(tls: bool, model_file: Path, tmp_path: Path) -> None:
    certificates = tmp_path / "certs" if tls else None
    if certificates is not None:
        certs(CertsConfig(out=certificates, agents=3))
    with make_env("3m", "sim", seed=5) as env:
        expected = play_in_process(load_model(model_file), env, EPISODES)
    with make_env("3m", "sim", seed=5) as env, node_host(model_file, certificates) as host:
        assert [agent["agent_id"] for agent in host.agents["agents"]] == [0, 1, 2]
        for episode, actions in enumerate(expected):
            time_step = env.reset()
            for step, action in enumerate(actions):
                answer = host.ask(
                    episode=f"battle {episode}",
                    step=step,
                    observations=time_step.obs[0].tolist(),
                    available=time_step.avail_actions[0].astype(int).tolist(),
                )
                assert answer == {"actions": action.tolist()}
                time_step = env.step(np.array([answer["actions"]]))
            assert time_step.done[0]
            assert host.ask(end=f"battle {episode}") == {"ended": [True] * 3}


def test_a_refusal_tells_its_reason_and_the_step_that_is_expected(model_file: Path) -> None:
    with make_env("3m", "sim", seed=5) as env, node_host(model_file) as host:
        time_step = env.reset()
        line = {
            "episode": "battle",
            "observations": time_step.obs[0].tolist(),
            "available": time_step.avail_actions[0].astype(int).tolist(),
        }
        assert "actions" in host.ask(**line, step=0)
        refused = host.ask(**line, step=7)["errors"][0]
        assert (refused["code"], refused["reason"]) == ("FAILED_PRECONDITION", "STEP_OUT_OF_ORDER")
        assert refused["expected_step"] == "1"
        unknown = host.ask(**{**line, "episode": "another"}, step=3)["errors"][0]
        assert (unknown["code"], unknown["reason"]) == ("NOT_FOUND", "UNKNOWN_EPISODE")
        blank = host.ask(**{**line, "available": [[0] * env.spec.n_actions] * 3}, step=1)["errors"][0]
        assert (blank["reason"], blank["field"]) == ("INVALID_FIELD", "available_actions")
        assert "actions" in host.ask(**line, step=1)
