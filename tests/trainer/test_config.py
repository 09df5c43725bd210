"""Settings: what a run leaves to its algorithm, where each may differ, how exploration falls."""

import inspect
import math
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, get_args

import pytest

from envs.errors import InputError
from trainer.config import (
    ResolvedConfig,
    TrainConfig,
    changes,
    hints,
    may_differ,
    resolve,
    run_name,
)
from trainer.learning.algorithms import ALGORITHMS
from trainer.marks import Free, Within, flag
from trainer.presets import PRESETS, left_open

CHANGES_NO_NUMBER = {
    "run_dir", "resume", "threads", "device", "keep_checkpoints", "replay_memory", "rollout_workers",
    "ray_address", "map_text",
}  # fmt: skip
LEFT_OPEN = set(left_open("lan", "paper"))
LEFT_TO_THE_ALGORITHM = {"updates_per_episode", "first_update_episodes", "optimizer"}


@pytest.mark.parametrize(
    ("env_steps", "epsilon"),
    [(0, 1.0), (12_500, 0.7625), (25_000, 0.525), (49_999, 0.050019), (50_000, 0.05), (10**9, 0.05)],
)
def test_exploration_falls_linearly_and_then_stays(env_steps: int, epsilon: float) -> None:
    assert resolve(TrainConfig()).epsilon(env_steps) == pytest.approx(epsilon, abs=1e-12)


def test_exploration_follows_its_settings() -> None:
    config = resolve(TrainConfig(epsilon_start=0.8, epsilon_finish=0.2, epsilon_anneal_steps=1_000))
    rates = [config.epsilon(steps) for steps in (0, 250, 500, 750, 1_000, 2_000)]
    assert rates == pytest.approx([0.8, 0.65, 0.5, 0.35, 0.2, 0.2], abs=1e-12)
    assert replace(config, epsilon_anneal_steps=0).epsilon(0) == 0.2


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
def test_nothing_is_left_to_the_algorithm_once_resolved(algorithm: str) -> None:
    config = resolve(TrainConfig(map="3m", algorithm=algorithm, batch_episodes=16))
    defaults = ALGORITHMS[algorithm]
    assert config.updates_per_episode == defaults.updates_per_episode
    assert config.optimizer == defaults.optimizer
    assert config.first_update_episodes == max(16, defaults.first_update_episodes)
    assert resolve(config) == config
    assert ResolvedConfig.from_dict(config.to_dict()) == config


def test_what_was_asked_for_is_kept() -> None:
    given: dict[str, Any] = {"envs": 4, "batch_episodes": 9, "replay_episodes": 99}
    given |= {"target_tau": 0.5, "td_lambda": 0.25, "epsilon_anneal_steps": 7, "network": "flat"}
    given |= {"reward": "map"}
    given |= {"updates_per_episode": 0.25, "first_update_episodes": 40, "optimizer": "rmsprop"}
    assert set(given) == LEFT_OPEN
    asked = TrainConfig(preset="fast", gamma=0.9, **given)
    resolved = resolve(asked)
    assert {f.name: getattr(resolved, f.name) for f in fields(TrainConfig)} == vars(asked)
    with pytest.raises(InputError, match="unknown algorithm 'lam': did you mean 'lan'"):
        resolve(TrainConfig(algorithm="lam"))


def test_a_preset_reads_enemies_where_there_are_some() -> None:
    for name, network in (
        ("3m", "entity"),
        ("corridor:no-fog", "entity"),
        ("checkers", "flat"),
        ("spread:3", "flat"),
    ):
        assert resolve(TrainConfig(map=name, preset="fast")).network == network
        assert resolve(TrainConfig(map=name)).network == "flat"
    with pytest.raises(InputError, match="--network 'entitty': did you mean 'entity'"):
        TrainConfig(network="entitty")


@pytest.mark.parametrize(
    ("name", "env", "reward"),
    [
        ("MMM2", "auto", "smacv2"),
        ("corridor:no-fog", "sc2", "smacv2"),
        ("3m", "smac", "map"),  # the package reckons its own
        ("zerg_5_vs_5", "sim", "map"),  # which is SMACv2's
        ("checkers", "sim", "map"),
    ],
)
def test_a_preset_pays_nothing_for_healed_enemies_where_it_can(name: str, env: str, reward: str) -> None:
    assert resolve(TrainConfig(map=name, env=env, preset="fast")).reward == reward
    assert resolve(TrainConfig(map=name, env=env, preset="fast", reward="map")).reward == "map"
    assert resolve(TrainConfig(map=name, env=env)).reward == "map"
    with pytest.raises(InputError, match="--reward 'smacv1': did you mean 'smacv2'"):
        TrainConfig(map=name, env=env, reward="smacv1")


def test_the_papers_preset_is_the_papers_table() -> None:
    paper = resolve(TrainConfig())
    assert paper.reward == "map"
    assert (paper.steps, paper.replay_episodes, paper.batch_episodes) == (2_000_000, 5_000, 32)
    assert (paper.updates_per_episode, paper.optimizer, paper.learning_rate) == (2, "adam", 5e-4)
    assert (paper.grad_norm_clip, paper.target_update_interval, paper.gamma) == (10, 200, 0.99)
    assert (paper.epsilon_start, paper.epsilon_finish, paper.epsilon_anneal_steps) == (1, 0.05, 50_000)
    assert (paper.td_lambda, paper.target_tau) == (0, 0)


@pytest.mark.parametrize("algorithm", list(ALGORITHMS))
@pytest.mark.parametrize("preset", list(PRESETS))
def test_a_preset_fills_in_what_was_left_open_and_only_that(preset: str, algorithm: str) -> None:
    config = resolve(TrainConfig(map="3m", preset=preset, algorithm=algorithm, envs=3))
    for name, value in PRESETS[preset].items():
        if name not in ("envs", "first_update_episodes"):
            assert getattr(config, name) == value
    assert config.envs == 3
    assert resolve(config) == config
    untouched = {field.name for field in fields(TrainConfig)} - LEFT_OPEN - {"preset", "algorithm"}
    paper = resolve(TrainConfig(map="3m", algorithm=algorithm))
    assert [name for name in untouched if getattr(config, name) != getattr(paper, name)] == []


def test_every_setting_that_a_preset_gives_says_so_in_its_help() -> None:
    """The flags' help is made from the docstrings, so they must hold the presets' numbers."""
    source = inspect.getsource(TrainConfig)
    for preset, values in PRESETS.items():
        for name, value in values.items():
            text = source.split(f"    {name}: ")[1].split('"""')[1]
            if name != "first_update_episodes":
                written = value if isinstance(value, str) else f"{value:,g}".replace(",", " ")
                assert re.search(rf"\b{preset}:? [^;)]*{re.escape(written)}\b", text), (preset, name, text)


def test_an_unknown_preset_is_answered_by_the_nearest_names() -> None:
    with pytest.raises(InputError, match="unknown preset 'fsat': did you mean 'fast'"):
        resolve(TrainConfig(map="3m", preset="fsat"))
    with pytest.raises(InputError, match="unknown preset 'FAST': did you mean 'fast'"):
        resolve(TrainConfig(map="3m", preset="FAST"))


def test_every_setting_is_judged_once_for_resuming_drawing_and_sweeps() -> None:
    names = {field.name for field in fields(TrainConfig)}
    free = {where: {name for name in names if may_differ(name, where)} for where in Free}
    assert free[Free.IN_SWEEP] == CHANGES_NO_NUMBER
    assert free[Free.ON_RESUME] == CHANGES_NO_NUMBER | {"steps", "until_win_rate"}
    told_apart = {"map", "env", "algorithm", "sharing", "seed"}  # by the curve, by the backend
    assert free[Free.WHEN_DRAWN] == free[Free.ON_RESUME] | told_apart
    assert free[Free.BETWEEN_ALGORITHMS] == CHANGES_NO_NUMBER | LEFT_TO_THE_ALGORITHM
    assert not may_differ("a setting of another version", Free.WHEN_DRAWN)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("sharing", "types", "--sharing must be all or type, not 'types'"),
        ("overlap", True, "--overlap must be on or off, not True"),
        ("replay_dtype", "int8", "--replay-dtype must be float32 or float16, not 'int8'"),
        ("steps", "100", "--steps must be int, not '100'"),
        ("steps", 1e5, "--steps must be int, not 100000.0"),
        ("map", None, "--map must be str, not None"),
        ("until_win_rate", "0.9", "--until-win-rate must be float or NoneType, not '0.9'"),
        ("bootstrap_on_timeout", "no", "--bootstrap-on-timeout must be bool, not 'no'"),
        ("steps", True, "--steps must be int, not True"),
        ("run_dir", "a\0b", "--run-dir holds a zero byte, which no name can: PosixPath('a\\x00b')"),
    ],
)
def test_values_of_another_type_are_refused_by_the_flags_name(name: str, value: Any, message: str) -> None:
    with pytest.raises(InputError) as refusal:
        TrainConfig(**{name: value})
    assert str(refusal.value) == message


def test_paths_may_be_text_and_rates_whole_numbers() -> None:
    config = TrainConfig(run_dir="runs/a", resume="runs/b", until_win_rate=1)  # type: ignore[arg-type]
    assert (config.run_dir, config.resume) == (Path("runs/a"), Path("runs/b"))
    assert TrainConfig.from_dict(config.to_dict()) == replace(config, resume=None)


def test_changes_are_named_as_flags() -> None:
    before = TrainConfig(map="3m", seed=1, threads=1)
    now = replace(before, seed=2, threads=2, gamma=0.9)
    assert changes(before, now, Free.ON_RESUME) == ["--seed was 1, now 2", "--gamma was 0.99, now 0.9"]


NUMBERS = sorted(
    name for name, hint in hints().items() if any(isinstance(mark, Within) for mark in get_args(hint))
)


@pytest.mark.parametrize("name", NUMBERS)
def test_every_number_has_a_range_and_nothing_beyond_it_is_taken(name: str) -> None:
    (within,) = (mark for mark in get_args(hints()[name]) if isinstance(mark, Within))
    is_whole = isinstance(getattr(resolve(TrainConfig()), name), int)
    beyond: list[float] = [-1, within.high + 1, 10**400, -(10**400)]
    beyond += [] if is_whole else [math.nan, math.inf, -math.inf]
    beyond += [0] if within.without_low or within.low > 0 else []
    for value in beyond:
        with pytest.raises(InputError, match=f"^{flag(name)} must be"):
            TrainConfig(**{name: value})
    for value in (within.high, within.low + 1 if within.without_low else within.low):
        TrainConfig(**{name: type(within.high)(value)})


def test_every_number_of_the_settings_is_in_the_table() -> None:
    defaults = vars(resolve(TrainConfig(until_win_rate=0.5)))
    assert [n for n, v in sorted(defaults.items()) if type(v) in (int, float)] == NUMBERS


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"first_update_episodes": 8},
            "--first-update-episodes 8 must be at least --batch-episodes, here 32",
        ),
        ({"replay_episodes": 8}, "--replay-episodes 8 must be at least --first-update-episodes, here 32"),
        ({"replay_episodes": 50, "algorithm": "qplex"}, "--replay-episodes 50 must be at least"),
        ({"replay_episodes": 99, "first_update_episodes": 100}, "--replay-episodes 99 must be at least"),
    ],
)
def test_settings_under_which_no_update_could_be_made_are_refused(
    settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        resolve(TrainConfig(**settings))


def test_a_runs_name_is_one_folder() -> None:
    assert run_name(TrainConfig(map="3m", sharing="type", seed=4)) == "3m-lan-by-type-seed4"
    assert run_name(TrainConfig(map="pettingzoo:a?path=../b/c")) == "pettingzoo:a?path=.._b_c-lan-seed0"


@pytest.mark.parametrize("name", ["algorithm", "optimizer", "learning_rate", "steps", "gamma"])
@pytest.mark.parametrize("value", ["x" * 10_000, 10**400, ["x" * 10_000]])
def test_a_value_of_any_length_is_a_short_sentence(name: str, value: object) -> None:
    saved = resolve(TrainConfig()).to_dict()
    with pytest.raises(InputError) as caught:
        resolve(TrainConfig.from_dict(saved | {name: value}))
    assert len(str(caught.value)) < 400
