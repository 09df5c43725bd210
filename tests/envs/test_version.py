"""The commit of the source: that of a checkout, with a word where files differ, else none."""

import json
import subprocess
from pathlib import Path

import pytest

from envs.version import source_commit
from tests.paths import ROOT
from trainer import TrainConfig, resume, train


def git(folder: Path, *words: str) -> str:
    own = ("-c", "user.name=t", "-c", "user.email=t@t", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=")
    done = subprocess.run(
        ["git", *own, "-C", str(folder), *words], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A git checkout with one commit, and a tag that does not stand for it."""
    folder = tmp_path / "checkout"
    folder.mkdir()
    git(folder, "init", "--quiet")
    (folder / "code.py").write_text("x = 1\n")
    git(folder, "add", "code.py")
    git(folder, "commit", "--quiet", "-m", "one")
    git(folder, "tag", "-a", "v1", "-m", "v1")
    return folder


def test_the_commit_is_that_of_the_checkout(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever git's variables say, as within a hook; files of no commit do not count."""
    monkeypatch.setenv("GIT_DIR", str(ROOT / ".git"))
    (checkout / "notes.txt").write_text("untracked\n")
    commit = source_commit(checkout)
    monkeypatch.delenv("GIT_DIR")
    assert commit == git(checkout, "rev-parse", "HEAD")[:12]
    git(checkout, "worktree", "add", "--quiet", "../beside")
    assert source_commit(checkout.parent / "beside") == commit


def test_changes_are_said(checkout: Path) -> None:
    (checkout / "code.py").write_text("x = 2\n")
    assert source_commit(checkout) == git(checkout, "rev-parse", "HEAD")[:12] + "+changes"


def test_without_a_checkout_there_is_none(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not in a folder within somebody's checkout, nor in a damaged one, nor where git is missing."""
    inner = checkout / "venv" / "site-packages"
    inner.mkdir(parents=True)
    assert source_commit(inner) is None
    (inner / ".git").write_text("gitdir: /nowhere\n")
    assert source_commit(inner) is None
    assert source_commit(checkout) is not None
    monkeypatch.setenv("PATH", str(inner))
    assert source_commit(checkout) is None


def test_a_run_keeps_the_commits_that_made_it(tmp_path: Path) -> None:
    config = TrainConfig(
        map="checkers", env="sim", steps=30, envs=2, eval_episodes=1, batch_episodes=2,
        first_update_episodes=2, replay_episodes=20, threads=1, run_dir=tmp_path / "run",
    )  # fmt: skip
    run_dir = train(config).run_dir
    path = run_dir / "config.json"
    data = json.loads(path.read_text())
    assert data["versions"]["commit"] == (now := source_commit())
    data["versions"]["commit"] = "0123456789ab"
    for steps in (60, 90):  # with the same commit twice, which is said once
        path.write_text(json.dumps(data))
        resume(run_dir, steps=steps)
        data = json.loads(path.read_text())
        assert data["versions"]["commit"] == (f"0123456789ab, {now}" if now else "0123456789ab")
