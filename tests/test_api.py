"""The library: what may be imported, what it raises, and that docs/python.md's examples run as they stand."""

import importlib
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import pytest

from envs import errors
from envs.errors import LanError
from tests.paths import ROOT

EXPORTED = {
    "envs": [
        "MAP_NAMES", "DivergedError", "EnvSpec", "EpisodeLostError", "InputError", "LanError", "ModelError",
        "MultiAgentEnv", "TimeStep", "env_spec", "make_env",
    ],
    "exporters": ["ExportReport", "export_checkpoint"],
    "runtime": ["AgentPolicy", "Memory", "load_policy"],
    "trainer": ["Evaluation", "TrainConfig", "TrainResult", "resume", "train"],
}  # fmt: skip
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
EXAMPLE_LINES = 8


@pytest.mark.parametrize("package", sorted(EXPORTED))
def test_a_package_exports_these_names_and_no_others(package: str) -> None:
    module = importlib.import_module(package)
    assert sorted(module.__all__) == sorted(EXPORTED[package]) == dir(module)
    star: dict[str, object] = {}
    exec(f"from {package} import *", star)
    assert set(star) - {"__builtins__"} == set(EXPORTED[package])
    for name in EXPORTED[package]:
        assert getattr(module, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = module.nothing


@pytest.mark.parametrize("package", sorted(EXPORTED))
def test_importing_a_package_loads_nothing_heavy(package: str) -> None:
    code = f"import {package}, sys; print(*{{'numpy', 'numba', 'torch', 'grpc', 'onnx'}} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []


def test_the_packages_say_that_they_are_typed() -> None:
    for package in (*EXPORTED, "protos"):
        assert (ROOT / package / "py.typed").exists()


def our_exceptions() -> list[type[BaseException]]:
    """Every exception class that our packages define."""
    found = []
    for package in (*EXPORTED, "protos"):
        for info in pkgutil.walk_packages([str(ROOT / package)], f"{package}."):
            module = importlib.import_module(info.name)
            found += [
                value
                for value in vars(module).values()
                if isinstance(value, type)
                and issubclass(value, BaseException)
                and value.__module__ == module.__name__
            ]
    return found


def test_every_exception_of_ours_is_in_one_tree() -> None:
    outside = [error.__name__ for error in our_exceptions() if not issubclass(error, LanError)]
    assert outside == []


def test_the_tree_is_drawn_as_it_is() -> None:
    drawn = re.findall(r"^    ([│ ├└─]*)(\w+Error)", errors.__doc__ or "", re.M)
    assert sorted(name for _, name in drawn) == sorted(
        name for name in vars(errors) if name.endswith("Error")
    )
    for mark, name in drawn:
        below_root = len(getattr(errors, name).__mro__) - len(LanError.__mro__)
        assert below_root == len(mark) // 4, name


def test_the_guides_examples_run(tmp_path: Path) -> None:
    """In their order, in one process and an empty folder, as somebody would type them."""
    examples = EXAMPLE.findall((ROOT / "docs" / "python.md").read_text())
    assert len(examples) == 5
    for example in examples:
        assert len([line for line in example.splitlines() if line]) <= EXAMPLE_LINES
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", "\n".join(examples)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "agent.onnx").exists()
