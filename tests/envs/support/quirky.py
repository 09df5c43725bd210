"""Small parallel environments, each a plain one with one habit of real ones: `parallel_env(quirk=NAME)`.

In the plain one two agents play six steps; action 1 pays 1, and the last info says that the team won.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces

QUIRKS: dict[str, Callable[..., Any]] = {}


def quirk(kind: Callable[..., Any]) -> Callable[..., Any]:
    """Make a class or function known by its name."""
    QUIRKS[kind.__name__] = kind
    return kind


def parallel_env(quirk: str = "Plain", **keywords: Any) -> Any:
    return QUIRKS[quirk](**keywords)


@quirk
class Plain:
    """No base class of PettingZoo's: what counts is what it does."""

    metadata = {"name": "plain"}  # noqa: RUF012
    max_cycles: Any = 6
    possible_agents: Any = ("a", "b")
    length = 6

    def observation_space(self, agent: Any) -> Any:
        return spaces.Box(-1, 1, (2,))

    def action_space(self, agent: Any) -> Any:
        return spaces.Discrete(3)

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        self.t, self.agents, self.played = 0, list(self.possible_agents), list[Any]()
        return self.seen(), self.infos()

    def seen(self) -> Any:
        return {agent: self.sees(agent) for agent in self.agents}

    def sees(self, agent: Any) -> Any:
        return np.array([self.t / 10, len(str(agent))], np.float32)

    def infos(self) -> Any:
        return {agent: self.info(agent) for agent in self.agents}

    def info(self, agent: Any) -> Any:
        return {"won": self.t == self.length}

    def over(self) -> bool:
        return self.t >= self.length

    def rewards(self, actions: Any) -> Any:
        return {agent: float(action == 1) for agent, action in actions.items()}

    def flags(self) -> tuple[Any, Any]:
        return {agent: self.over() for agent in self.agents}, dict.fromkeys(self.agents, False)

    def leave(self) -> None:
        if self.over():
            self.agents = []

    def step(self, actions: Any) -> Any:
        self.t += 1
        self.played.append(actions)
        result = self.seen(), self.rewards(actions), *self.flags(), self.infos()
        self.leave()
        return result

    def close(self) -> None:
        pass


# Masks ---------------------------------------------------------------------------------------------------


class Masked(Plain):
    """Action 0 is never allowed, and action 2 only in every other step."""

    def mask(self) -> Any:
        return np.array([0, 1, self.t % 2], np.int8)

    def step(self, actions: Any) -> Any:
        for agent, action in actions.items():
            if not self.mask()[action]:
                raise ValueError(f"{agent} may not play {action}")
        return super().step(actions)


@quirk
class MaskInInfo(Masked):
    def info(self, agent: Any) -> Any:
        return super().info(agent) | {"action_mask": self.mask()}


@quirk
class MaskInDict(Masked):
    def observation_space(self, agent: Any) -> Any:
        box = super().observation_space(agent)
        return spaces.Dict({"observation": box, "action_mask": spaces.MultiBinary(3)})

    def sees(self, agent: Any) -> Any:
        return {"observation": super().sees(agent), "action_mask": self.mask()}


@quirk
class MaskDeepInDict(Masked):
    def observation_space(self, agent: Any) -> Any:
        inner = spaces.Dict({"x": super().observation_space(agent), "action_mask": spaces.MultiBinary(3)})
        return spaces.Dict({"agent": inner, "clock": spaces.Discrete(7)})

    def sees(self, agent: Any) -> Any:
        return {"agent": {"x": super().sees(agent), "action_mask": self.mask()}, "clock": self.t}


@quirk
class MaskMissing(MaskInDict):
    def sees(self, agent: Any) -> Any:
        return {"observation": Plain.sees(self, agent)}


@quirk
class MaskTooShort(MaskInInfo):
    def mask(self) -> Any:
        return [1, 1]


@quirk
class MaskOfOdds(MaskInInfo):
    def mask(self) -> Any:
        return [0.5, 0.5, 0]


@quirk
class MaskOfNone(Plain):
    """Nobody may do anything in step 2: gymnasium then takes the first action."""

    def info(self, agent: Any) -> Any:
        return {"action_mask": np.full(3, self.t != 1, np.int8)}


# Agents --------------------------------------------------------------------------------------------------


@quirk
class KeepsAgents(Plain):
    """`agents` stays full, as the tutorial's did, and every step after the end costs 50."""

    max_cycles = None

    def leave(self) -> None:
        pass

    def rewards(self, actions: Any) -> Any:
        return dict.fromkeys(actions, -50.0) if self.t > self.length else super().rewards(actions)


@quirk
class EndsOneByOne(KeepsAgents):
    """Each agent's end is told once, in the step that it comes."""

    def flags(self) -> tuple[Any, Any]:
        return {"a": self.t == 3, "b": self.t == 6}, dict.fromkeys("ab", False)


@quirk
class Late(Plain):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        super().reset()
        self.agents = ["b"]
        return self.seen(), self.infos()

    def step(self, actions: Any) -> Any:
        if self.t == 1:
            self.agents = ["a", "b"]
        self.t += 1
        self.played.append(actions)
        acted = {agent: actions.get(agent, 0) for agent in self.agents}
        result = self.seen(), self.rewards(acted), *self.flags(), self.infos()
        self.leave()
        return result


@quirk
class ComesBack(Plain):
    """`a` is away in the steps 3 and 4, after it was terminated."""

    def step(self, actions: Any) -> Any:
        *result, infos = super().step(actions)
        if self.t == 2:
            result[2]["a"] = True
        if self.t in (2, 3):
            self.agents = ["b"]
            result[0].pop("a", None)
        elif self.t == 4:
            self.agents = ["a", "b"]
            result[0]["a"] = self.sees("a")
        return *result, infos


@quirk
class Newcomer(Plain):
    def step(self, actions: Any) -> Any:
        result = super().step(actions)
        if self.t == 2:
            self.agents.append("stranger")
        return result


@quirk
class NobodyThere(Plain):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        super().reset()
        self.agents = []
        return {}, {}


@quirk
class NobodySometimes(Plain):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        first = super().reset()
        if seed is None or seed % 2:
            self.agents = []
            return {}, {}
        return first


@quirk
class Nobody(Plain):
    possible_agents = ()


@quirk
class TwiceTheSame(Plain):
    possible_agents = ("a", "a")


@quirk
class TooMany(Plain):
    possible_agents = range(5000)


@quirk
class NoTeam(Plain):
    possible_agents = property()  # as where it is set in reset


@quirk
class Alone(Plain):
    possible_agents = ("a",)


@quirk
class OddNames(Plain):
    possible_agents = (("red", 0), 7)


@quirk
class Forgetful(Plain):
    """Where `agents` is made only by step."""

    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        result = super().reset()
        del self.agents
        return result


# Spaces --------------------------------------------------------------------------------------------------


@quirk
class Manifold(Plain):
    """A Dict of all that can be flattened, from another space object at every call."""

    def observation_space(self, agent: Any) -> Any:
        return spaces.Dict(
            image=spaces.Box(0, 255, (2, 2, 3), np.uint8),
            far=spaces.Box(-np.inf, np.inf, (1,), np.float64),
            kinds=spaces.MultiDiscrete([2, 3]),
            pair=spaces.Tuple([spaces.Discrete(2, start=5), spaces.MultiBinary(2)]),
        )

    def sees(self, agent: Any) -> Any:
        image = np.full((2, 2, 3), 200, np.uint8)
        return {"image": image, "far": [1e30], "kinds": np.array([1, 2]), "pair": (6, [0, 1])}


@quirk
class Unequal(Plain):
    def observation_space(self, agent: Any) -> Any:
        return spaces.Box(-1, 1, (2 if agent == "a" else 5,))

    def action_space(self, agent: Any) -> Any:
        return spaces.Discrete(1 if agent == "a" else 3)

    def sees(self, agent: Any) -> Any:
        return np.ones(2 if agent == "a" else 5)


@quirk
class ActionsFromFive(Plain):
    def action_space(self, agent: Any) -> Any:
        return spaces.Discrete(3, start=5)

    def rewards(self, actions: Any) -> Any:
        assert set(actions.values()) <= {5, 6, 7}
        return {agent: float(action == 6) for agent, action in actions.items()}


@quirk
class OneAction(Plain):
    def action_space(self, agent: Any) -> Any:
        return spaces.Discrete(1)


@quirk
class ManyActions(Plain):
    def action_space(self, agent: Any) -> Any:
        return spaces.Discrete(300)


@quirk
class OtherActions(Plain):
    kind: Any = spaces.MultiDiscrete([2, 2])

    def action_space(self, agent: Any) -> Any:
        return self.kind


@quirk
class BoxActions(OtherActions):
    kind = spaces.Box(-1, 1, (2,))


@quirk
class Words(Plain):
    def observation_space(self, agent: Any) -> Any:
        return spaces.Text(5)


@quirk
class Nets(Plain):
    def observation_space(self, agent: Any) -> Any:
        return spaces.Dict(net=spaces.Graph(spaces.Box(-1, 1, (2,)), None))


@quirk
class Huge(Plain):
    def observation_space(self, agent: Any) -> Any:
        return spaces.Box(0, 255, (280, 480, 3), np.uint8)


@quirk
class Blind(Plain):
    def observation_space(self, agent: Any) -> Any:
        return spaces.Box(0, 1, (0,))


@quirk
class NoSpaces(Plain):
    observation_space: Any = None


@quirk
class SpaceRaises(Plain):
    def action_space(self, agent: Any) -> Any:
        raise KeyError(agent)


# What is seen, paid and told ------------------------------------------------------------------------------


@quirk
class OutOfBounds(Plain):
    def sees(self, agent: Any) -> Any:
        return super().sees(agent) * 100


@quirk
class SeesAsDict(Plain):
    def sees(self, agent: Any) -> Any:
        return {"observation": super().sees(agent)}


@quirk
class SeesTooLittle(Plain):
    def sees(self, agent: Any) -> Any:
        return super().sees(agent)[: 2 - (self.t == 3)]


@quirk
class SeesNan(Plain):
    def sees(self, agent: Any) -> Any:
        return super().sees(agent) * (np.nan if self.t == 3 and agent == "b" else 1)


@quirk
class SeesTooFar(Plain):
    def sees(self, agent: Any) -> Any:
        return super().sees(agent) + np.array([0, 1e300])


@quirk
class SeesNothing(Plain):
    def seen(self) -> Any:
        return {"a": self.sees("a")} if self.t == 3 else super().seen()


@quirk
class PaysNan(Plain):
    def rewards(self, actions: Any) -> Any:
        return super().rewards(actions) | ({"b": float("-inf")} if self.t == 3 else {})


@quirk
class PaysNone(Plain):
    def rewards(self, actions: Any) -> Any:
        return dict.fromkeys(actions)


@quirk
class PaysNobody(Plain):
    def rewards(self, actions: Any) -> Any:
        return {}


@quirk
class PaysStrangers(Plain):
    def rewards(self, actions: Any) -> Any:
        return super().rewards(actions) | {"common": 3.0}


@quirk
class PaysArrays(Plain):
    def rewards(self, actions: Any) -> Any:
        return {"a": np.array([actions["a"] == 1]), "b": np.int64(actions["b"] == 1)}


@quirk
class PaysOneNumber(Plain):
    def rewards(self, actions: Any) -> Any:
        return 1.0


@quirk
class NoFlags(Plain):
    def flags(self) -> tuple[Any, Any]:
        return {}, {}


@quirk
class FlagsAreOne(Plain):
    def flags(self) -> tuple[Any, Any]:
        return False, False


@quirk
class TimeOut(Plain):
    def flags(self) -> tuple[Any, Any]:
        return super().flags()[::-1]


@quirk
class NoInfos(Plain):
    def infos(self) -> Any:
        return {}


@quirk
class CommonInfo(Plain):
    def infos(self) -> Any:
        return super().infos() | {"common": "six steps", "a": None}


@quirk
class Overwrites(Plain):
    """Shows the same array every time, and writes it over."""

    def sees(self, agent: Any) -> Any:
        self.shown = getattr(self, "shown", np.zeros(2, np.float32))
        self.shown[:] = super().sees(agent)
        return self.shown


# The API of before, and what is no API ---------------------------------------------------------------------


@quirk
class ResetAlone(Plain):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        return super().reset()[0]  # a dict of two is no pair


@quirk
class ResetWithoutSeed(Plain):
    def reset(self) -> Any:  # type: ignore[override]
        return super().reset()


@quirk
class FourValues(Plain):
    def step(self, actions: Any) -> Any:
        observations, rewards, ended, _, infos = super().step(actions)
        return observations, rewards, ended, infos


@quirk
class StepRaises(Plain):
    def step(self, actions: Any) -> Any:
        if self.t == 2:
            return {}["a\nlocked door"]
        return super().step(actions)


@quirk
class StepExits(Plain):
    def step(self, actions: Any) -> Any:
        raise SystemExit(0)


@quirk
class ResetRaises(Plain):
    def reset(self, seed: int | None = None, options: Any = None) -> Any:
        raise RuntimeError("no display")


@quirk
class CloseRaises(Plain):
    def close(self) -> None:
        raise OSError("closed before")


@quirk
class Turns(Plain):
    def agent_iter(self) -> Any:
        return iter(self.agents)


@quirk
class OddLimit(Plain):
    max_cycles = -3


@quirk
class WordyLimit(Plain):
    max_cycles = "many"


@quirk
class NoLimit(Plain):
    max_cycles = float("inf")


@quirk
def nothing() -> None:
    return None


ONLY = Plain()


@quirk
def the_only_one() -> Plain:
    return ONLY


# State ------------------------------------------------------------------------------------------------------


@quirk
class StateInDict(Plain):
    state: Any = {"a": 0}  # noqa: RUF012


@quirk
class StateIsArray(Plain):
    @property
    def state(self) -> Any:
        return np.array([[self.t, 1.0, 2.0]])


@quirk
class StateIsNumber(Plain):
    def state(self) -> Any:
        return self.t


@quirk
class StateGivesDict(Plain):
    def state(self) -> Any:
        return {"t": self.t}


@quirk
class StateNotImplemented(Plain):
    def state(self) -> Any:
        raise NotImplementedError


@quirk
class StateRaises(Plain):
    def state(self) -> Any:
        raise RuntimeError("no picture")


@quirk
class StateShrinks(Plain):
    def state(self) -> Any:
        return np.zeros(2 * len(self.agents))


@quirk
class StateNan(Plain):
    def state(self) -> Any:
        return np.array([self.t, np.nan if self.t == 3 else 0])
