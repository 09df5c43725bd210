"""Settings of a training run: `TrainConfig` as asked for, `ResolvedConfig` with every default filled in."""

from __future__ import annotations

import functools
import itertools
import os
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_type_hints

import tyro

from envs.command import nearest_names
from envs.errors import InputError
from envs.make import REWARDS, without_fog
from envs.smac.maps import MAP_SCRIPT
from envs.smac.own_maps import take_map
from trainer.learning.algorithms import ALGORITHMS, NETWORK_NAMES, OPTIMIZER_NAMES
from trainer.marks import COUNT, POSITIVE, SHARE, STEPS, Free, Within, check_value, flag, shown
from trainer.presets import left_open_on

Epsilon = float | Callable[[int], float]
"""An exploration rate that holds for whole episodes, or each step's by its number in the episode."""


def learner_threads() -> int:
    """The learner's default number of threads: at most two, since more have not been measured."""
    return min(2, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


@dataclass(frozen=True)
class TrainConfig:
    """Settings of one run as asked for; the defaults are the LAN paper's, one set for all maps.

    The flags of `lan-train` are made from this class. `Free` marks where a field may differ.
    """

    map: Annotated[str, Free.WHEN_DRAWN] = ""
    """The map to learn: a SMAC map such as 3m, 2s3z or corridor, or the file of one's own, NAME.json."""
    map_text: tyro.conf.Suppress[Annotated[str | None, Free.EVERYWHERE]] = None
    """The map of one's own that --map names, as JSON; filled in from the file, so that it travels."""
    env: Annotated[str, Free.WHEN_DRAWN] = "auto"
    """Backend that plays the battles: auto, sim (embedded), sc2 (live game), smac or smacv2 (packages)."""
    opponent: str = MAP_SCRIPT
    """Who commands the enemies: map, a scripted team's name (focus, ...), a checkpoint or a model file."""
    reward: str | None = None
    """Training battles' reward: map, or smacv2, which pays for no healed enemy (paper map, fast smacv2)."""
    algorithm: Annotated[str, Free.WHEN_DRAWN] = "lan"
    """The learner: lan, lan-mean, iql, iql-nofog, vdn, qmix or qplex."""
    preset: str = "paper"
    """Where settings that are not given come from: paper, or fast, which wins in less processor time."""
    sharing: Annotated[Literal["all", "type"], Free.WHEN_DRAWN] = "all"
    """Which agents share a network: all, or those of one unit type (on maps with several types)."""
    network: str | None = None
    """flat, the paper's, or entity, which reads each enemy by the same layer (paper flat, fast entity)."""
    steps: Annotated[int, Free.ON_RESUME | Free.WHEN_DRAWN, STEPS] = 2_000_000
    """Environment steps to train for; one step is all agents acting once."""
    seed: Annotated[int, Free.WHEN_DRAWN, Within(0, 2**63 - 1)] = 0
    """Seed of weights, battles, exploration and replay."""
    run_dir: Annotated[Path | None, Free.EVERYWHERE] = None
    """Directory to write the run to, by default runs/MAP-ALGORITHM-seedSEED."""
    resume: Annotated[Path | None, Free.EVERYWHERE] = None
    """Continue the run in this directory with its settings; it may get more --steps, and --until-win-rate."""
    init_from: str | None = None
    """Checkpoint whose networks a new run begins with, RUN_DIR/best.pt; by default they are random."""
    envs: Annotated[int | None, Within(1, 10**4)] = None
    """Battles played side by side, by default the preset's (paper 8, fast 64)."""
    device: Annotated[str, Free.EVERYWHERE] = "cpu"
    """Device of the networks: cpu or cuda."""
    threads: Annotated[int, Free.EVERYWHERE, Within(1, 1024)] = field(default_factory=learner_threads)
    """Threads of the learner; each takes a part of the batch. The same seed and number repeat a run."""
    until_win_rate: Annotated[float | None, Free.ON_RESUME | Free.WHEN_DRAWN, SHARE] = None
    """Stop once two evaluations in a row reach this win rate."""
    overlap: Literal["on", "off"] = "off"
    """off: play, then learn, as in the paper; on: play the next round while learning, with older weights."""
    rollout_workers: Annotated[int, Free.EVERYWHERE, Within(0, 10**4)] = 0
    """Ray processes that play the training episodes, one environment each; 0: play in this process."""
    ray_address: Annotated[str | None, Free.EVERYWHERE] = None
    """Ray cluster of the rollout workers; by default one is started on this machine."""
    keep_checkpoints: Annotated[int, Free.EVERYWHERE, COUNT] = 3
    """Number of latest checkpoints to keep, so that a damaged one costs little."""
    replay_memory: Annotated[float, Free.EVERYWHERE, Within(0, 10**6)] = 8.0
    """GiB of replay to hold in memory; the rest is read from the run directory."""
    replay_dtype: Literal["float32", "float16"] = "float32"
    """Number format of observations and states in replay; float16 takes half the memory, three digits."""

    batch_episodes: Annotated[int | None, COUNT] = None
    """Episodes per gradient update, by default the preset's (paper 32, fast 8)."""
    replay_episodes: Annotated[int | None, Within(1, 10**9)] = None
    """Whole episodes kept for replay, by default the preset's (paper 5 000, fast 256)."""
    updates_per_episode: Annotated[float | None, Free.BETWEEN_ALGORITHMS, POSITIVE] = None
    """Gradient updates per episode, by default the preset's (paper: LAN and QPLEX 2, others 1; fast 0.5)."""
    first_update_episodes: Annotated[int | None, Free.BETWEEN_ALGORITHMS, Within(1, 10**9)] = None
    """Episodes in replay before the first update, by default the algorithm's."""
    optimizer: Annotated[str | None, Free.BETWEEN_ALGORITHMS] = None
    """adam or rmsprop, by default the preset's (paper: LAN adam, others rmsprop; fast adam)."""
    learning_rate: Annotated[float, POSITIVE] = 5e-4
    """The optimiser's step size."""
    gamma: Annotated[float, SHARE] = 0.99
    """Discount per environment step."""
    td_lambda: Annotated[float | None, SHARE] = None
    """How far targets look: 0 one step (paper 0), 1 to the episode's end, between a mixture (fast 0.6)."""
    grad_norm_clip: Annotated[float, POSITIVE] = 10.0
    """Largest norm of the gradient."""
    grad_norm: Literal["joint", "each"] = "joint"
    """Whose norm is held: that of all networks' gradients together, or that of each network by itself."""
    initialization: Literal["torch", "orthogonal", "unit-rows"] = "torch"
    """First weights: torch's, orthogonal without biases, or torch's with every row scaled to length 1."""
    target_update_interval: Annotated[int, STEPS] = 200
    """Updates between copies to the target networks."""
    target_tau: Annotated[float | None, SHARE] = None
    """Share of the online weights that targets take per update, instead of copies (paper 0, fast 0.01).

    Where it is above 0, the targets' advantage network is evaluated and deployed: a running mean.
    """
    epsilon_start: Annotated[float, SHARE] = 1.0
    """Exploration rate at the first step."""
    epsilon_finish: Annotated[float, SHARE] = 0.05
    """Exploration rate from --epsilon-anneal-steps on."""
    epsilon_at: Literal["episode", "step"] = "episode"
    """The exploration rate is that of the episode's first step, for all of it (PyMARL), or each step's."""
    epsilon_anneal_steps: Annotated[int | None, Within(0, 10**12)] = None
    """Environment steps over which the exploration rate falls linearly (paper 50 000, fast 100 000)."""
    eval_interval_steps: Annotated[int, STEPS] = 10_000
    """Environment steps between evaluations; each also writes a checkpoint."""
    eval_episodes: Annotated[int, Within(1, 10**5)] = 32
    """Greedy, decentralised episodes per evaluation."""
    log_interval_steps: Annotated[int, STEPS] = 2_000
    """Environment steps per line of metrics."""
    bootstrap_on_timeout: bool = False
    """Learn from a battle that ran out of time as if it went on (published SMAC runs do not)."""
    value_gradient_to_gru: bool = True
    """Let the value's gradient also flow into the advantage network's GRU."""
    value_input: Literal["all", "state", "history"] = "all"
    """LAN's centralized value sees: all (state and every agent's history, the paper's), or one of the two."""

    def __post_init__(self) -> None:
        for name in ("run_dir", "resume"):
            if isinstance(path := getattr(self, name), str):
                object.__setattr__(self, name, Path(path))
        for name in hints():
            check_value(name, getattr(self, name), hints()[name])
        vars(self).update(zip(("map", "map_text"), take_map(self.map, self.map_text), strict=True))
        named = (("reward", REWARDS), ("optimizer", OPTIMIZER_NAMES), ("network", NETWORK_NAMES))
        for name, known in named:
            if (value := getattr(self, name)) not in (None, *known):
                raise InputError(f"--{name} {shown(value)}: {nearest_names(value, known)}")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back; paths as text, `resume` left out."""
        data = {name: value for name, value in vars(self).items() if name != "resume"}
        return data | {"run_dir": None if self.run_dir is None else str(self.run_dir)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The config that `to_dict` gave; InputError naming fields this version does not know."""
        if unknown := sorted(set(data) - {field.name for field in fields(cls)}):
            raise InputError(f"this version does not know the settings {', '.join(unknown)}")
        return cls(**data)


@dataclass(frozen=True)
class ResolvedConfig(TrainConfig):
    """Settings of one run with the algorithm's defaults filled in; made by `resolve`, saved with the run."""

    reward: str = field(kw_only=True)
    network: str = field(kw_only=True)
    envs: int = field(kw_only=True)
    batch_episodes: int = field(kw_only=True)
    td_lambda: float = field(kw_only=True)
    target_tau: float = field(kw_only=True)
    replay_episodes: int = field(kw_only=True)
    updates_per_episode: float = field(kw_only=True)
    first_update_episodes: int = field(kw_only=True)
    optimizer: str = field(kw_only=True)
    epsilon_anneal_steps: int = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        ascending = ("batch_episodes", "first_update_episodes", "replay_episodes")
        for fewer, more in itertools.pairwise(ascending):
            if getattr(self, fewer) > getattr(self, more):
                raise InputError(
                    f"{flag(more)} {getattr(self, more)} must be at least {flag(fewer)}, here "
                    f"{getattr(self, fewer)}: an update draws a batch of different episodes from replay"
                )

    def epsilon(self, env_steps: int) -> float:
        """Exploration rate of an episode that starts at `env_steps`."""
        if env_steps >= self.epsilon_anneal_steps:
            return self.epsilon_finish
        share = env_steps / self.epsilon_anneal_steps
        return self.epsilon_start + share * (self.epsilon_finish - self.epsilon_start)

    def exploration(self, env_steps: int) -> Epsilon:
        """The exploration rate of a round of episodes that starts at `env_steps`.

        Where every step has its own rate, all battles of a round are taken to go on until its end.
        """
        if self.epsilon_at == "episode":
            return self.epsilon(env_steps)
        return functools.partial(self._epsilon_later, env_steps)

    def _epsilon_later(self, env_steps: int, step: int) -> float:
        return self.epsilon(env_steps + step * self.envs)

    @property
    def environment(self) -> str:
        """The environment's name: the map's, or its variant's without fog where the algorithm wants that."""
        return without_fog(self.map) if ALGORITHMS[self.algorithm].no_fog else self.map


def resolve(config: TrainConfig) -> ResolvedConfig:
    """The same settings, those left open filled in; InputError when algorithm or preset is unknown."""
    values = left_open_on(config.map, config.env, config.algorithm, config.preset, config.batch_episodes)
    given = {key: value for key, value in vars(config).items() if value is not None or key not in values}
    return ResolvedConfig(**(values | given))


@functools.cache
def hints() -> dict[str, Any]:
    """The type of each setting, with its `Free` if it has one."""
    return get_type_hints(TrainConfig, include_extras=True)


def may_differ(name: str, where: Free) -> bool:
    """Whether a setting may differ there; one that this version does not know may not."""
    marks = getattr(hints().get(name), "__metadata__", ())
    return any(where in mark for mark in marks if isinstance(mark, Free))


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


def check_used(config: ResolvedConfig, where: Free | None = None) -> None:
    """InputError where a setting was changed that, with the others, changes nothing.

    where: look at the settings alone that may differ there; a run that goes on was given no others.
    """
    central, algorithm = ALGORITHMS[config.algorithm].central, config.algorithm
    only_lan = f"{algorithm} has no centralized value, only lan and lan-mean have"
    unused = {
        "value_input": central != "value" and only_lan,
        "value_gradient_to_gru": (central != "value" and only_lan)
        or (config.value_input == "state" and "with --value-input state the value does not read the GRU"),
        "grad_norm": not central and f"{algorithm} trains one network alone",
        "target_update_interval": config.target_tau > 0
        and f"targets follow by --target-tau {config.target_tau:g} instead of being copied",
        "ray_address": not config.rollout_workers and "it is for --rollout-workers",
    }
    for name, reason in unused.items():
        if where is not None and not may_differ(name, where):
            continue
        if reason and getattr(config, name) != getattr(TrainConfig, name):
            raise InputError(f"{flag(name)} would change nothing: {reason}; leave it out")


def learner_name(algorithm: str, sharing: str) -> str:
    """The name of run directories and curves: the algorithm, and how its agents share networks."""
    return algorithm + ("-by-type" if sharing == "type" else "")


def run_name(config: TrainConfig) -> str:
    """The name of a run's directory, one folder whatever the map's name holds."""
    learner = learner_name(config.algorithm, config.sharing)
    return f"{config.map}-{learner}-seed{config.seed}".replace("/", "_")
