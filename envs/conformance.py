"""Checks any environment, yours too, against the contract of `MultiAgentEnv`: `check_env(env)`."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from envs.errors import LanError
from envs.types import BoolArray, EnvSpec, IntArray, MultiAgentEnv, TimeStep

_REPLAY_STEPS = 30


class ConformanceError(LanError, AssertionError):
    """An environment breaks the contract of `envs.types.MultiAgentEnv`; the text says where."""


@dataclass(frozen=True)
class Report:
    """What `check_env` played, replays not counted."""

    episodes: int
    env_steps: int
    won: int
    truncated: int


def check_env(env: MultiAgentEnv, *, episodes: int = 4, seed: int = 0, reproducible: bool = True) -> Report:
    """Play random battles on a new environment, check the contract at every step, and close it in any case.

    `episodes` is the least number of episodes played to their end; `seed` draws the actions. `reproducible`
    False leaves out replaying episodes, for a game that cannot be seeded by episode. Raises ConformanceError.
    """
    rng = np.random.default_rng(seed)
    require(hasattr(type(env), "__exit__"), "it is no context manager: see envs.types.ClosesOnExit")
    with env as entered:
        require(entered is env, "`with env` gives another object than the environment")
        _check_start(env)
        if reproducible:
            _check_replay(env, rng)
        _check_refusal(env, rng, reproducible)
        _check_mask(env, rng)
        report = _check_play(env, episodes, rng)
    env.close()  # closing twice is harmless
    return report


def require(condition: object, problem: str) -> None:
    """ConformanceError saying `problem` unless `condition` holds."""
    if not condition:
        raise ConformanceError(problem)


def check_time_step(step: TimeStep, spec: EnvSpec, n_battles: int) -> None:
    """Shapes, types, finite values, masks and flags of one time step."""
    B, N, A = n_battles, spec.n_agents, spec.n_actions
    wanted: dict[str, tuple[tuple[int, ...], type]] = {
        "obs": ((B, N, spec.obs_dim), np.float32),
        "state": ((B, spec.state_dim), np.float32),
        "avail_actions": ((B, N, A), np.bool_),
        "reward": ((B,), np.float32),
        "terminated": ((B,), np.bool_),
        "truncated": ((B,), np.bool_),
        "won": ((B,), np.bool_),
    }
    for name, (shape, dtype) in wanted.items():
        array = getattr(step, name)
        require(isinstance(array, np.ndarray), f"{name} is {type(array).__name__}, not an array")
        require(array.shape == shape, f"{name} has the shape {list(array.shape)}, not {list(shape)}")
        require(array.dtype == dtype, f"{name} is {array.dtype}, not {np.dtype(dtype)}")
        require(np.isfinite(array).all(), f"{name} holds a number that is not finite")
    none = np.argwhere(~step.avail_actions.any(axis=2))
    require(not len(none), f"[battle, agent] {none[:1].tolist()}: no action is available")
    require(not (step.terminated & step.truncated).any(), "a battle is terminated and truncated at once")
    require(not (step.won & ~step.done).any(), "a battle is won that has not ended")


def random_actions(step: TimeStep, rng: np.random.Generator) -> IntArray:
    """[B, N] actions drawn uniformly from the available ones."""
    scores = rng.random(step.avail_actions.shape)
    actions: IntArray = np.where(step.avail_actions, scores, -1.0).argmax(axis=2)
    return actions


def _check_start(env: MultiAgentEnv) -> None:
    """The spec is sound, and the first reset starts every battle."""
    spec = env.spec
    require(EnvSpec.from_json(spec.to_json()) == spec, "the spec does not survive its JSON form")
    for field in fields(spec):
        value = getattr(spec, field.name)
        require(field.name == "name" or value >= 1, f"spec.{field.name} is {value!r}, less than 1")
    require(spec.n_agents * spec.unit_dim <= spec.state_dim, "the agents' slices do not fit in the state")
    require(env.n_battles >= 1, f"n_battles is {env.n_battles}")
    require(hasattr(env, "idle_actions"), "it has no idle_actions: see envs.types.MultiAgentEnv")
    idle: object = env.idle_actions
    is_sound = isinstance(idle, tuple) and all(type(a) is int and 0 <= a < spec.n_actions for a in idle)
    require(is_sound, f"idle_actions is {idle!r}, no tuple of actions")
    require(env.next_episode == 0, f"next_episode begins at {env.next_episode}, not 0")
    _check_started(env, env.reset(), np.ones(env.n_battles, np.bool_), 0)


def _step(env: MultiAgentEnv, actions: IntArray) -> TimeStep:
    step = env.step(actions)
    check_time_step(step, env.spec, env.n_battles)
    return step


def _check_started(env: MultiAgentEnv, step: TimeStep, mask: BoolArray, first_episode: int) -> None:
    """After a reset of the slots of `mask` they run, rewards are 0, and episodes are counted."""
    check_time_step(step, env.spec, env.n_battles)
    require(not step.done[mask].any(), "a battle has ended before its first step")
    require(not step.reward.any(), "a reset gives a reward")
    counted = env.next_episode - first_episode
    require(counted == mask.sum(), f"resetting {mask.sum()} slots counts next_episode on by {counted}")


def _check_play(env: MultiAgentEnv, episodes: int, rng: np.random.Generator) -> Report:
    """Battles end by themselves or at the limit, stay as they ended, and can be reset one by one."""
    spec, B = env.spec, env.n_battles
    step = env.reset()
    length = np.zeros(B, np.int64)
    finished = won = truncated = env_steps = 0
    while finished < episodes:
        ended = step.done
        if ended.all() or (ended.any() and rng.random() < 0.5):
            step = _partial_reset(env, step, ended)
            length[ended] = 0
            continue
        before, step = step, _step(env, random_actions(step, rng))
        _check_apart(before, step)
        _check_unchanged(before, step, ended)
        require(not step.reward[ended].any(), "a battle that had ended gives a reward")
        length[~ended] += 1
        require(step.done[length >= spec.episode_limit].all(), "a battle goes on at spec.episode_limit")
        now = step.done & ~ended
        env_steps += int((~ended).sum())
        finished += int(now.sum())
        won += int((step.won & now).sum())
        truncated += int((step.truncated & now).sum())
    return Report(finished, env_steps, won, truncated)


def _check_apart(before: TimeStep, after: TimeStep) -> None:
    """Two steps share no memory, since a time step belongs to its caller."""
    for field in fields(TimeStep):
        apart = not np.shares_memory(getattr(before, field.name), getattr(after, field.name))
        require(apart, f"{field.name} of two steps is the same memory: return new arrays")


def _check_unchanged(before: TimeStep, after: TimeStep, slots: BoolArray) -> None:
    """The battles of `slots` show the same as before, except for the reward."""
    for field in fields(TimeStep):
        if field.name != "reward":
            same = np.array_equal(getattr(before, field.name)[slots], getattr(after, field.name)[slots])
            require(same, f"{field.name} changes in a battle that should have stayed as it was")


def _partial_reset(env: MultiAgentEnv, before: TimeStep, mask: BoolArray) -> TimeStep:
    """Reset the slots of `mask`, and check that the others stay."""
    episode = env.next_episode
    step = env.reset(mask)
    _check_started(env, step, mask, episode)
    _check_unchanged(before, step, ~mask)
    return step


def _check_mask(env: MultiAgentEnv, rng: np.random.Generator) -> None:
    """reset(mask) also works while battles run; an empty mask changes nothing."""
    step = _step(env, random_actions(env.reset(), rng))
    none = np.zeros(env.n_battles, np.bool_)
    last = none.copy()
    last[-1] = True
    for mask in (none, last):
        step = _partial_reset(env, step, mask)
    _step(env, random_actions(step, rng))


def _check_replay(env: MultiAgentEnv, rng: np.random.Generator) -> None:
    """An episode set by `next_episode` is the same battle again, when the same actions are played."""
    episode = env.next_episode
    steps = [env.reset()]
    played: list[IntArray] = []
    while len(played) < _REPLAY_STEPS and not steps[-1].done.all():
        played.append(random_actions(steps[-1], rng))
        steps.append(_step(env, played[-1]))
    env.next_episode = episode
    _check_same(steps[0], env.reset(), "episode set by next_episode begins differently")
    for actions, step in zip(played, steps[1:], strict=True):
        _check_same(step, _step(env, actions), "the same episode and actions lead elsewhere")


def _check_refusal(env: MultiAgentEnv, rng: np.random.Generator, reproducible: bool) -> None:
    """An action that is unknown or unavailable is a ValueError, and no battle is advanced by the call.

    The check plays the same episodes twice, once with bad actions among the good.
    """
    episode = env.next_episode
    steps = [env.reset()]
    played: list[IntArray] = []
    while len(played) < min(6, env.spec.episode_limit) and not steps[-1].done.all():
        for bad in _bad_actions(steps[-1], random_actions(steps[-1], rng), env.spec):
            try:
                env.step(bad)
            except ValueError:
                continue
            raise ConformanceError("an action that is not available is played, not refused with ValueError")
        played.append(random_actions(steps[-1], rng))
        steps.append(_step(env, played[-1]))
    if not reproducible:
        return
    env.next_episode = episode
    env.reset()
    for actions, step in zip(played, steps[1:], strict=True):
        _check_same(step, _step(env, actions), "a refused action changes how a battle goes on")


def _bad_actions(step: TimeStep, actions: IntArray, spec: EnvSpec) -> list[IntArray]:
    """Joint actions with one wrong entry each, in the last battle that has not ended."""
    battle = np.flatnonzero(~step.done)[-1]
    wrong = [(spec.n_agents - 1, -1), (0, spec.n_actions)]
    wrong += [(agent, action) for agent, action in np.argwhere(~step.avail_actions[battle])[-1:]]
    bad = []
    for agent, action in wrong:
        changed = actions.copy()
        changed[battle, agent] = action
        bad.append(changed)
    return bad


def _check_same(one: TimeStep, other: TimeStep, problem: str) -> None:
    for field in fields(TimeStep):
        same = np.array_equal(getattr(one, field.name), getattr(other, field.name))
        require(same, f"{field.name}: {problem}")
