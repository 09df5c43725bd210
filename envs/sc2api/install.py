"""Makes a `$SC2PATH` tree in which pysc2 finds this server where it expects the game."""

from __future__ import annotations

import importlib.util
import os
import shlex
import sys
from importlib import resources
from pathlib import Path
from typing import Final

from envs.errors import InputError
from envs.files import not_a_folder, replacing
from envs.smac.maps import MAP_NAMES
from envs.smac.scenarios import FIELD

MARK: Final = "# lan-sc2: the simulator behind Blizzard's SC2 API"


def install(root: Path, base_build: int) -> None:
    """Make the tree under `root`; InputError when a real game, or something else, stands there."""
    binary = root / "Versions" / f"Base{base_build}" / "SC2_x64"
    try:
        check_free(root)
        binary.parent.mkdir(parents=True, exist_ok=True)
        _write(binary, _script(), executable=True)
        maps = root / "Maps" / "SMAC_Maps"
        maps.mkdir(parents=True, exist_ok=True)
        data = resources.files("envs.smac") / "data"
        for name in MAP_NAMES:
            _write(maps / f"{name}.SC2Map", (data / f"{name}.json").read_bytes())
        _write(maps / f"{FIELD}.SC2Map", b"lan-sc2: a field without units\n")
        (root / "Replays").mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot install under {root}: {error.strerror or error}") from None


def check_free(root: Path) -> None:
    """InputError when `root` holds a game that is not ours."""
    if (blocked := not_a_folder(root)) is not None:
        raise InputError(f"{blocked} is no folder; choose another with --root")
    for binary in root.glob("Versions/Base*/SC2_x64"):
        if not is_ours(binary):
            raise InputError(f"{binary} is a game that lan-sc2 did not install; choose another --root")


def is_ours(binary: Path) -> bool:
    """Whether a `SC2_x64` is the script that `install` writes."""
    try:
        with binary.open("rb") as file:
            return MARK.encode() in file.read(256)
    except OSError:
        return False


def _script() -> bytes:
    """Runs this server with this interpreter and this copy of the project in any client's environment."""
    spec = importlib.util.find_spec("envs")
    assert spec is not None
    assert spec.origin is not None
    sources = Path(spec.origin).parent.parent
    program = (  # not PYTHONPATH, which a colon in the folder's name would part
        "import sys; sys.path.insert(0, sys.argv.pop(1)); "
        "from envs.sc2api.binary import main; sys.exit(main())"
    )
    command = shlex.join([sys.executable, "-P", "-c", program, str(sources)])
    unset = "unset PYTHONPATH PYTHONHOME PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
    return os.fsencode(f'#!/bin/sh\n{MARK}\n{unset}\nexec {command} "$@"\n')


def _write(path: Path, content: bytes, *, executable: bool = False) -> None:
    with replacing(path, 0o777 if executable else 0o666) as file:
        file.write(content)
