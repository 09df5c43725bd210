"""What holds for the project as a whole: our names are ours, imports are cheap, an agent needs no torch."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from envs.start import COMMANDS
from tests.paths import ROOT

PACKAGES = ("trainer", "runtime", "protos", "exporters", "envs")
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
HEAVY = {"torch", "numba", "ray", "onnx", "onnxruntime", "grpc", "tensorboard", "pysc2", "smac"}


def run_python(code: str, *, python: str = sys.executable, cwd: Path | None = None) -> str:
    """Standard output of `python -P -c code`; fails with its standard error."""
    done = subprocess.run([python, "-P", "-c", code], capture_output=True, text=True, cwd=cwd, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def runtime_modules() -> list[str]:
    files = [path for package in ("runtime", "protos") for path in (ROOT / package).rglob("*.py")]
    named = [path.relative_to(ROOT) for path in files if path.stem not in ("__init__", "generate")]
    names = sorted(".".join(path.with_suffix("").parts) for path in named)
    assert "runtime.agent.cli" in names
    return names


def test_our_package_names_resolve_to_our_files_from_anywhere(tmp_path: Path) -> None:
    code = f"import importlib\nfor n in {PACKAGES!r}: print(importlib.import_module(n).__file__)"
    found = run_python(code, cwd=tmp_path).split()
    assert [Path(path).resolve() for path in found] == [ROOT / name / "__init__.py" for name in PACKAGES]


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_is_cheap(package: str) -> None:
    loaded = run_python(
        f"import sys, {package}\nprint(*{{m.partition('.')[0] for m in sys.modules}})"
    ).split()
    assert not HEAVY & set(loaded)


def test_the_commands_that_are_installed_are_those_that_can_start() -> None:
    assert list(PYPROJECT["project"]["scripts"]) == list(COMMANDS)


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_explains_itself_without_loading_torch(command: str) -> None:
    code = (
        f"import sys, {COMMANDS[command]} as m\nassert callable(m.main)\n"
        "assert 'torch' not in sys.modules, 'torch is loaded before the flags are read'"
    )
    run_python(code)
    script = Path(sys.executable).with_name(command)
    done = subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert command in done.stdout
    wrong = subprocess.run([script, "--no-such-flag"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "no-such-flag" in wrong.stderr + wrong.stdout
    assert "Traceback" not in wrong.stderr


def test_all_files_speak_of_one_version() -> None:
    version = PYPROJECT["project"]["version"]
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text()
    newest = next(line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## "))
    assert newest.split()[1] == version


@pytest.mark.parametrize("command", sorted(COMMANDS))
def test_every_command_says_its_version(command: str) -> None:
    script = Path(sys.executable).with_name(command)
    done = subprocess.run([script, "--version"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"{command} {PYPROJECT['project']['version']}")
    assert len(done.stdout.splitlines()) == 1


def test_the_runtime_imports_with_torch_absent() -> None:
    code = (
        "import sys, importlib\n"
        "for absent in ('torch', 'onnx', 'ray', 'trainer', 'exporters'): sys.modules[absent] = None\n"
        f"for name in {runtime_modules()!r}: importlib.import_module(name)\n"
    )
    run_python(code)


@pytest.fixture(scope="session")
def base_python() -> str:
    """A Python with the base install only; `make test` makes one."""
    python = os.environ.get("LAN_BASE_PYTHON", "")
    if not python:
        pytest.skip("LAN_BASE_PYTHON names no interpreter with the base install alone; `make unit` makes one")
    return python


def test_the_base_install_has_no_torch_and_imports_the_runtime(base_python: str, tmp_path: Path) -> None:
    code = (
        "import importlib, importlib.util\n"
        "for absent in ('torch', 'numba', 'onnx', 'tensorboard'):\n"
        "    assert importlib.util.find_spec(absent) is None, absent + ' is in the base install'\n"
        f"for name in {runtime_modules()!r}: importlib.import_module(name)\n"
    )
    run_python(code, python=base_python, cwd=tmp_path)


def test_every_python_file_is_short() -> None:
    """Under 300 lines, generated code and the simulation's kernels aside."""
    listed = subprocess.run(["git", "ls-files", "*.py"], cwd=ROOT, capture_output=True, text=True, check=True)
    long = {}
    for name in listed.stdout.split():
        if not name.endswith(("_pb2.py", "_pb2_grpc.py")) and not name.startswith(("envs/battle/", "tests/")):
            count = len((ROOT / name).read_text().splitlines())
            if count > 300:
                long[name] = count
    assert not long
