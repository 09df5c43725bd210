"""How a team of the zoo was made: its run, the runs from whose checkpoints that began, and their commands."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from envs.errors import InputError
from trainer.config import ResolvedConfig, TrainConfig, resolve, run_name
from trainer.marks import flag
from trainer.runs.assembly import config_of
from trainer.runs.beginnings import named_beginning
from trainer.runs.checkpoint import Checkpoint, load_checkpoint
from trainer.runs.config_file import RUN_NAME, read_config, rules_of_run
from trainer.runs.marked_file import parted

NOT_SAID = (
    "map", "algorithm", "preset", "seed", "run_dir", "ray_address", "keep_checkpoints", "replay_memory",
)  # fmt: skip
"""Settings that a card has in another place, and those that say only where a run is kept."""


@dataclass(frozen=True)
class Stage:
    """A run up to its last checkpoint, or to the one from which the next run began."""

    config: ResolvedConfig
    commit: str | None
    rules: int
    last: Checkpoint


def stages(run_dir: Path, config: ResolvedConfig, last: Checkpoint) -> list[Stage]:
    """A run, and before it those from whose checkpoints it began, the first one first.

    InputError when one of these checkpoints is gone or has changed, or when its run has no settings.
    """
    own = Stage(config, *commit_and_rules(run_dir), last)
    if config.init_from is None:
        return [own]
    path, _ = parted(named_beginning(config.init_from))
    source = load_checkpoint(path)
    return [*stages(path.parent, config_of(source), source), own]


def commit_and_rules(run_dir: Path) -> tuple[str | None, int]:
    """The commits by which the run in a directory was played, and the version of the simulator's rules.

    InputError when it has no settings.
    """
    try:
        data = read_config(run_dir)
        commit, (rules, _) = data.get("versions", {}).get("commit"), rules_of_run(data)
    except (OSError, AttributeError, KeyError) as error:
        raise InputError(f"{run_dir} has no settings of a run that could be read: {error}") from None
    if not isinstance(commit, str | None):
        raise InputError(f"{run_dir} cannot be used: its commit is no text")
    return commit, rules


def settings_beyond(made_by: Sequence[Stage]) -> dict[str, Any]:
    """The last run's settings that map, algorithm, preset and seed do not give; steps, threads in any case.

    A run that was stopped, or that another one left behind, gets the steps that it played.
    """
    *earlier, of = made_by
    saved = of.config.to_dict()
    if not of.last.clocks.at_end(of.config):
        saved["steps"] = of.last.env_steps
    if earlier:
        saved["init_from"] = f"{folder_of(earlier)}/{RUN_NAME}"
    given = {name: saved[name] for name in ("map", "algorithm", "preset", "seed")}
    settings = {
        name: saved[name] for name in ("steps", "threads")
    }  # whose defaults are long, and the machine's
    for _ in range(2):  # what is given may change what is left open
        default = resolve(TrainConfig(**given, **settings)).to_dict()
        settings |= {
            name: value for name, value in saved.items() if name not in NOT_SAID and value != default[name]
        }
    return settings


def folder_of(made_by: Sequence[Stage]) -> str:
    """The directory that the commands give the last of these runs: lan-train's own, or a numbered one."""
    name = f"runs/{run_name(made_by[-1].config)}"
    return name if len(made_by) == 1 else f"{name}-{len(made_by)}"


def commands(made_by: Sequence[Stage], checkpoint: str) -> tuple[str, ...]:
    """The commands that train and export a team again, from the checkpoint of that name in its last run."""
    config = made_by[-1].config
    trained = [training_words(made_by[: number + 1]) for number in range(len(made_by))]
    export = ["lan-export", "--ckpt", f"{folder_of(made_by)}/{checkpoint}", "--out", f"{config.map}.onnx"]
    return tuple(shlex.join(words) for words in (*trained, export))


def training_words(made_by: Sequence[Stage]) -> list[str]:
    """The words of the command that makes the last of these runs again."""
    config = made_by[-1].config
    words = ["lan-train", "--map", config.map, "--algorithm", config.algorithm, "--preset", config.preset]
    words += ["--seed", str(config.seed)]
    for name, value in settings_beyond(made_by).items():
        if isinstance(value, bool):
            words.append(flag(name if value else f"no_{name}"))
        else:
            words += [flag(name), str(value)]
    return words if len(made_by) == 1 else [*words, "--run-dir", folder_of(made_by)]
