"""What is released: sdist and wheel hold all that runs and nothing else, and an install from them works."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.paths import ROOT

PACKAGES = ("envs", "exporters", "protos", "runtime", "trainer")
PYTHONS = [
    found
    for version in ("3.11", "3.12", "3.13", "3.14")
    for found in [
        shutil.which(f"python{version}"),
        *map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"))),
    ]
    if found is not None and "shims" not in found
]
"""Interpreters on this machine that the project says it runs on."""
MAKE_SDIST = "import sys; from setuptools import build_meta; print(build_meta.build_sdist(sys.argv[1]))"
ACT = """
from runtime import load_policy
policy = load_policy("agent.onnx", agent_id=0)
print(policy.initial_memory())
"""


def tracked() -> list[str]:
    """The files of a checkout."""
    listed = ("git", "ls-files", "--cached", "--others", "--exclude-standard")
    done = subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in done.stdout.splitlines() if (ROOT / name).is_file()]


@pytest.fixture(scope="session")
def sdist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist of a checkout that nobody has worked in."""
    folder = tmp_path_factory.mktemp("sdist")
    source, out = folder / "source", folder / "out"
    out.mkdir()
    for name in tracked():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    subprocess.run([sys.executable, "-c", MAKE_SDIST, out], cwd=source, check=True, capture_output=True)
    (made,) = out.iterdir()
    return made


@pytest.fixture(scope="session")
def wheel(sdist: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that the sdist gives."""
    folder = tmp_path_factory.mktemp("wheel")
    words = ["pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, sdist]
    subprocess.run([sys.executable, "-m", *map(str, words)], check=True)
    (made,) = folder.iterdir()
    return made


def test_the_wheel_holds_all_that_runs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    wanted = {name for name in tracked() if name.startswith(tuple(f"{each}/" for each in PACKAGES))}
    assert held == wanted | {"lan_smac.py"}


def test_the_sdist_holds_what_the_wheel_is_made_of(sdist: Path) -> None:
    with tarfile.open(sdist) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()}
    assert {"pyproject.toml", "README.md", "LICENSE", "lan_smac.py", "envs/smac/data/3m.json"} <= held
    assert not {name for name in held if name.endswith((".onnx", ".pt"))}


def run(*words: object, cwd: Path) -> str:
    environment = {
        key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "VIRTUAL_ENV")
    }
    done = subprocess.run(
        list(map(str, words)), cwd=cwd, capture_output=True, text=True, timeout=1800, env=environment
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS, ids=[Path(path).parent.parent.name for path in PYTHONS])
def test_an_install_from_the_wheel_works(python: str, wheel: Path, tmp_path: Path) -> None:
    """Base and host, then training, unpinned: the newest versions that the index has, but for torch.

    Training on the Python of these tests only: torch is large, and for others it brings CUDA.
    """
    shutil.copy(ROOT / "zoo" / "3m.onnx", tmp_path / "agent.onnx")
    run(python, "-m", "venv", tmp_path / "venv", cwd=tmp_path)
    bin_ = tmp_path / "venv" / "bin"
    run(bin_ / "pip", "install", "--quiet", wheel, cwd=tmp_path)
    assert "memory" in run(bin_ / "python", "-c", ACT, cwd=tmp_path).lower()
    assert "lan-agent" in run(bin_ / "lan-agent", "--help", cwd=tmp_path)
    run(bin_ / "pip", "install", "--quiet", f"{wheel}[host]", cwd=tmp_path)
    played = run(bin_ / "lan-play", "--model", "agent.onnx", "--env", "sim", "--episodes", 2, cwd=tmp_path)
    assert "battles won" in played
    if Path(python).resolve() != Path(sys.executable).resolve():
        return
    pinned = (ROOT / "constraints.txt").read_text().splitlines()
    torch = next(line for line in pinned if line.startswith("torch="))
    run(bin_ / "pip", "install", "--quiet", torch, f"{wheel}[train]", cwd=tmp_path)  # torch's CPU build
    flags = ("--map", "3m", "--env", "sim", "--preset", "fast", "--steps", 300, "--threads", 1)
    run(bin_ / "lan-train", *flags, cwd=tmp_path)
    run(bin_ / "lan-export", "--ckpt", "runs/3m-lan-seed0", "--out", "own.onnx", cwd=tmp_path)
    assert (tmp_path / "own.onnx").stat().st_size > 10_000
