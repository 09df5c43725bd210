"""What environments of other people do: followed, or refused in one sentence that names it."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from envs.conformance import check_env, random_actions
from envs.errors import InputError
from envs.make import make_env
from envs.pettingzoo import PettingZooEnv, literal, read_keywords
from envs.text import one_line
from envs.types import TimeStep
from tests.envs.support.quirky import QUIRKS

MODULE = "pettingzoo:tests.envs.support.quirky"

REFUSED_AT_THE_START = {
    "MaskMissing": r"a's observation lacks 'action_mask'",
    "MaskTooShort": r"a's action_mask has 2 numbers, not 3",
    "MaskOfOdds": r"a's action_mask is \[0.5, 0.5, 0\], not made of 0 and 1",
    "NobodyThere": r"it has no agents",
    "Nobody": r"possible_agents is \(\); 1 to 1024 different agents can play",
    "TwiceTheSame": r"possible_agents is \('a', 'a'\); 1 to 1024 different",
    "TooMany": r"possible_agents is range\(0, 5000\); 1 to 1024",
    "NoTeam": r"it has no possible_agents",
    "Forgetful": r"agents raised AttributeError",
    "ManyActions": r"has 300 actions; at most 256 can be learned",
    "OtherActions": r"a has the action space MultiDiscrete.*only discrete actions can be learned",
    "BoxActions": r"a has the action space Box.*only discrete actions can be learned",
    "Words": r"a's observation space is Text.*not understood",
    "Nets": r"a's observation space is Graph.*not understood",
    "Huge": r"a's observation has 403200 features; agents accept at most 14400",
    "Blind": r"no agent observes anything",
    "NoSpaces": r"has no observation_space\(\)",
    "SpaceRaises": r"action_space\('a'\) raised KeyError: 'a' \(quirky.py, line \d+\)",
    "SeesAsDict": r"a's observation is .*, no array of numbers",
    "SeesTooFar": r"a's observation holds 1e\+300, which is no finite number",
    "ResetAlone": r"reset\(\) gives dict, not \(observations, infos\)",
    "ResetWithoutSeed": r"reset\(\) raised TypeError: .*unexpected keyword argument 'seed'",
    "ResetRaises": r"reset\(\) raised RuntimeError: no display \(quirky.py, line \d+\)",
    "Turns": r"whose agents take turns",
    "OddLimit": r"max_cycles is -3, no number of steps",
    "WordyLimit": r"max_cycles raised ValueError",
    "nothing": r"NoneType has no reset\(\)",
    "the_only_one": r"gives the same object again",
    "StateRaises": r"state\(\) raised RuntimeError: no picture \(quirky.py, line \d+\)",
}
REFUSED_AT_A_STEP = {
    "Newcomer": r"at step 2 of episode 0, stranger is in agents, but not in possible_agents.*'a', 'b'",
    "SeesTooLittle": r"at step 3 of episode 0, a's observation has 1 numbers, not 2",
    "SeesNan": r"at step 3 of episode 0, b's observation holds nan",
    "SeesNothing": r"at step 3 of episode 0, b is in agents, but gets no observation",
    "PaysNan": r"at step 3 of episode 0, b's reward holds -inf",
    "PaysNone": r"at step 1 of episode 0, a's reward is None, no array of numbers",
    "PaysNobody": r"at step 1 of episode 0, a acted, but gets no reward",
    "PaysStrangers": r"at step 1 of episode 0, common gets a reward, but is not in possible_agents",
    "PaysOneNumber": r"at step 1 of episode 0, step\(\) gives float as rewards, not a dict by agent",
    "NoFlags": r"at step 1 of episode 0, a acted, but is missing in its terminations",
    "FlagsAreOne": r"at step 1 of episode 0, step\(\) gives bool as terminations, not a dict by agent",
    "FourValues": r"at step 1 of episode 0, step\(\) gives 4 values, not \(observations, rewards, term",
    "StepRaises": r"at step 3 of episode 0, step\(\) raised KeyError: .*locked door' \(quirky.py, line \d+\)",
    "StepExits": r"at step 1 of episode 0, step\(\) raised SystemExit: 0 \(quirky.py, line \d+\)",
    "StateShrinks": r"at step 6 of episode 0, its state has 0 numbers, not 4",
    "StateNan": r"at step 3 of episode 0, its state holds nan",
}
FOLLOWED = sorted(QUIRKS.keys() - REFUSED_AT_THE_START.keys() - REFUSED_AT_A_STEP.keys())


def make(quirk: str, n_battles: int = 1) -> PettingZooEnv:
    env = make_env(f"{MODULE}?quirk={quirk}", n_battles=n_battles, seed=0)
    assert isinstance(env, PettingZooEnv)
    return env


def played(env: Any) -> Any:
    """The actions that reached the first environment in its present episode."""
    return env._guests[0]._env.played


def play(env: PettingZooEnv, seed: int = 0) -> list[TimeStep]:
    rng = np.random.default_rng(seed)
    steps = [env.reset()]
    while not steps[-1].done.all():
        steps.append(env.step(random_actions(steps[-1], rng)))
    return steps


@pytest.mark.parametrize("quirk", sorted(REFUSED_AT_THE_START))
def test_what_cannot_be_played_is_refused_at_the_start(quirk: str) -> None:
    with pytest.raises(InputError, match=f"quirk={quirk}.*{REFUSED_AT_THE_START[quirk]}") as refusal:
        make(quirk, n_battles=2)
    assert len(one_line(refusal.value)) < 400


@pytest.mark.parametrize("quirk", sorted(REFUSED_AT_A_STEP))
def test_what_only_a_step_shows_is_refused_with_its_number(quirk: str) -> None:
    with make(quirk) as env, pytest.raises(InputError, match=REFUSED_AT_A_STEP[quirk]):
        play(env)


@pytest.mark.parametrize("quirk", FOLLOWED)
def test_what_can_be_played_keeps_the_contract(quirk: str) -> None:
    check_env(make(quirk, n_battles=3), episodes=6, seed=1)


@pytest.mark.parametrize("quirk", ["MaskInInfo", "MaskInDict", "MaskDeepInDict"])
def test_masks_are_found_wherever_they_are(quirk: str) -> None:
    steps = play(make(quirk))
    for t, step in enumerate(steps):
        np.testing.assert_array_equal(step.avail_actions[0], [[False, True, t % 2]] * 2)


def test_where_nothing_is_allowed_the_first_action_is() -> None:
    steps = play(make("MaskOfNone"))
    np.testing.assert_array_equal(steps[1].avail_actions[0], [[True, False, False]] * 2)
    assert steps[2].avail_actions.all()


@pytest.mark.parametrize("quirk", ["KeepsAgents", "EndsOneByOne"])
def test_an_episode_is_over_when_all_have_ended_though_agents_stays_full(quirk: str) -> None:
    env = make(quirk)
    assert env.spec.episode_limit == 1000
    steps = play(env)
    assert len(steps) == 7
    assert steps[-1].terminated[0]
    assert sum(step.reward[0] for step in steps) >= 0


def test_agents_may_come_later_and_come_back() -> None:
    for quirk, away in (("Late", (0, 1)), ("ComesBack", (2, 3))):
        env = make(quirk)
        steps = play(env)
        for t, step in enumerate(steps[:-1]):
            assert (step.obs[0, 0].any() and len(step.obs[0, 0]) == 2) == (t not in away), (quirk, t)
            np.testing.assert_array_equal(step.avail_actions[0, 0], [True, t not in away, t not in away])
        assert [t for t, actions in enumerate(played(env)) if "a" not in actions] == list(away)[: len(steps)]


def test_an_episode_without_agents_is_over_at_once() -> None:
    env = make("NobodySometimes")
    lengths = [len(play(env)) - 1 for _ in range(12)]
    assert set(lengths) == {1, 6}


def test_spaces_are_flattened_key_by_key() -> None:
    env = make("Manifold")
    obs = env.reset().obs[0, 0]
    assert env.spec.obs_dim == 12 + 1 + 5 + 2 + 2
    np.testing.assert_array_equal(obs, np.float32([200] * 12 + [1e30] + [0, 1, 0, 0, 1] + [0, 1, 0, 1]))


def test_agents_of_unequal_size_are_filled_up() -> None:
    env = make("Unequal")
    assert (env.spec.obs_dim, env.spec.n_actions) == (5, 3)
    step = env.reset()
    np.testing.assert_array_equal(step.obs[0], [[1, 1, 0, 0, 0], [1] * 5])
    np.testing.assert_array_equal(step.avail_actions[0], [[1, 0, 0], [1, 1, 1]])


def test_actions_may_be_counted_from_any_number() -> None:
    env = make("ActionsFromFive")
    env.reset()
    assert env.step(np.array([[1, 2]])).reward[0] == 0.5
    assert played(env) == [{"a": 6, "b": 7}]


def test_rewards_may_be_of_any_numeric_type() -> None:
    env = make("PaysArrays")
    env.reset()
    assert env.step(np.array([[1, 1]])).reward[0] == 1


def test_a_time_out_is_truncated_and_not_won_by_who_does_not_say_so() -> None:
    assert play(make("TimeOut"))[-1].truncated[0]
    last = play(make("NoInfos"))[-1]
    assert (last.terminated[0], last.won[0]) == (True, False)
    assert play(make("CommonInfo"))[-1].won[0]


def test_an_array_that_is_written_over_was_copied() -> None:
    steps = play(make("Overwrites"))
    np.testing.assert_allclose([step.obs[0, 0, 0] for step in steps], np.arange(7) / 10, atol=1e-6)


@pytest.mark.parametrize(
    ("quirk", "size"),
    [
        ("StateIsArray", 3),
        ("StateIsNumber", 2),  # filled up to a number per agent
        ("StateInDict", 4),
        ("StateGivesDict", 4),
        ("StateNotImplemented", 4),
        ("Plain", 4),
    ],
)
def test_a_state_is_taken_where_it_is_made_of_numbers(quirk: str, size: int) -> None:
    env = make(quirk)
    assert env.spec.state_dim == size
    steps = play(env)
    if size == 4:
        np.testing.assert_array_equal(steps[3].state[0], steps[3].obs[0].ravel())
    else:
        assert steps[3].state[0, 0] == 3


def test_close_may_fail_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), make("CloseRaises", n_battles=2) as env:
        play(env)
    env.close()
    assert [record.getMessage().count("close() raised OSError") for record in caplog.records] == [1, 1]


def test_the_environments_own_error_can_be_had() -> None:
    with make("StepRaises") as env, pytest.raises(InputError) as refusal:
        play(env)
    assert isinstance(refusal.value.__cause__, KeyError)


MODULES = {
    "raises_on_import": ("1 / 0", "cannot be imported: ZeroDivisionError"),
    "exits_on_import": ("import sys; sys.exit('no licence')", "cannot be imported: SystemExit: no licence"),
    "wants_another": ("import no_such_package", "No module named 'no_such_package'"),
    "is_broken": ("def", "cannot be imported: SyntaxError"),
    "takes_turns": ("def env(): pass", "no parallel_env, only env, whose agents take turns"),
    "has_a_number": ("parallel_env = 3", "has no parallel_env"),
    "exits": (
        "def parallel_env():\n    raise SystemExit(3)",
        "parallel_env refuses its keywords: SystemExit",
    ),
}


@pytest.mark.parametrize("module", sorted(MODULES))
def test_modules_that_cannot_be_used(module: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = MODULES[module]
    (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(InputError, match=said):
        make_env(f"pettingzoo:{module}")


def test_what_a_module_prints_goes_to_stderr(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "talks.py").write_text("print('hello')\nfrom tests.envs.support.quirky import parallel_env")
    monkeypatch.syspath_prepend(tmp_path)
    make_env("pettingzoo:talks").close()
    assert capsys.readouterr() == ("", "hello\n")
    sys.modules.pop("talks")


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
def test_pettingzoos_own_game_with_a_state_of_another_kind() -> None:
    check_env(make_env("pettingzoo:pettingzoo.classic.rps_v2", n_battles=2), episodes=3, seed=1)


@pytest.mark.filterwarnings("ignore:The old environment creation API:DeprecationWarning")
@pytest.mark.parametrize(
    "name", ["pettingzoo.classic.tictactoe_v3", "pettingzoo.test.example_envs.generated_agents_parallel_v0"]
)
def test_pettingzoos_own_games_that_cannot_be_played(name: str) -> None:
    with pytest.raises(InputError, match=r"take turns|no possible_agents"):
        make_env(f"pettingzoo:{name}")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3", 3),
        ("(3,4)", (3, 4)),
        ("True", True),
        ("false", False),
        ("none", None),
        ("maps/small", "maps/small"),
        ("(" * 9999, "(" * 9999),
        ("{[]: 1}", "{[]: 1}"),
        ("", ""),
    ],
)
def test_keywords_are_literals_or_text(text: str, value: object) -> None:
    assert literal(text) == value


@pytest.mark.parametrize(
    ("query", "said"),
    [("N", "not written as key=value"), ("N=1&N=2", "a keyword twice"), ("&", "not written")],
)
def test_keywords_that_cannot_be_read(query: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        read_keywords("pettingzoo:x", query)
    assert read_keywords("pettingzoo:x", "a=&b=1") == {"a": "", "b": 1}
