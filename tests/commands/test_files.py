"""Whatever a file holds, a command that reads it works or says in one sentence why not."""

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.commands.support.damage import Damage, archive, json_lines, json_object, whole
from tests.commands.support.forked import Forks
from tests.commands.support.situations import copied

Kinds = Callable[[Path], Iterator[tuple[str, Damage]]]

RESUME = "lan-train --resume run --steps 60"
PLOT = "lan-plot run --out new.svg"
INSPECT = "lan-inspect run"
EXPORT = "lan-export --ckpt run --out new.onnx --battles 2"
EVALUATE = "lan-eval --ckpt run --episodes 1"
AGENT = "lan-agent --model agent.onnx --agent-id 0 --listen 127.0.0.1:0"
TLS = f"{AGENT} --tls-cert certs/agent-0.pem --tls-key certs/agent-0-key.pem --tls-ca certs/ca.pem"
HOST = (
    "lan-play --map checkers --agents 127.0.0.1:9 --connect-timeout-s 0.1 --tls-cert certs/host.pem "
    "--tls-key certs/host-key.pem --tls-ca certs/ca.pem"
)
FILES: dict[str, tuple[tuple[Kinds, ...], tuple[str, ...]]] = {
    "run/config.json": ((whole, json_object), (RESUME, PLOT, INSPECT, EXPORT)),
    "run/metrics.jsonl": ((whole, json_lines), (RESUME, PLOT)),
    "run/run.pt": ((whole, archive), (RESUME, INSPECT, EXPORT, EVALUATE)),
    "run/replay/*.npz": ((whole, archive), (RESUME,)),
    "agent.onnx": ((whole,), (AGENT, "lan-inspect agent.onnx", "lan-eval --model agent.onnx --episodes 1")),
    "certs/agent-0.pem": ((whole,), (TLS,)),
    "certs/agent-0-key.pem": ((whole,), (TLS,)),
    "certs/ca.pem": ((whole,), (TLS, HOST)),
    "certs/host.pem": ((whole,), (HOST,)),
}
CASES = [(file, words) for file, (_, commands) in FILES.items() for words in commands]


def complaints(
    forks: Forks, files: Path, folder: Path, file: str, words: str, some: int | None = None
) -> list[str]:
    """What a command does wrong with a file in each state, or in some of them."""
    [path] = files.glob(file)
    damages = [each for kind in FILES[file][0] for each in kind(path)]
    found = []
    for name, damage in damages if some is None else random.Random(words + file).sample(damages, some):
        copied(files, folder)
        damage(folder / path.relative_to(files))
        ended = forks.run(words.split(), folder, 1.5 if words.startswith("lan-agent") else 30.0)
        wrong = ended.complaints()
        wrong += ["it ran foreign code"] if (folder / "executed").exists() else []
        found += [f"{words}: {file}: {name}: {what}: {ended.err[-500:]}" for what in wrong]
        shutil.rmtree(folder)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("file", "words"), CASES)
def test_no_state_of_a_file_kills_a_command(
    file: str, words: str, forks: Forks, files: Path, tmp_path: Path
) -> None:
    found = complaints(forks, files, tmp_path / "w", file, words)
    assert not found, "\n".join(found)


@pytest.mark.parametrize(("file", "words"), CASES)
def test_some_states_of_a_file_do_not_kill_a_command(
    file: str, words: str, forks: Forks, files: Path, tmp_path: Path
) -> None:
    found = complaints(forks, files, tmp_path / "w", file, words, some=1)
    assert not found, "\n".join(found)
