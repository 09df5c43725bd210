"""What a training run is told: `TrainConfig` as it was asked for, `ResolvedConfig` with nothing left open."""

from __future__ import annotations

import functools
import os
from dataclasses import asdict, dataclass, field, fields
from enum import Flag, auto
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args, get_origin, get_type_hints

from envs.command import nearest_names
from envs.errors import InputError
from envs.make import without_fog
from trainer.learning.algorithms import ALGORITHMS, OPTIMIZER_NAMES


class Free(Flag):
    """Where a setting may differ; without a flag it may not, since it would make the run another run."""

    ON_RESUME = auto()
    """Between a run and its continuation."""
    WHEN_DRAWN = auto()
    """Between runs that are drawn together."""
    BETWEEN_ALGORITHMS = auto()
    """Between runs of different algorithms that are drawn together."""
    IN_SWEEP = auto()
    """Between a sweep and the same sweep started again."""
    EVERYWHERE = ON_RESUME | WHEN_DRAWN | BETWEEN_ALGORITHMS | IN_SWEEP
    """It says where and how a run is computed; at most roundings and random draws follow from it."""


COUNTS = (
    "steps", "envs", "threads", "batch_episodes", "replay_episodes", "updates_per_episode",
    "first_update_episodes", "target_update_interval", "eval_interval_steps", "eval_episodes",
    "log_interval_steps", "keep_checkpoints",
)  # fmt: skip


def learner_threads() -> int:
    """The learner's threads on this machine: at most two, since more have not been measured."""
    return min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run as they are asked for; the defaults are the LAN paper's, one set for all maps.

    The flags of `lan-train` are made from this class. Each field says where it may differ; see `Free`.
    """

    map: Annotated[str, Free.WHEN_DRAWN] = ""
    """The map to learn: a SMAC map such as 3m, 2s3z or corridor."""
    env: Annotated[str, Free.WHEN_DRAWN] = "auto"
    """What plays the battles: auto, sim (embedded simulator), sc2 (the live game) or smac (official SMAC)."""
    algorithm: Annotated[str, Free.WHEN_DRAWN] = "lan"
    """The learner: lan, lan-mean, iql, iql-nofog, vdn, qmix or qplex."""
    sharing: Annotated[Literal["all", "type"], Free.WHEN_DRAWN] = "all"
    """Which agents share a network: all, or those of one unit type (a map with several types is needed)."""
    steps: Annotated[int, Free.ON_RESUME | Free.WHEN_DRAWN] = 2_000_000
    """Environment steps to train for; one step is all agents acting once."""
    seed: Annotated[int, Free.WHEN_DRAWN] = 0
    """Seed of everything: weights, battles, exploration, replay."""
    run_dir: Annotated[Path | None, Free.EVERYWHERE] = None
    """Where the run is written; runs/MAP-ALGORITHM-seedSEED when not given."""
    resume: Annotated[Path | None, Free.EVERYWHERE] = None
    """Continue the run in this directory with its settings; --steps and --until-win-rate may differ."""
    envs: int = 8
    """Battles played side by side; the ratio of updates to episodes does not depend on it."""
    device: Annotated[str, Free.EVERYWHERE] = "cpu"
    """Where the networks live: cpu or cuda."""
    threads: Annotated[int, Free.EVERYWHERE] = field(default_factory=learner_threads)
    """Into how many parts the learner splits a batch, each on a thread of its own; two where there are two
    cores. A seeded run repeats itself with the same number."""
    until_win_rate: Annotated[float | None, Free.ON_RESUME | Free.WHEN_DRAWN] = None
    """Stop once two evaluations in a row reach this win rate."""
    overlap: Literal["on", "off"] = "off"
    """on: play the next round while the learner learns, with weights that lack that round's updates; off: the
    paper's strict order, play, then learn."""
    rollout_workers: Annotated[int, Free.EVERYWHERE] = 0
    """Processes that play, each with an environment of its own, through Ray; 0: play in this process."""
    ray_address: Annotated[str | None, Free.EVERYWHERE] = None
    """The Ray cluster on which they run; one of its own on this machine when not given."""
    keep_checkpoints: Annotated[int, Free.EVERYWHERE] = 3
    """How many of the latest checkpoints to keep, so that a damaged one costs little."""
    replay_memory: Annotated[float, Free.EVERYWHERE] = 8.0
    """GiB of replay held in memory; what is more lies in the run directory and is read from there."""
    replay_dtype: Literal["float32", "float16"] = "float32"
    """How replay keeps observations and states; float16 takes half the room and rounds to three digits."""

    batch_episodes: int = 32
    """Episodes per gradient update."""
    replay_episodes: int = 5_000
    """Whole episodes kept for replay."""
    updates_per_episode: Annotated[int | None, Free.BETWEEN_ALGORITHMS] = None
    """Gradient updates after every episode; the algorithm's own when not given (LAN 2, PyMARL's 1)."""
    first_update_episodes: Annotated[int | None, Free.BETWEEN_ALGORITHMS] = None
    """Episodes in replay before the first update; the algorithm's own when not given."""
    optimizer: Annotated[str | None, Free.BETWEEN_ALGORITHMS] = None
    """adam or rmsprop; the algorithm's own when not given (LAN adam, PyMARL's rmsprop)."""
    learning_rate: float = 5e-4
    """The optimiser's step size."""
    gamma: float = 0.99
    """Discount per environment step."""
    grad_norm_clip: float = 10.0
    """Largest norm of the gradient."""
    target_update_interval: int = 200
    """Updates between copies to the target networks."""
    epsilon_start: float = 1.0
    """Exploration at the first step."""
    epsilon_finish: float = 0.05
    """Exploration from epsilon_anneal_steps on."""
    epsilon_anneal_steps: int = 50_000
    """Environment steps over which epsilon falls linearly."""
    eval_interval_steps: int = 10_000
    """Environment steps between evaluations; each also writes a checkpoint."""
    eval_episodes: int = 32
    """Greedy, decentralised episodes per evaluation."""
    log_interval_steps: int = 2_000
    """Environment steps per line of metrics."""
    bootstrap_on_timeout: bool = False
    """Whether a battle that ran out of time counts as going on (published SMAC runs: no)."""
    value_gradient_to_gru: bool = True
    """Whether the value's gradient also flows into the GRU of the advantage network."""

    def __post_init__(self) -> None:
        for name in ("run_dir", "resume"):
            if isinstance(path := getattr(self, name), str):
                object.__setattr__(self, name, Path(path))
        for name, hint in value_types().items():
            check_type(name, hint, getattr(self, name))
        for name in COUNTS:
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"{flag(name)} must be at least 1, not {value}")
        for name in ("gamma", "epsilon_start", "epsilon_finish", "until_win_rate"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1:
                raise InputError(f"{flag(name)} must lie between 0 and 1, not {value}")
        if self.learning_rate <= 0 or self.grad_norm_clip <= 0 or self.epsilon_anneal_steps < 0:
            raise InputError(
                "--learning-rate and --grad-norm-clip must be positive, epsilon's steps not negative"
            )
        if self.replay_episodes < max(self.batch_episodes, self.first_update_episodes or 0):
            raise InputError(
                "--replay-episodes must be at least --batch-episodes and --first-update-episodes"
            )
        if self.optimizer not in (None, *OPTIMIZER_NAMES):
            raise InputError(
                f"--optimizer {self.optimizer!r}: {nearest_names(self.optimizer, OPTIMIZER_NAMES)}"
            )
        if self.replay_memory < 0 or self.rollout_workers < 0:
            raise InputError("--replay-memory and --rollout-workers must not be negative")
        if self.seed < 0:
            raise InputError(f"--seed must not be negative, not {self.seed}")

    def epsilon(self, env_steps: int) -> float:
        """Exploration rate of an episode that starts at `env_steps`."""
        if env_steps >= self.epsilon_anneal_steps:
            return self.epsilon_finish
        share = env_steps / self.epsilon_anneal_steps
        return self.epsilon_start + share * (self.epsilon_finish - self.epsilon_start)

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back; paths as text, `resume` left out."""
        data = asdict(self)
        del data["resume"]
        data["run_dir"] = None if self.run_dir is None else str(self.run_dir)
        return data

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The config that `to_dict` gave; InputError naming fields this version does not know."""
        if unknown := sorted(set(data) - {field.name for field in fields(cls)}):
            raise InputError(f"this version does not know the settings {', '.join(unknown)}")
        return cls(**data)


@dataclass(frozen=True)
class ResolvedConfig(TrainConfig):
    """Settings of one run with nothing left to its algorithm; made by `resolve`, saved with the run."""

    updates_per_episode: int = field(kw_only=True)
    first_update_episodes: int = field(kw_only=True)
    optimizer: str = field(kw_only=True)

    @property
    def environment(self) -> str:
        """The environment's name: the map's, or its variant's without fog where the algorithm wants that."""
        return without_fog(self.map) if ALGORITHMS[self.algorithm].no_fog else self.map


def resolve(config: TrainConfig) -> ResolvedConfig:
    """The same settings with nothing left to the algorithm; InputError for an unknown one."""
    defaults = ALGORITHMS.get(config.algorithm)
    if defaults is None:
        known = nearest_names(config.algorithm, ALGORITHMS)
        raise InputError(f"unknown algorithm {config.algorithm!r}: {known}")
    settings = {field.name: getattr(config, field.name) for field in fields(TrainConfig)}
    left_open = {
        "updates_per_episode": defaults.updates_per_episode,
        "first_update_episodes": max(defaults.first_update_episodes, config.batch_episodes),
        "optimizer": defaults.optimizer,
    }
    for name, default in left_open.items():
        if settings[name] is None:
            settings[name] = default
    return ResolvedConfig(**settings)


@functools.cache
def value_types() -> dict[str, Any]:
    """The type of each setting."""
    return get_type_hints(TrainConfig)


def check_type(name: str, hint: Any, value: object) -> None:
    """InputError when a setting has none of the values, or is of none of the types, that its hint names."""
    known = get_args(hint) or (hint,)
    if get_origin(hint) is Literal:
        fits = value in known
    else:
        fits = isinstance(value, (*known, int) if float in known else known)
    if not fits:
        names = " or ".join(str(getattr(each, "__name__", each)) for each in known)
        raise InputError(f"{flag(name)} must be {names}, not {value!r}")


@functools.cache
def freedoms() -> dict[str, Free]:
    """Where each setting may differ."""
    hints = get_type_hints(TrainConfig, include_extras=True)
    return {
        name: next((mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, Free)), Free(0))
        for name, hint in hints.items()
    }


def may_differ(name: str, where: Free) -> bool:
    """Whether a setting may differ there; one that this version does not know may not."""
    return where in freedoms().get(name, Free(0))


def changes(before: TrainConfig, now: TrainConfig, where: Free) -> list[str]:
    """The settings that differ and may not, as `--seed was 0, now 1`."""
    names = (field.name for field in fields(TrainConfig) if not may_differ(field.name, where))
    return [
        f"{flag(name)} was {getattr(before, name)}, now {getattr(now, name)}"
        for name in names
        if getattr(before, name) != getattr(now, name)
    ]


def check_resumed(saved: ResolvedConfig, asked: ResolvedConfig) -> None:
    """InputError when a resumed run is asked to change a setting that would make it another run."""
    if changed := changes(saved, asked, Free.ON_RESUME):
        raise InputError(
            f"a resumed run keeps its settings: {', '.join(changed)}; "
            "leave it out, or start a new run in another directory"
        )


def learner_name(algorithm: str, sharing: str) -> str:
    """What run directories and curves are called by: the algorithm, and how its agents share networks."""
    return algorithm + ("-by-type" if sharing == "type" else "")


def flag(name: str) -> str:
    """The command line's spelling of a field."""
    return "--" + name.replace("_", "-")
