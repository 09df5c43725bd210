"""The script that builds the images and plays in containers: what it refuses, and (slow) one whole run."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.paths import ROOT

SCRIPT = ROOT / "deploy" / "containers.sh"
BASE = os.environ.get("LAN_CONTAINER_BASE", "")
MODEL = os.environ.get("LAN_CONTAINER_MODEL", "")


def run(*words: object, path: str | None = None, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": path or os.environ["PATH"]}
    command = ["bash", str(SCRIPT), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=timeout_s)


def test_it_says_what_it_does() -> None:
    done = run("--help")
    assert done.returncode == 0
    for flag in ("--model", "--map", "--agents", "--episodes", "--tool", "--base"):
        assert flag in done.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ([], "--model FILE is needed"),
        (["--model"], "--model needs a value"),
        (["--model", "/nowhere"], "--model /nowhere: there is no such file"),
        (["--modle", "x"], "--modle is no flag of this script"),
        (["--model", SCRIPT, "--agents", "0"], "--agents 0: 1 to 250 are possible"),
        (["--model", SCRIPT, "--agents", "3; true"], "--agents 3; true: 1 to 250 are possible"),
        (["--model", SCRIPT, "--episodes", "-1"], "--episodes -1: a number above 0 is needed"),
        (["--model", SCRIPT, "--tool", "rkt"], "--tool rkt: docker, podman or buildah is needed"),
    ],
)
def test_bad_flags_are_refused_in_one_line(words: list[object], says: str) -> None:
    done = run(*words)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith(f"containers.sh: error: {says}")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("tool", ["docker", "podman", "buildah", None])
def test_a_tool_that_is_not_there_or_does_not_work_is_named(tmp_path: Path, tool: str | None) -> None:
    """Every tool is a program here that fails, as docker without its daemon does."""
    for name in ("bash", "timeout", "dirname", "seq"):
        (tmp_path / name).symlink_to(shutil.which(name) or "")
    for name in ("docker", "podman"):
        (tmp_path / name).write_text("#!/bin/sh\necho 'cannot connect to the daemon' >&2\nexit 1\n")
        (tmp_path / name).chmod(0o755)
    flags = [] if tool is None else ["--tool", tool]
    done = run("--model", SCRIPT, *flags, path=str(tmp_path))
    assert done.returncode == 2
    said = "neither docker, podman nor buildah works here" if tool is None else f"'{tool} info' fails here"
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
@pytest.mark.skipif(
    not MODEL,
    reason="it takes minutes and a base image: set LAN_CONTAINER_MODEL (a model of 3m), LAN_CONTAINER_BASE",
)
@pytest.mark.parametrize("tool", ["docker", "podman", "buildah"])
def test_battles_are_played_in_containers(tool: str) -> None:
    if subprocess.run(["bash", "-c", f"timeout 30 {tool} info"], capture_output=True, timeout=60).returncode:
        pytest.skip(f"{tool} does not work here: `{tool} info` fails")
    base = ["--base", BASE] if BASE else []
    done = run("--tool", tool, "--model", MODEL, *base, timeout_s=3600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("steps without an answer: 0") == 2
    assert "agents that showed their new certificate: 3 of 3" in done.stdout
