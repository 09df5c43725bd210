"""The conformance checks pass on what we have, and fail on environments that break the contract."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from envs.checkers import SPEC as CHECKERS
from envs.checkers import CheckersEnv
from envs.conformance import ConformanceError, check_env
from envs.errors import InputError
from envs.slots import BatchEnv, SlotEnv
from envs.spread import SpreadEnv, SpreadSettings
from envs.types import BoolArray, ClosesOnExit, IntArray, MultiAgentEnv, TimeStep


def test_checkers_and_spread_pass() -> None:
    for n_battles in (1, 3):
        report = check_env(CheckersEnv(n_battles=n_battles), episodes=2, seed=1)
        assert report.episodes >= 2
        assert report.env_steps > 100
        check_env(SpreadEnv(SpreadSettings(n_agents=3), n_battles=n_battles, seed=5), episodes=4, seed=2)


class Broken(ClosesOnExit):
    """Two boards of Checkers behind a layer that breaks something."""

    def __init__(self) -> None:
        self.env: SlotEnv = CheckersEnv(n_battles=2)
        self.steps = 0
        self.closed = False

    def __getattr__(self, name: str) -> object:
        return getattr(self.env, name)

    def __setattr__(self, name: str, value: object) -> None:
        target = self.__dict__.get("env") if name == "next_episode" else None
        object.__setattr__(target if target is not None else self, name, value)

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        return self.env.reset(mask)

    def step(self, actions: IntArray) -> TimeStep:
        self.steps += 1
        return self.change(self.env.step(actions))

    def change(self, step: TimeStep) -> TimeStep:
        return step

    def close(self) -> None:
        self.env.close()


class WrongType(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, obs=step.obs.astype(np.float64))  # type: ignore[arg-type]


class WrongShape(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, state=step.state[:, :-1])


class NotFinite(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, state=np.full_like(step.state, np.nan))


class NothingAvailable(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, avail_actions=np.zeros_like(step.avail_actions))


class RewardAfterEnd(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, reward=step.reward + step.done.astype(np.float32))


class TwiceEnded(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, terminated=step.done, truncated=step.done)


class WonWithoutEnd(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, won=np.ones_like(step.won))


class NeverEnds(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        running = np.zeros_like(step.done)
        return replace(step, terminated=running, truncated=running, won=running)


class Changeable(Broken):
    """What is shown depends on how often step was called."""

    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, obs=step.obs + np.float32(self.steps))


class DoesNotStayEnded(Broken):
    def change(self, step: TimeStep) -> TimeStep:
        return replace(step, state=step.state + step.done[:, None] * np.float32(self.steps))


class Lenient(Broken):
    def step(self, actions: IntArray) -> TimeStep:
        return super().step(np.clip(actions, 0, 4))


class AdvancesBeforeItRefuses(Broken):
    def step(self, actions: IntArray) -> TimeStep:
        legal = np.clip(actions, 0, 4)
        step = super().step(legal)
        if (legal != actions).any():
            raise ValueError("too late")
        return step


class ResetsEverything(Broken):
    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        before = self.env.next_episode
        step = self.env.reset(None)
        self.env.next_episode = before + (2 if mask is None else int(mask.sum()))
        return step


class MiscountsEpisodes(Broken):
    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        step = self.env.reset(mask)
        self.env.next_episode += 1
        return step


class RewardsReset(Broken):
    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        step = self.env.reset(mask)
        return replace(step, reward=step.reward + 1)


class WritesOverItsSteps(Broken):
    """Shows every step in the same array."""

    def change(self, step: TimeStep) -> TimeStep:
        self.shown = getattr(self, "shown", step.obs)
        self.shown[:] = step.obs
        return replace(step, obs=self.shown)


class ClosesOnce(Broken):
    def close(self) -> None:
        if self.closed:
            raise RuntimeError("closed already")
        self.closed = True


class NoContextManager:
    """Has the methods, but not those that `with` looks for."""

    def __init__(self) -> None:
        self.env = CheckersEnv(n_battles=2)

    def __getattr__(self, name: str) -> object:
        return getattr(self.env, name)


class EntersAnother(Broken):
    def __enter__(self) -> object:  # type: ignore[override]
        return self.env


BROKEN: list[tuple[Callable[[], object], str]] = [
    (WrongType, "obs is float64, not float32"),
    (WrongShape, r"state has the shape \[2, 39\], not \[2, 40\]"),
    (NotFinite, "state holds a number that is not finite"),
    (NothingAvailable, "no action is available"),
    (RewardAfterEnd, "a battle that had ended gives a reward"),
    (TwiceEnded, "terminated and truncated at once"),
    (WonWithoutEnd, "is won that has not ended"),
    (NeverEnds, "goes on at spec.episode_limit"),
    (Changeable, "obs: the same episode and actions lead elsewhere"),
    (DoesNotStayEnded, "state changes in a battle that should have stayed"),
    (Lenient, "is played, not refused with ValueError"),
    (AdvancesBeforeItRefuses, "a refused action changes how a battle goes on"),
    (ResetsEverything, "changes in a battle that should have stayed"),
    (MiscountsEpisodes, "counts next_episode on by 3"),
    (RewardsReset, "a reset gives a reward"),
    (WritesOverItsSteps, "obs of two steps is the same memory"),
    (NoContextManager, "no context manager"),
    (EntersAnother, "gives another object"),
]


@pytest.mark.parametrize(("make", "problem"), BROKEN, ids=[make.__name__ for make, _ in BROKEN])
def test_what_breaks_the_contract_is_found(make: Callable[[], MultiAgentEnv], problem: str) -> None:
    with pytest.raises(ConformanceError, match=problem):
        check_env(make(), episodes=4, seed=3)


@pytest.mark.parametrize("make", [WrongType, Broken])
def test_the_kit_closes_the_environment_in_any_case(make: Callable[[], Broken]) -> None:
    env, closed = make(), []
    env.env.close = lambda: closed.append(True)  # type: ignore[method-assign]
    with contextlib.suppress(ConformanceError):
        check_env(env, episodes=1, seed=3)  # type: ignore[arg-type]
    assert closed


def test_more_actions_than_a_byte_can_tell_apart_are_refused_in_every_environment() -> None:
    class Many(CheckersEnv):
        def __init__(self) -> None:
            BatchEnv.__init__(self, replace(CHECKERS, name="many", n_actions=257), 1)

    with pytest.raises(InputError, match="many has 257 actions; at most 256"):
        Many()


def test_an_environment_has_to_close_twice() -> None:
    with pytest.raises(RuntimeError, match="closed already"):
        check_env(ClosesOnce(), episodes=1, seed=3)  # type: ignore[arg-type]


def test_a_game_without_seeds_may_leave_out_the_replay() -> None:
    class Unseeded(Broken):
        def change(self, step: TimeStep) -> TimeStep:
            noise = np.where(step.done, 0, self.steps).astype(np.float32)
            return replace(step, reward=step.reward + noise)

    with pytest.raises(ConformanceError, match="reward"):
        check_env(Unseeded(), episodes=2, seed=3)  # type: ignore[arg-type]
    assert check_env(Unseeded(), episodes=2, seed=3, reproducible=False).episodes >= 2  # type: ignore[arg-type]
