"""What the documents name exists: files, modules, links, commands and their flags; examples run."""

import functools
import importlib
import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.paths import ROOT

DOCUMENTS = sorted(
    ROOT / name
    for name in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
)
FOLDERS = "trainer|runtime|protos|exporters|envs|benchmarks|tests|docs|deploy|results|zoo"
FILE = re.compile(rf"(?<![\w./*-])((?:{FOLDERS})/[\w./@-]*\w/?)")
MODULE = re.compile(r"python3? -m ((?:benchmarks|envs|trainer|runtime|exporters|protos)[\w.]*)")
NAME = re.compile(r"`((?:envs|trainer|runtime|exporters|protos|benchmarks)(?:\.\w+)+)")
LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
COMMAND = re.compile(r"(?:^|[\s`$(])(lan-[a-z]+)((?: [^`|#\n]*)?)")
FLAG = re.compile(r"(?<=\s)(--[a-z][\w-]*)")
EXAMPLE = re.compile(r"^```python\n(.*?)^```", re.M | re.S)
EARLIER = re.compile(r"^#+ .*(?:old|before).*$.*?(?=^#|\Z)", re.M | re.S | re.I)


def text_of(document: Path) -> str:
    """A document without what it says of earlier versions (the changelog's table of old paths)."""
    text = document.read_text()
    return EARLIER.sub("", text) if document.name == "CHANGELOG.md" else text


def ids(path: Path) -> str:
    return str(path.relative_to(ROOT))


@functools.cache
def help_of(command: str) -> str:
    script = Path(sys.executable).with_name(command)
    return subprocess.run([script, "--help"], capture_output=True, text=True, timeout=60, check=True).stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_files_and_links_are_there(document: Path) -> None:
    text = text_of(document)
    missing = [
        name for name in FILE.findall(text) if not (ROOT / name).exists() and not is_written_later(name)
    ]
    missing += [link for link in LINK.findall(text) if not (document.parent / link).exists()]
    assert not missing


def is_written_later(name: str) -> bool:
    """Whether a name is of a file that a command in the document writes."""
    return name.startswith(("results/", "deploy/certs", "deploy/model")) and Path(name).suffix in (
        "",
        ".pt",
        ".onnx",
        ".html",
    )


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_modules_and_their_members_are_there(document: Path) -> None:
    text = text_of(document)
    assert [name for name in MODULE.findall(text) if importlib.util.find_spec(name) is None] == []
    assert [name for name in NAME.findall(text) if not resolves(name)] == []


def resolves(name: str) -> bool:
    """Whether a dotted name is a module, or a member of one."""
    for cut in range(name.count("."), -1, -1):
        parts = name.split(".")
        module = ".".join(parts[: cut + 1])
        try:
            value = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        for part in parts[cut + 1 :]:
            if not hasattr(value, part):
                return False
            value = getattr(value, part)
        return True
    return False


def examples() -> list[tuple[str, str]]:
    """The Python of the guide to extending, by the heading above it."""
    sections = re.split(r"^## ", (ROOT / "docs" / "extending.md").read_text(), flags=re.M)[1:]
    return [(part.split("\n")[0], code) for part in sections for code in EXAMPLE.findall(part)]


def test_the_examples_of_extending_run(tmp_path: Path) -> None:
    """One after the other in one process, in which torch is imported once; trainings shorter than shown."""
    shown, here = "steps=2_000", "steps=400, batch_episodes=4, first_update_episodes=4, eval_episodes=2"
    assert sum(shown in code for _, code in examples()) == 2
    parts = [f"print({head!r})\nexec({code.replace(shown, here)!r}, {{}})" for head, code in examples()]
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", "\n".join(parts)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_notebook_runs(tmp_path: Path) -> None:
    """All of its cells in one process, as it stands; what it holds of their output is of such a run."""
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert all(cell["outputs"] for cell in code)
    scripts = Path(sys.executable).parent
    done = subprocess.run(
        [sys.executable, "-P", "-W", "error", "-c", "\n".join("".join(cell["source"]) for cell in code)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " of 20 battles won, 0 answers missed" in done.stdout


@pytest.mark.parametrize("document", DOCUMENTS, ids=ids)
def test_commands_have_the_flags_that_are_shown(document: Path) -> None:
    wrong = []
    for command, words in COMMAND.findall(text_of(document).replace("\\\n", " ")):
        if not Path(sys.executable).with_name(command).exists():
            if words.strip():
                wrong.append(command)
            continue
        known = {"--version", *FLAG.findall(help_of(command))}
        wrong += [f"{command} {flag}" for flag in FLAG.findall(words) if flag not in known]
    assert wrong == []
