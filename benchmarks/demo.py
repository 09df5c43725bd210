"""The whole way in one go: train LAN, export, serve one process per agent, play; then one table.

    python -m benchmarks.demo [--map 3m] [--seed 0] [--folder demo]

Every stage is one of the project's own commands, printed before it runs, so that each can be tried alone.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.errors import InputError

BATTLES = 32
BATTLE_SEED = 20_000
"""Of the battles in the table; training and its evaluations use other seeds."""
STAGE_TIMEOUT_S = 1_800.0
"""Of every stage but training, which ends after --steps."""
STOP_TIMEOUT_S = 60.0
"""How long a stage that is to stop may take, so that a training saves."""


@dataclass(frozen=True)
class DemoConfig:
    """Flags of the demo."""

    map: str = "3m"
    """The map to learn and to play."""
    seed: int = 0
    """Seed of the training run."""
    preset: str = "fast"
    """Settings of the training run: fast, or paper, which takes several times as long."""
    steps: int = 400_000
    """Environment steps after which training ends even without winning."""
    win_rate: float = 0.9
    """Training ends once two evaluations in a row reach this."""
    folder: Path = Path("demo")
    """Folder for run and model; each demo makes a new folder in it."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; exit code 0 when every stage succeeded."""
    description = "Train LAN, export it, start one process per agent, play, and print one table."
    return run_command(DemoConfig, demo, prog="demo", description=description, argv=argv)


def demo(config: DemoConfig) -> None:
    """All stages, one after the other."""
    console = Console(highlight=False)
    folder = new_folder(config.folder, config.map)
    run_dir, model = folder / "run", folder / "agent.onnx"
    started = time.monotonic()

    stage(console, "1. train: advantage and value network together, until the team wins")
    try:  # with one thread: batches are small
        lan("lan-train", "--map", config.map, "--steps", config.steps, "--seed", config.seed,
            "--preset", config.preset, "--until-win-rate", config.win_rate,
            "--threads", 1, "--run-dir", run_dir, timeout_s=None)  # fmt: skip
    except InputError:
        with contextlib.suppress(OSError):  # where training began, the folder holds its run
            folder.rmdir()
        raise
    trained_s = time.monotonic() - started

    stage(console, "2. export: the advantage network alone, of the checkpoint that won most")
    best = run_dir / "best.pt"
    lan("lan-export", "--ckpt", best, "--out", model)
    card = lan_json("lan-inspect", best, "--json")

    stage(console, f"3. the same {BATTLES} battles, in this process and through agents")
    battles = ("--episodes", BATTLES, "--seed", BATTLE_SEED, "--json")
    in_process = lan_json("lan-eval", "--ckpt", best, *battles)
    apart = lan_json("lan-play", "--map", config.map, "--model", model, *battles)

    console.print()
    console.print(result_table(config, run_dir, model, card, in_process, apart, trained_s))


def result_table(
    config: DemoConfig,
    run_dir: Path,
    model: Path,
    card: dict[str, Any],
    in_process: dict[str, Any],
    apart: dict[str, Any],
    trained_s: float,
) -> Table:
    """Print the results; every number is read from the stages' output."""
    lines = (run_dir / "metrics.jsonl").read_text().splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])
    parameters, latency = card["parameters"], apart["latency_ms"]
    table = Table(title=f"LAN on {config.map}", show_header=False)
    table.add_row("win rate before training", f"{first['win_rate']:.0%}")
    table.add_row(
        "win rate after training, one process", f"{in_process['win_rate']:.0%}  of {BATTLES} battles"
    )
    table.add_row(
        f"win rate decentralised, {card['n_agents']} processes",
        f"[bold]{apart['win_rate']:.0%}[/bold]  of the same battles, {apart['fallbacks']} fallbacks",
    )
    table.add_row("training", f"{last['env_steps']:,} environment steps in {trained_s / 60:.1f} min")
    table.add_row(
        f"deployed, of step {card['env_steps']:,}",
        f"advantage network: {parameters['advantage']:,} parameters, {model.stat().st_size / 1000:.0f} kB",
    )
    table.add_row("discarded", f"value network: {parameters['value']:,} parameters")
    table.add_row("joint step, all agents", f"p50 {latency['p50']:.2f} ms, p99 {latency['p99']:.2f} ms")
    table.add_row("kept", f"{run_dir}, {model}")
    return table


def new_folder(parent: Path, map_name: str) -> Path:
    """`PARENT/MAP-1`, or the next number that is free."""
    for number in range(1, 10_000):
        folder = parent / f"{map_name}-{number}"
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        except OSError as error:
            reason = error.strerror or error
            raise InputError(
                f"--folder {parent}: no folder can be made in it ({reason}); choose another"
            ) from None
        return folder
    raise InputError(f"{parent} is full of demos; remove some")


def stage(console: Console, title: str) -> None:
    """Announce the next stage."""
    console.print(f"\n[bold]{title}[/bold]")


def lan(command: str, *words: object, timeout_s: float | None = STAGE_TIMEOUT_S) -> None:
    """Run one of the project's commands, its output going where ours goes; InputError when it fails."""
    finish(command, subprocess.Popen(command_line(command, words)), timeout_s)


def lan_json(command: str, *words: object) -> dict[str, Any]:
    """The JSON object that a command prints last."""
    process = subprocess.Popen(command_line(command, words), stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(finish(command, process, STAGE_TIMEOUT_S).strip().splitlines()[-1])
    return result


def finish(command: str, process: subprocess.Popen[Any], timeout_s: float | None) -> str:
    """What a command printed to its pipe, if it has one; InputError when it fails or takes too long."""
    try:
        output, _ = process.communicate(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        raise InputError(f"{command} did not end within {timeout_s:.0f} s") from None
    finally:
        stop(process)
    if process.returncode != 0:
        raise InputError(f"{command} ended with exit code {process.returncode}; see above")
    return output or ""


def stop(process: subprocess.Popen[Any]) -> None:
    """End a process that still runs: politely, then at once."""
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(STOP_TIMEOUT_S)


def command_line(command: str, words: Sequence[object]) -> list[str]:
    """A command of this Python's installation, printed before it runs."""
    texts = [str(word) for word in words]
    print(f"$ {shlex.join([command, *texts])}", flush=True)
    return [str(Path(sys.executable).with_name(command)), *texts]


if __name__ == "__main__":
    sys.exit(main())
