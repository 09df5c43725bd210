"""Kernels are compiled once, kept by a digest of their sources, and announced."""

import ast
import hashlib
import importlib
import os
import pkgutil
import shutil
import subprocess
import sys
import time
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any, get_type_hints

import pytest
from numba.core.dispatcher import Dispatcher

from envs import compiled
from tests.paths import ROOT

KERNEL_PACKAGES = ("envs.battle", "envs.smac")
PLAY = (
    "import time; start = time.perf_counter()\n"
    "import numpy as np\n"
    "from envs.make import make_env\n"
    "env = make_env('3m', 'sim'); env.reset(); env.step(np.ones((1, 3), np.int64))\n"
    "print(time.perf_counter() - start)"
)


def run_python(code: str, root: Path, cache: Path) -> subprocess.CompletedProcess[str]:
    """What a new process in `root` says that keeps its machine code in `cache`."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env={**os.environ, "LAN_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )


def play(root: Path, cache: Path) -> tuple[float, str]:
    """Seconds from import to the first step in a new process, and what it said."""
    ran = run_python(PLAY, root, cache)
    return float(ran.stdout), ran.stderr


def kernels_in(module: ModuleType) -> list[Any]:
    """The compiled functions that `module` defines."""
    found = [value for value in vars(module).values() if isinstance(value, Dispatcher)]
    return [kernel for kernel in found if kernel.py_func.__module__ == module.__name__]


def names_in(code: CodeType) -> set[str]:
    """Every name that a function's code, and what is nested in it, looks up."""
    inner = (const for const in code.co_consts if isinstance(const, CodeType))
    return set(code.co_names).union(*map(names_in, inner))


def origins(module: ModuleType, name: str) -> set[str]:
    """The modules of ours whose sources decide what the global `name` of `module` is."""
    found = set()
    for statement in ast.parse(Path(str(module.__file__)).read_text()).body:
        if isinstance(statement, ast.ImportFrom) and str(statement.module).startswith("envs."):
            for alias in statement.names:
                if name == (alias.asname or alias.name):
                    found |= origins(importlib.import_module(str(statement.module)), alias.name)
        elif isinstance(statement, ast.ClassDef | ast.FunctionDef) and statement.name == name:
            found.add(module.__name__)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if name in {
                node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)
            }:
                found.add(module.__name__)
                assert statement.value is not None
                for node in ast.walk(statement.value):
                    if isinstance(node, ast.Name) and node.id != name:
                        found |= origins(module, node.id)
    return found


def tuples_of(kernel: Any) -> set[str]:
    """The modules of the named tuples that a kernel takes: the order of their fields is compiled in."""
    found, open_types = set(), list(get_type_hints(kernel.py_func).values())
    while open_types:
        kind = open_types.pop()
        if isinstance(kind, type) and issubclass(kind, tuple) and hasattr(kind, "_fields"):
            found.add(kind.__module__)
            open_types += get_type_hints(kind).values()
    return found


def sources_of(kernel: Any) -> set[str]:
    """The modules that a kernel itself is made from; the kernels it calls are looked at on their own."""
    module = importlib.import_module(kernel.py_func.__module__)
    read = names_in(kernel.py_func.__code__) & set(vars(module))
    return {module.__name__}.union(tuples_of(kernel), *(origins(module, name) for name in read))


def test_the_sources_are_those_that_kernels_are_made_from() -> None:
    found: set[str] = set()
    for package in map(importlib.import_module, KERNEL_PACKAGES):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            for kernel in kernels_in(importlib.import_module(info.name)):
                found |= sources_of(kernel)
    assert sorted(found) == sorted(compiled.KERNEL_SOURCES)


@pytest.mark.parametrize(
    "elsewhere",
    [
        "envs.sc2api.stepping",
        "benchmarks.simulator",
        "trainer.learning.entity_kernels",
        "trainer.learning.gru_kernels",
        "trainer.learning.input_kernels",
        "trainer.playing.kernels",
        "trainer.replay.sparse",
    ],
)
def test_kernels_elsewhere_are_made_from_the_same_sources_and_their_own_file(
    elsewhere: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba itself notices changes in a kernel's own file."""
    monkeypatch.syspath_prepend(ROOT)  # benchmarks are not installed
    kernels = kernels_in(importlib.import_module(elsewhere))
    assert kernels
    assert set().union(*map(sources_of, kernels)) <= {elsewhere, *compiled.KERNEL_SOURCES}


@pytest.mark.parametrize("layer", ["entity", "gru", "input"])
def test_kernels_of_further_sources_have_a_folder_for_these(layer: str) -> None:
    kernels = kernels_in(importlib.import_module(f"trainer.learning.{layer}_kernels"))
    digest = hashlib.sha256((ROOT / "trainer/learning/vectors.py").read_bytes()).hexdigest()[:16]
    kept = [path for kernel in kernels if (path := kernel.stats.cache_path)]  # helpers keep nothing
    assert {Path(path).parent.name for path in kept} == {digest}


def test_the_digest_changes_with_every_kernel_source_and_with_nothing_else(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "envs", tmp_path / "envs", ignore=shutil.ignore_patterns("__pycache__"))
    ask = [sys.executable, "-c", "from envs.compiled import sources_digest; print(sources_digest())"]

    def digest_with(changed: str) -> str:
        file = tmp_path / changed
        before = file.read_text()
        file.write_text(before + "\n# changed\n")
        ran = subprocess.run(ask, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        file.write_text(before)
        return ran.stdout.strip()

    for kept in ("envs/battle/teams.py", "envs/battle/record.py", "envs/compiled.py"):
        assert digest_with(kept) == compiled.sources_digest()
    for changed in ("envs/battle/combat.py", "envs/smac/units.py"):
        assert digest_with(changed) != compiled.sources_digest()


def test_folders_that_nobody_used_for_a_month_are_removed(tmp_path):
    old, new, mine = (tmp_path / name for name in ("old", "new", "mine"))
    for folder in (old, new, mine):
        folder.mkdir()
    month_ago = time.time() - 31 * 86400
    os.utime(old, (month_ago, month_ago))
    compiled._remove_unused(mine)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["mine", "new"]


def test_two_environments_that_must_be_compiled_first_say_so_once(tmp_path):
    code = "from envs.make import make_env; make_env('3m', 'sim'); make_env('2s3z', 'sim')"
    said = run_python(code, ROOT, tmp_path).stderr.splitlines()
    assert [line[:30] for line in said] == ["compiling the battle simulator"]


@pytest.mark.slow
def test_the_first_start_compiles_and_says_so_and_the_second_is_quick(tmp_path):
    seconds, said = play(ROOT, tmp_path)
    assert "compiling the battle simulator" in said
    assert seconds < 80  # 40 on two free cores
    seconds, said = play(ROOT, tmp_path)
    assert said == ""
    assert seconds < 4  # 2 on two free cores
