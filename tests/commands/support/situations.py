"""Small complete command lines, and the files that they need: a run, a model, certificates, odd things."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from envs.sc2api.cli import InstallConfig, ServeConfig
from exporters.card import InspectConfig
from exporters.evaluate import EvaluateConfig
from exporters.export import ExportConfig, export_checkpoint
from runtime.agent.cli import AgentConfig
from runtime.agent.many import AgentsConfig
from runtime.host.flags import PlayConfig
from runtime.host.status import StatusConfig
from runtime.identity.certs import CertsConfig, certs
from trainer import TrainConfig, train
from trainer.plots.cli import PlotConfig
from trainer.sweep.cli import SweepConfig

TINY = (
    "--steps 30 --envs 2 --eval-episodes 1 --eval-interval-steps 30 --batch-episodes 2 "
    "--first-update-episodes 2 --replay-episodes 20"
)


@dataclass(frozen=True)
class Situation:
    """A command that works, the class of its flags, and the seconds after which it may be told to stop."""

    words: str
    flags: type
    limit_s: float = 20.0
    others: tuple[int, ...] = ()
    """Exit codes beside 0 and 2 that its documentation names."""


SITUATIONS = {
    "train": Situation(f"lan-train --map checkers {TINY} --run-dir new", TrainConfig, 8.0, (1,)),
    "resume": Situation("lan-train --resume run", TrainConfig, 8.0, (1,)),
    "sweep": Situation("lan-sweep --maps nosuch --seeds 1 --workers 1 --out sweep", SweepConfig),
    "plot": Situation("lan-plot run --out curves.svg", PlotConfig),
    "export": Situation("lan-export --ckpt run --out new.onnx --battles 2", ExportConfig),
    "evaluate": Situation("lan-eval --model agent.onnx --episodes 1", EvaluateConfig, 10.0),
    "scripted": Situation("lan-eval --team random --map 3m --env sim --episodes 1", EvaluateConfig, 5.0),
    "inspect": Situation("lan-inspect --map 3m", InspectConfig),
    "agent": Situation("lan-agent --model agent.onnx --agent-id 0 --listen 127.0.0.1:0", AgentConfig, 1.5),
    "agents": Situation("lan-agents --model agent.onnx --agents 0 --listen 127.0.0.1:0", AgentsConfig, 1.5),
    "tls": Situation(
        "lan-agent --model agent.onnx --agent-id 0 --listen 127.0.0.1:0 --tls-cert certs/agent-0.pem "
        "--tls-key certs/agent-0-key.pem --tls-ca certs/ca.pem", AgentConfig, 1.5,
    ),
    "play": Situation(
        "lan-play --map checkers --agents 127.0.0.1:9-10 --episodes 1 --connect-timeout-s 0.2", PlayConfig
    ),
    "own": Situation("lan-play --map checkers --model agent.onnx --episodes 1", PlayConfig, 6.0, (1,)),
    "status": Situation("lan-status --agents 127.0.0.1:9", StatusConfig, 10.0, (1,)),
    "certs": Situation("lan-certs --out new --agents 1", CertsConfig),
    "install": Situation("lan-sc2 install --root new", InstallConfig),
    "serve": Situation("lan-sc2 serve --port 0", ServeConfig, 1.5),
}  # fmt: skip


def make_files(folder: Path) -> None:
    """The files that the situations need, made once."""
    settings = dict(zip(TINY.split()[::2], TINY.split()[1::2], strict=True))
    numbers = {name[2:].replace("-", "_"): int(value) for name, value in settings.items()}
    train(TrainConfig(map="checkers", env="sim", run_dir=folder / "run", threads=1, **numbers))  # type: ignore[arg-type]
    export_checkpoint(folder / "run", folder / "agent.onnx", battles=2)
    certs(CertsConfig(out=folder / "certs", agents=1))
    (folder / "a.file").write_text("text\n")
    (folder / "a.folder").mkdir()
    (folder / "a.loop").symlink_to("a.loop")
    (folder / "a.dangling").symlink_to("nowhere/at/all")


def copied(files: Path, folder: Path) -> Path:
    """A fresh copy of the files, and a pipe that nobody writes to."""
    shutil.copytree(files, folder, symlinks=True, dirs_exist_ok=True)
    os.mkfifo(folder / "a.fifo")
    return folder


def with_flag(words: str, name: str, value: str) -> list[str]:
    """The command line with one flag added or changed."""
    line = words.split()
    flag = "--" + name.replace("_", "-")
    if flag in line:
        at = line.index(flag)
        del line[at : at + 2]
    if name in ("file", "runs"):  # positional
        return [line[0], value, *[word for word in line[1:] if word not in ("run", "--map", "3m")]]
    return [*line, flag, value]


Change = Callable[[Path], None]
