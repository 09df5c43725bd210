"""Generate the Python code of the .proto files here, or check that the committed code is what they generate.

    python -m protos.generate            writes the *_pb2.py, *_pb2.pyi and *_pb2_grpc.py beside them
    python -m protos.generate --check    compares, exit code 1 when they differ

The generator is pinned, in a virtual environment of its own (.venv-protos): its output loads under protobuf
6.33 and 7, while newer generators refuse older runtimes, and grpcio-tools 1.76 itself wants protobuf below 7.
"""

from __future__ import annotations

import argparse
import difflib
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

GENERATOR = "grpcio-tools==1.76.0"
ROOT = Path(__file__).resolve().parent.parent
PLUGINS = {"policy": ("python", "pyi", "grpc_python"), "onnx_subset": ("python", "pyi")}
"""protoc's plugins for each .proto file; only the policy contract has a service."""
PIP_TIMEOUT_S = 600
PROTOC_TIMEOUT_S = 120


def generator_python(directory: Path) -> Path:
    """The interpreter of the generator's environment, which is made and filled when needed."""
    python = directory / "bin" / "python"
    if not python.exists():
        print(f"making {directory} with {GENERATOR}", file=sys.stderr)
        venv.create(directory, with_pip=True)
    probe = "import importlib.metadata as m; print('grpcio-tools==' + m.version('grpcio-tools'))"
    found = subprocess.run([python, "-c", probe], capture_output=True, text=True, timeout=PROTOC_TIMEOUT_S)
    if found.stdout.strip() != GENERATOR:
        command = [str(python), "-m", "pip", "install", "--quiet", GENERATOR]
        if subprocess.run(command, timeout=PIP_TIMEOUT_S).returncode:
            raise SystemExit(f"{GENERATOR} could not be installed in {directory}; see pip's message above")
    return python


def generate(python: Path, out: Path) -> dict[str, str]:
    """The generated files by name, written under the directory `out`; SystemExit when protoc refuses."""
    for name, plugins in PLUGINS.items():
        command = [str(python), "-m", "grpc_tools.protoc", f"--proto_path={ROOT}"]
        command += [f"--{plugin}_out={out}" for plugin in plugins]
        source = f"protos/{name}.proto"
        if subprocess.run([*command, source], cwd=ROOT, timeout=PROTOC_TIMEOUT_S).returncode:
            raise SystemExit(f"{source} was refused; see the message above")
    return {path.name: path.read_text() for path in sorted((out / "protos").iterdir())}


def differences(committed: Path, generated: dict[str, str]) -> str:
    """A unified diff from what is committed to what is generated; empty when they are equal."""
    lines: list[str] = []
    for name, text in generated.items():
        path = committed / name
        old = path.read_text() if path.exists() else ""
        lines += difflib.unified_diff(old.splitlines(True), text.splitlines(True), f"committed/{name}", name)
    return "".join(lines)


def main() -> int:
    """Write or compare; exit code 1 when compared files differ or the generator cannot be had."""
    parser = argparse.ArgumentParser(prog="protos.generate", description="Generate the code of *.proto.")
    parser.add_argument("--check", action="store_true", help="compare with the committed files")
    parser.add_argument("--venv", type=Path, default=ROOT / ".venv-protos", help="where the generator is")
    flags = parser.parse_args()
    python = generator_python(flags.venv)
    with tempfile.TemporaryDirectory() as directory:
        generated = generate(python, Path(directory))
    if not flags.check:
        for name, text in generated.items():
            (ROOT / "protos" / name).write_text(text)
        return 0
    diff = differences(ROOT / "protos", generated)
    if diff:
        print(f"{diff}\nthe committed code is not what *.proto generates: run python -m protos.generate")
        return 1
    print("the generated code is up to date")
    return 0


if __name__ == "__main__":
    sys.exit(main())
