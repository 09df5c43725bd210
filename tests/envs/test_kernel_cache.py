"""Machine code is kept only where nobody else can plant it, and a broken cache costs time alone."""

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from envs import compiled
from envs.errors import InputError

CALL = """
import resource, sys
from envs import compiled
if len(sys.argv) > 1:
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
def double(x):
    return 2 * x
double.__module__ = "__main__"
print(compiled.kernel(double)(21), compiled.cache_folder())
"""


def call(program: Path, *largest_file_bytes: str, **environment: str) -> list[str]:
    """What a new process that calls a kernel prints: the kernel's value, and the folder of its code."""
    program.write_text(CALL)
    given = {name: value for name, value in os.environ.items() if name not in ("LAN_CACHE_DIR", "HOME")}
    done = subprocess.run(
        [sys.executable, program, *largest_file_bytes],
        env={**given, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def test_a_safe_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = compiled._private_folder(tmp_path / "cache", ("a", "b"))
    assert folder == tmp_path / "cache/a/b"
    assert [path.stat().st_mode & 0o777 for path in (folder, folder.parent)] == [0o700, 0o700]
    assert compiled._private_folder(tmp_path / "cache", ("a", "b")) == folder


@pytest.mark.parametrize(
    ("place", "fault"),
    [
        (place, fault)
        for place in ("base", "base/a", "base/a/b")
        for fault in ("everybody may write", "somebody else's", "a link", "a file")
        if (place, fault) != ("base", "a link")  # a user may keep the whole cache elsewhere
    ],
)
def test_a_folder_in_which_others_could_plant_code_is_refused(tmp_path: Path, place: str, fault: str) -> None:
    if fault == "somebody else's" and os.geteuid() != 0:
        pytest.skip("only root can give a folder away")
    folder = tmp_path / place
    folder.parent.mkdir(parents=True, mode=0o700, exist_ok=True)
    if fault == "a link":
        (tmp_path / "elsewhere").mkdir(mode=0o700)
        folder.symlink_to(tmp_path / "elsewhere")
    elif fault == "a file":
        folder.touch()
    else:
        folder.mkdir(mode=0o700)
        if fault == "somebody else's":
            os.chown(folder, 12345, 12345)
        else:
            folder.chmod(0o777)
    with pytest.raises((InputError, OSError)):
        compiled._private_folder(tmp_path / "base", ("a", "b"))


def test_planted_machine_code_is_never_loaded(tmp_path: Path) -> None:
    """A planted index is a pickle that runs when it is read."""
    base = tmp_path / "kept"
    (_, folder) = call(tmp_path / "program.py", LAN_CACHE_DIR=str(base))
    (index,) = Path(folder).rglob("*.nbi")

    class Planted:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "planted"),)

    index.write_bytes(pickle.dumps(Planted()))
    Path(folder).chmod(0o777)
    value, used = call(tmp_path / "program.py", LAN_CACHE_DIR=str(base), TMPDIR=str(tmp_path))
    assert value == "42"
    assert not used.startswith(str(base))
    assert not (tmp_path / "planted").exists()


@pytest.mark.parametrize("suffix", ["nbi", "nbc"])
def test_damaged_machine_code_is_compiled_again(tmp_path: Path, suffix: str) -> None:
    (_, folder) = call(tmp_path / "program.py", LAN_CACHE_DIR=str(tmp_path))
    (file,) = Path(folder).rglob(f"*.{suffix}")
    whole = file.read_bytes()
    for content in (b"", b"no pickle", b"\x80\x04K\x01."):
        file.write_bytes(content)
        assert call(tmp_path / "program.py", LAN_CACHE_DIR=str(tmp_path)) == ["42", folder]
        assert file.read_bytes()[:20] == whole[:20]  # and it is kept whole again


@pytest.mark.parametrize("largest_file_bytes", ["0", "200"])
def test_a_full_disk_under_the_cache_ends_nothing(tmp_path: Path, largest_file_bytes: str) -> None:
    value, _ = call(tmp_path / "program.py", largest_file_bytes, LAN_CACHE_DIR=str(tmp_path))
    assert value == "42"
    assert call(tmp_path / "program.py", LAN_CACHE_DIR=str(tmp_path))[0] == "42"


@pytest.mark.parametrize(
    "environment",
    [
        {},  # no HOME
        {"HOME": "/proc"},
        {"HOME": "/", "LAN_CACHE_DIR": "/proc/none"},
        {"LAN_CACHE_DIR": "/dev/null"},
        {"LAN_CACHE_DIR": "~nobody-has-this-name/cache"},
    ],
)
def test_without_a_home_kernels_are_compiled_all_the_same(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    value, used = call(tmp_path / "program.py", TMPDIR=str(tmp_path), **environment)
    assert value == "42"
    if environment:
        assert used.startswith(str(tmp_path))


def test_a_tilde_in_lan_cache_dir_is_the_home(tmp_path: Path) -> None:
    _, folder = call(tmp_path / "program.py", HOME=str(tmp_path), LAN_CACHE_DIR="~/kept")
    assert folder.startswith(str(tmp_path / "kept"))
