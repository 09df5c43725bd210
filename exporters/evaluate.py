"""`lan-eval`: greedy battles in one process, of a checkpoint, a model file or a scripted team."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from envs.command import is_said, run_command
from envs.errors import InputError
from envs.outcomes import summarise
from envs.outputs import PAGES, check_apart, check_output
from envs.printing import print_result
from envs.smac.maps import MAP_SCRIPT
from envs.smac.own_maps import take_map
from envs.stopping import StopWish, stop_wish
from envs.text import one_line
from envs.types import MultiAgentEnv
from exporters.absolute import best_of, check_mark, flags_of, mark_of, save
from exporters.contestants import (
    Contestant,
    onnx_contestant,
    playing_field,
    scripted_contestant,
    torch_contestant,
)

if TYPE_CHECKING:
    from envs.outcomes import EpisodeStats

N_BATTLES = 32
"""Battles side by side; the episodes do not depend on it."""


@dataclass(frozen=True)
class EvaluateConfig:
    """Flags of `lan-eval`."""

    ckpt: Path | None = None
    """Checkpoint (run.pt) or run directory to evaluate with torch."""
    model: Path | None = None
    """Or: model file to evaluate with onnxruntime."""
    team: str | None = None
    """Or: scripted team to play --map in the simulator: random, nearest, focus, kite, heuristic (SMAC's)."""
    absolute: Path | None = None
    """Or: run directory whose best.pt plays the absolute metric's 320 battles; writes absolute.json there."""
    episodes: int = 32
    """Battles to play."""
    seed: int = 0
    """Seed of the battles."""
    map: str | None = None
    """Map that --team plays, by name or file (NAME.json).

    With --ckpt or --model only to confirm an environment that is code (pettingzoo:...).
    """
    env: str | None = None
    """Backend that plays the battles: auto, sim, sc2, smac or smacv2; by default that of the training."""
    opponent: str = MAP_SCRIPT
    """Who commands the enemies: map (its own order), a scripted team's name, a checkpoint or a model file."""
    record: Path | None = None
    """HTML page to write, on which the first battles can be watched; NAME.svg: the first, as a picture."""
    dataset: Path | None = None
    """File to write, NAME.npz: every step of every battle, for offline learners."""
    json: Annotated[bool, tyro.conf.FlagCreatePairsOff] = False
    """Print one JSON object instead of lines."""


@dataclass(frozen=True)
class Evaluation:
    """The outcome of the battles; `win_rate_interval` is Wilson's 95 % interval, returns are undiscounted."""

    map: str
    backend: str
    player: str
    opponent: str
    seed: int
    episodes_wanted: int
    episodes: int
    won: int
    win_rate: float
    win_rate_interval: tuple[float, float]
    return_mean: float
    episode_steps_mean: float


def main(argv: Sequence[str] | None = None) -> int:
    """The command; returns its exit code: 0 played, 1 not printed, 2 bad input, 128 + a signal."""
    words = list(sys.argv[1:] if argv is None else argv)
    with stop_wish() as stop:
        return run_command(
            EvaluateConfig,
            lambda config: run(config, stop, words),
            prog="lan-eval",
            description="Play greedy, decentralised battles in one process and report the win rate.",
            argv=words,
            listing=True,
            stop=stop,
        )


def run(config: EvaluateConfig, stop: StopWish, words: Sequence[str]) -> int:
    """Evaluate, and print what was played, however that ends; InputError as `evaluate`."""
    is_printed = True
    if config.absolute is not None:
        said = [name for name in vars(config) if is_said(name, words)]
        config = replace(config, **flags_of(config.absolute, said))
    mark = (0, "") if config.absolute is None else mark_of(config.absolute)
    player = contestant(config)
    if config.absolute is not None:
        check_mark(config.absolute, mark)
    stats: list[EpisodeStats] = []
    try:
        evaluate(player, config, stats)
        if config.record is not None:
            print(f"recorded in {one_line(config.record)}", file=sys.stderr)
        if config.dataset is not None:
            print(f"{len(stats)} battles written to {one_line(config.dataset)}", file=sys.stderr)
        if config.absolute is not None:
            print(f"written to {one_line(save(config.absolute, mark, stats))}", file=sys.stderr)
    finally:
        stop.settle()
        if stats:
            evaluation = describe(stats, player, config)
            text = json.dumps(asdict(evaluation)) if config.json else lines_of(evaluation)
            is_printed = print_result(text + "\n", prog="lan-eval")
    return 0 if is_printed else 1


def contestant(config: EvaluateConfig) -> Contestant:
    """The player that the flags name; InputError unless they name exactly one."""
    given = [config.ckpt, config.model, config.team, config.absolute]
    if sum(each is not None for each in given) != 1:
        raise InputError("give one of --ckpt FILE, --model FILE, --team NAME --map MAP, or --absolute RUN")
    if config.absolute is not None:
        return torch_contestant(best_of(config.absolute))
    if config.ckpt is not None:
        return torch_contestant(config.ckpt)
    if config.model is not None:
        return onnx_contestant(config.model)
    return scripted_contestant(str(config.team), config.map)


def evaluate(
    contestant: Contestant, config: EvaluateConfig, stats: list[EpisodeStats] | None = None
) -> Evaluation:
    """Play the episodes 0 … n - 1 of the seed; InputError when the environment is not the contestant's.

    However it ends, `stats` holds the episodes that were played.
    """
    from exporters.environment import environment_of

    if config.episodes < 1:
        raise InputError(f"--episodes {config.episodes}: at least 1 is needed")
    if not 0 <= config.seed < 2**64:
        raise InputError(f"--seed {config.seed}: a seed is 0 or more, and less than 2^64")
    backend, stats = backend_of(contestant, config), [] if stats is None else stats
    if config.team is not None and backend != "sim":
        raise InputError(f"--team {config.team} knows the simulator's units only: say --env sim")
    if config.record is not None:
        check_record(config.record, contestant.spec.name, backend)
    if config.dataset is not None:
        from exporters.battle_data import check_dataset

        check_dataset(config.dataset)
        if contestant.attacks_anywhere:
            raise InputError(
                f"--dataset {config.dataset}: {contestant.name} attacks at any distance, which no agent can"
            )
    opponent = None if config.opponent == MAP_SCRIPT else Path(config.opponent)
    read = {"--ckpt": config.ckpt, "--model": config.model, "--absolute": config.absolute}
    check_apart({**read, "--opponent": opponent}, {"--record": config.record, "--dataset": config.dataset})
    env = environment_of(
        contestant.spec,
        backend,
        named=config.map,
        n_battles=1 if config.record else min(N_BATTLES, config.episodes),
        seed=config.seed,
    )
    with env:
        if config.opponent != MAP_SCRIPT:  # the command that needs no simulator imports none
            from exporters.opponents import with_opponent

            env = with_opponent(env, config.opponent, backend, config.seed)
        play_episodes(env, contestant, config, stats)
    return describe(stats, contestant, config)


def backend_of(contestant: Contestant, config: EvaluateConfig) -> str:
    """The backend that plays the battles."""
    from envs.make import resolve_backend

    return resolve_backend(config.env or contestant.backend, contestant.spec.name)


def check_record(path: Path, map_name: str, backend: str) -> None:
    """InputError unless battles of an environment can be recorded as a page."""
    from envs.make import SHOWS_UNITS
    from envs.plain import is_smac_map

    check_output("--record", path)
    if path.suffix.lower() not in PAGES:
        raise InputError(f"--record {path}: battles are recorded as NAME{' or NAME'.join(PAGES)}")
    if not is_smac_map(map_name):
        raise InputError(f"--record {path}: a page shows battles on SMAC's maps only, and not {map_name}")
    if backend not in SHOWS_UNITS:
        raise InputError(f"--record {path}: --env {backend} shows no units; --env sim and sc2 do")


def play_episodes(
    env: MultiAgentEnv, contestant: Contestant, config: EvaluateConfig, stats: list[EpisodeStats]
) -> None:
    """Play the episodes in `env` into `stats`, B at a time; with --record, write them as a page."""
    from exporters.battle_data import battle_data
    from exporters.watching import Watchers, recording
    from trainer.playing.rollout import play

    env = playing_field(contestant, env)
    make_team, watchers, data = contestant.make_team(env, config.seed), Watchers(), None
    with contextlib.ExitStack() as stack:
        if config.record is not None:
            record = recording(env, make_team, contestant.name, config.record)
            make_team, watcher = stack.enter_context(record)
            watchers.append(watcher)
        if config.dataset is not None:
            about = {
                "backend": backend_of(contestant, config),
                "player": contestant.name,
                "opponent": config.opponent,
                "seed": config.seed,
                "map_text": take_map(env.spec.name)[1],
            }
            data = stack.enter_context(battle_data(config.dataset.absolute(), env.spec, about))
            watchers.append(data.scribe)
        while len(stats) < config.episodes:
            played = play(env, make_team, min(env.n_battles, config.episodes - len(stats)), watchers)
            stats += played
            if data is not None:
                data.add(played)


def describe(stats: Sequence[EpisodeStats], contestant: Contestant, config: EvaluateConfig) -> Evaluation:
    """Counts and means over the episodes that were played."""
    summary = summarise(stats)
    return Evaluation(
        map=contestant.spec.name,
        backend=backend_of(contestant, config),
        player=contestant.name,
        opponent=config.opponent,
        seed=config.seed,
        episodes_wanted=config.episodes,
        episodes=summary.episodes,
        won=summary.won,
        win_rate=summary.win_rate,
        win_rate_interval=summary.win_rate_interval,
        return_mean=summary.return_mean,
        episode_steps_mean=summary.length_mean_steps,
    )


def lines_of(evaluation: Evaluation) -> str:
    """Three lines for a reader."""
    low, high = evaluation.win_rate_interval
    short = evaluation.episodes < evaluation.episodes_wanted
    played = f"{evaluation.episodes} of {evaluation.episodes_wanted}" if short else evaluation.episodes
    against = "" if evaluation.opponent == MAP_SCRIPT else f" against {one_line(evaluation.opponent)}"
    return (
        f"{evaluation.map} ({evaluation.backend}), {evaluation.player}{against}: {played} battles, "
        f"seed {evaluation.seed}\n"
        f"win rate  {evaluation.win_rate:.1%} ({evaluation.won} of {evaluation.episodes}; "
        f"95 % interval {low:.1%} to {high:.1%})\n"
        f"return    {evaluation.return_mean:.2f}, length {evaluation.episode_steps_mean:.1f} steps (means)"
    )
