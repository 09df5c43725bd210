"""Teacher-forced 3m: before every step units stand where the real ones stood, and get the recorded actions.

What the simulator makes of one step can so be held against what the real game made of it, step by step,
before small differences have grown into different battles. Enemies keep their own targets and cooldowns,
which no recording shows.
"""

from __future__ import annotations

import math
from itertools import permutations
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.real_game.comparison import Number, Real, Row, compare, ratio
from benchmarks.real_game.recording import RECORDED, Reals, Recording
from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.smac.actions import DIRECTIONS, EAST, FIRST_ATTACK, MOVE_CELLS, NO_OP, NORTH, STOP, WEST
from envs.smac.units import UNITS, UnitType
from envs.types import BoolArray, IntArray

CHASE_BINS_CELLS: Final = ((5.0, 5.25), (5.25, 5.5), (5.5, 6.0), (6.0, 7.0), (7.0, 8.0))
CHASE_FROM_STEP: Final = 10
"""The chase is looked at from here on: before, the enemies march towards the agents anyway."""
HURT_POINTS: Final = 1.0
SHARES: Final = {"damage": 0.02, "agents_walk": 0.03, "enemies_walk": 0.03}
CELLS: Final = {"chase": 0.1, "meeting": 0.25}
"""How far ours may be from the recorded, by the beginning of the metric: as a share, or in cells."""
N: Final = RECORDED.n_agents


class Steps(NamedTuple):
    """K steps of all battles: battle and step [K]; positions [K, 2, U] and health [K, U] before and after.

    `action` [K, N]: the recorded ones.
    """

    battle: IntArray
    step: IntArray
    action: IntArray
    place: Reals
    health: Reals
    place_after: Reals
    health_after: Reals


def forced_rows(recording: Recording, seed: int) -> list[Row]:
    """Our steps beside the recorded ones."""
    steps, our_steps = forced_steps(recording, seed)
    real, ours = numbers_of(steps), numbers_of(our_steps)
    rows = []
    for metric, number in ours.items():
        entry = Real(RECORDED.name, "recorded", metric, *real[metric], battles=recording.n_battles)
        share, cells = (
            next((bound for name, bound in bounds.items() if metric.startswith(name)), math.nan)
            for bounds in (SHARES, CELLS)
        )
        rows.append(compare(RECORDED.name, metric, number, [entry], share=share, absolute=cells))
    alike = Number(hurt_alike(steps, our_steps))
    return [*rows, compare(RECORDED.name, "correlation_of_hits", alike, [])]


def forced_steps(recording: Recording, seed: int) -> tuple[Steps, Steps]:
    """All recorded steps as the real game played them, and as ours plays them from the same places."""
    B = recording.n_battles
    real, ours = [], []
    with BattleEnv(RECORDED, n_battles=B, seed=seed, threads=1) as env:
        env.reset()
        columns = _columns(recording, env.units.x, env.units.y)
        rows = np.arange(B)[:, None]
        for step in range(int(recording.length.max()) - 1):
            at = recording.first + np.minimum(step, recording.length - 2)
            x, y, health = (array[at][rows, columns] for array in recording[2:5])
            env.place(x, y, health, recording.cooldown[at][rows, columns])
            action = recording.action[at]
            order, target, point = _orders(action, x, y, columns)
            env.step_orders(order, target, point)
            going = step < recording.length - 1
            then = at + 1
            before = np.arange(B)[going], np.full(int(going.sum()), step), action[going]
            placed = np.stack([x, y], axis=1)[going], health[going]
            real_after = [array[then][rows, columns] for array in recording[2:5]]
            real.append((*before, *placed, np.stack(real_after[:2], axis=1)[going], real_after[2][going]))
            our_place = np.stack([env.units.x, env.units.y], axis=1)[going]
            ours.append((*before, *placed, our_place, env.units.health[going].copy()))
    return Steps(*map(np.concatenate, zip(*real, strict=True))), Steps(
        *map(np.concatenate, zip(*ours, strict=True))
    )


def _columns(recording: Recording, x: Reals, y: Reals) -> IntArray:
    """[B, U] the recorded column of each of our units: of the enemy that starts where ours does."""
    E = RECORDED.n_enemies
    ways = np.array(list(permutations(range(N, N + E))))  # [ways, E]
    rx, ry = recording.x[recording.first], recording.y[recording.first]
    apart = np.hypot(rx[:, ways] - x[:, None, N:], ry[:, ways] - y[:, None, N:]).sum(axis=-1)  # [B, ways]
    agents = np.broadcast_to(np.arange(N), (len(x), N))
    return np.concatenate([agents, ways[apart.argmin(axis=1)]], axis=1)


def _orders(action: IntArray, x: Reals, y: Reals, columns: IntArray) -> tuple[IntArray, IntArray, Reals]:
    """The orders that SMAC gives for actions [B, N]: order and target [B, N], point [B, N, 2]."""
    order = np.full(action.shape, int(Order.KEEP))
    order[action == STOP] = Order.STOP
    moves = (action >= NORTH) & (action < FIRST_ATTACK)
    order[moves] = Order.MOVE
    aims = np.array(DIRECTIONS)[np.where(moves, action, NO_OP)] * MOVE_CELLS
    point = np.stack([x[:, :N], y[:, :N]], axis=-1) + aims
    point[~moves] = 0.0
    attacks = action >= FIRST_ATTACK
    order[attacks] = Order.ATTACK_UNIT
    recorded = np.where(attacks, N + action - FIRST_ATTACK, columns[:, :1])
    target = (columns[:, None, :] == recorded[..., None]).argmax(axis=-1)
    return order, np.where(attacks, target, -1), point


def numbers_of(steps: Steps) -> dict[str, Number]:
    """What one side's steps come to, a step each, in points and cells.

    damage_to_*; agents_hurt: how many; *_walk of one unit; chase_A_B: an enemy's walk towards the nearest
    agent, A to B cells away from edge to edge; meeting_*: see `_meeting`.
    """
    lost = steps.health - steps.health_after
    found = {
        "damage_to_enemies": _per_step(steps, lost[:, N:].sum(axis=1)),
        "damage_to_agents": _per_step(steps, lost[:, :N].sum(axis=1)),
        "agents_hurt": _per_step(steps, (lost[:, :N] > HURT_POINTS).sum(axis=1)),
    }
    walk = np.hypot(*np.moveaxis(steps.place_after - steps.place, 1, 0))  # [K, U]
    lives = (steps.health > 0) & (steps.health_after > 0)
    for who, units in (("agents", slice(None, N)), ("enemies", slice(N, None))):
        found[f"{who}_walk"] = _mean_of(steps, walk[:, units], lives[:, units])
    near, gap, approach = _chase(steps, lives)
    for low, high in CHASE_BINS_CELLS:
        inside = near & (gap >= low) & (gap < high) & (steps.step >= CHASE_FROM_STEP)[:, None]
        found[f"chase_{low:g}_{high:g}"] = _mean_of(steps, approach, inside)
    return found | _meeting(steps)


def _per_step(steps: Steps, value: npt.NDArray[np.generic]) -> Number:
    return _mean_of(steps, value[:, None].astype(np.float64), np.ones((len(value), 1), np.bool_))


def _mean_of(steps: Steps, value: Reals, counts: BoolArray) -> Number:
    """Mean of value [K, .] where `counts`, with an error over battles."""
    total, count = (
        np.bincount(steps.battle, weights=np.where(counts, part, 0.0).sum(axis=1)).astype(np.float64)
        for part in (value, np.ones_like(value))
    )
    return ratio(total, count)


def _chase(steps: Steps, lives: BoolArray) -> tuple[BoolArray, Reals, Reals]:
    """[K, E] each: whether there is a number, edge distance to the nearest agent, and the walk towards it."""
    agents, enemies = steps.place[:, :, :N], steps.place[:, :, N:]
    way = agents[:, :, None, :] - enemies[:, :, :, None]  # [K, 2, E, N]
    far = np.where(np.isnan(way[:, 0]), np.inf, np.hypot(way[:, 0], way[:, 1]))
    nearest = far.argmin(axis=-1)
    distance = far.min(axis=-1)
    lives_after = np.take_along_axis(lives[:, :N], nearest, axis=1)
    there = lives[:, N:] & lives_after & np.isfinite(distance)
    aim = np.take_along_axis(way, nearest[:, None, :, None], axis=-1)[..., 0]  # [K, 2, E]
    walk = steps.place_after[:, :, N:] - enemies
    approach = (walk * aim).sum(axis=1) / np.where(there, distance, 1.0)
    return there, distance - 2 * UNITS[UnitType.MARINE].radius, approach


def _meeting(steps: Steps) -> dict[str, Number]:
    """Where agents 1 and 2 are after a first step that sends them against each other."""
    meet = (steps.step == 0) & (steps.action[:, 1] == EAST) & (steps.action[:, 2] == WEST)
    moved = (steps.place_after - steps.place)[meet]
    return {
        f"meeting_{agent}_{axis}": ratio(moved[:, k, agent], np.ones(len(moved)))
        for agent in (1, 2)
        for k, axis in enumerate("xy")
    }


def hurt_alike(real: Steps, ours: Steps) -> float:
    """Correlation of each agent's damage in each step, ours with the real one; 1: the same agents are hit."""
    lives = real.health[:, :N] > 0
    theirs, ours_lost = ((side.health - side.health_after)[:, :N][lives] for side in (real, ours))
    return float(np.corrcoef(theirs, ours_lost)[0, 1])
