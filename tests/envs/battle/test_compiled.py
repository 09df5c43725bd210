"""Kernels are compiled once, kept by a digest of their sources, and announced."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from envs.battle import compiled

ROOT = Path(compiled.__file__).parents[2]
PLAY = (
    "import time; start = time.perf_counter()\n"
    "import numpy as np\n"
    "from envs.make import make_env\n"
    "env = make_env('3m', 'sim'); env.reset(); env.step(np.ones((1, 3), np.int64))\n"
    "print(time.perf_counter() - start)"
)


def play(root: Path, cache: Path) -> tuple[float, str]:
    """Seconds from import to the first step in a new process, and what it said."""
    ran = subprocess.run(
        [sys.executable, "-c", PLAY],
        cwd=root,
        env={**os.environ, "LAN_CACHE_DIR": str(cache)},
        capture_output=True,
        text=True,
        timeout=300,
        check=True,
    )
    return float(ran.stdout), ran.stderr


def test_the_digest_changes_with_every_source_a_kernel_reaches(tmp_path):
    shutil.copytree(ROOT / "envs", tmp_path / "envs", ignore=shutil.ignore_patterns("__pycache__"))
    ask = [sys.executable, "-c", "from envs.battle.compiled import sources_digest; print(sources_digest())"]

    def digest() -> str:
        return subprocess.run(
            ask, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True
        ).stdout

    first = digest()
    assert first.strip() == compiled.sources_digest()
    for changed in ("envs/battle/combat.py", "envs/smac/units.py"):
        (tmp_path / changed).write_text((tmp_path / changed).read_text() + "\n# changed\n")
        second = digest()
        assert second != first
        first = second


def test_folders_that_nobody_used_for_a_month_are_removed(tmp_path):
    old, new, mine = (tmp_path / name for name in ("old", "new", "mine"))
    for folder in (old, new, mine):
        folder.mkdir()
    month_ago = time.time() - 31 * 86400
    os.utime(old, (month_ago, month_ago))
    compiled._remove_unused(mine)
    assert sorted(folder.name for folder in tmp_path.iterdir()) == ["mine", "new"]


@pytest.mark.slow
def test_the_first_start_compiles_and_says_so_and_the_second_is_quick(tmp_path):
    seconds, said = play(ROOT, tmp_path)
    assert "compiling the battle simulator" in said
    assert seconds < 80  # 40 on two free cores
    seconds, said = play(ROOT, tmp_path)
    assert said == ""
    assert seconds < 4  # 2 on two free cores
