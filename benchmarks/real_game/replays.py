"""Replays of trained teams in the real game, played again here with the orders that they gave.

A folder holds `MAP_*.json.xz`, each a list of battles with

    complete              a battle that is not is left out
    start_loop, end_loop  the first loop, and the first one after the battle, in the game
    born                  units in creation order: player, 1 the agents or 2
    tags                  of these units
    died                  loop, tag, killer_player (null where the battle's end removed the unit)
    orders                loop, unit, ability [number, ...], x and y in cells, target, a unit

Loops of deaths and orders count from the battle's start.

Ours drift away from the recorded ones: the orders go on as if the battle were the recorded one, and an order
on a unit that has died here changes nothing. So only the beginning can be compared: how far our units are
from where the recorded ones were (an order tells where its target stands, and a move where its unit stands,
two cells behind the point), and the first deaths.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.real_game.comparison import Number, Real, Row, compare, mean
from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.battle.views import Units
from envs.errors import InputError
from envs.files import read_regular
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, MOVE_CELLS, NORTH
from envs.smac.formation import place_groups
from envs.smac.maps import MAP_NAMES, SmacMap, load_map
from envs.smac.units import CUSTOM_TYPE_ORDER, LOOPS_PER_STEP
from envs.text import one_line
from envs.types import IntArray

Reals = npt.NDArray[np.float64]

ORDERS: Final = {40: Order.STOP, 42: Order.MOVE, 45: Order.ATTACK_UNIT, 134: Order.HEAL}
"""By the number of the ability in replays of game version 4.10."""

MOVES: Final = np.array(DIRECTIONS[NORTH:FIRST_ATTACK])
OFF_AT_STEPS: Final = (2, 4, 5, 6, 8)


class Deaths(NamedTuple):
    """Of B battles: loop of the first death of an enemy and of an agent [B], NaN without one."""

    enemies: Reals
    agents: Reals


class Played(NamedTuple):
    """Our battles: deaths, and by step how far enemies and agents are from the recorded places, cells.

    `enemies_off` and `agents_off`: a row of [step, distance] for each place that an order tells.
    """

    deaths: Deaths
    enemies_off: Reals
    agents_off: Reals


class Replay(NamedTuple):
    """B battles of one map over L steps, columns as ours: orders and targets [L, B, N], points [L, B, N, 2].

    A point is where a move leads, or where a target stands. `end_loop` [B]: the first loop after each battle.
    """

    smac_map: SmacMap
    order: IntArray
    target: IntArray
    point: Reals
    end_loop: IntArray
    deaths: Deaths


def replay_rows(map_name: str, path: Path, seed: int) -> list[Row]:
    """Our battles of one map beside the recorded ones."""
    replay = read_replay(map_name, path)
    played = play_again(replay, seed)
    recorded, ours = numbers_of(replay.deaths), numbers_of(played.deaths)
    rows = [
        compare(map_name, metric, ours[metric], [Real(map_name, "trained", metric, *number)])
        for metric, number in recorded.items()
    ]
    for side, off in (("enemies", played.enemies_off), ("agents", played.agents_off)):
        for step, number in off_at_steps(off).items():
            metric = f"{side}_off_at_step_{step}_cells"
            rows.append(compare(map_name, metric, number, [Real(map_name, "trained", metric, 0.0, 0.0)]))
    return rows


def replay_files(folder: Path) -> dict[str, Path]:
    """The replays in a folder by map; InputError when there is none."""
    found = {}
    for path in sorted(folder.glob("*.json.xz")):
        names = [name for name in MAP_NAMES if path.name.startswith(f"{name}_")]
        if not names:
            raise InputError(f"{path}: its name begins with no map's name; call it MAP_NAME.json.xz")
        found[max(names, key=len)] = path
    if not found:
        raise InputError(f"{folder}: no replays, *.json.xz, in this folder")
    return found


def read_replay(map_name: str, path: Path) -> Replay:
    """The complete battles of a file; InputError naming it when it holds none."""
    try:
        battles = json.loads(lzma.decompress(read_regular(path)))
        complete = [battle for battle in battles if battle["complete"]]
        if not complete:
            raise InputError(f"{path}: none of its battles is complete")
        return _replay(load_map(map_name), complete)
    except (
        OSError,
        EOFError,
        lzma.LZMAError,
        ValueError,
        KeyError,
        TypeError,
        IndexError,
        RecursionError,
    ) as error:
        raise InputError(f"{path}: not a replay of {map_name}: {one_line(error)}") from None


def _replay(smac_map: SmacMap, battles: Sequence[dict[str, Any]]) -> Replay:
    N, B = smac_map.n_agents, len(battles)
    end_loop = np.array([battle["end_loop"] - battle["start_loop"] for battle in battles])
    steps = -(-int(end_loop.max()) // LOOPS_PER_STEP)
    order = np.full((steps, B, N), int(Order.KEEP))
    target = np.full((steps, B, N), -1)
    point = np.zeros((steps, B, N, 2))
    columns = our_columns(smac_map)
    for b, battle in enumerate(battles):
        players = [unit["player"] for unit in battle["born"]]
        if players != [1] * N + [2] * smac_map.n_enemies:
            raise ValueError(f"battle {b} has other units")
        for given in battle["orders"]:
            at = given["loop"] // LOOPS_PER_STEP, b, columns[given["unit"]]
            kind = ORDERS.get(given["ability"][0])
            if kind is None:
                raise ValueError(f"ability {given['ability']} is none of {sorted(ORDERS)}")
            order[at] = kind
            if kind != Order.STOP:
                point[at] = given["x"], given["y"]
            if kind in (Order.ATTACK_UNIT, Order.HEAL):
                target[at] = columns[given["target"]]
    return Replay(smac_map, order, target, point, end_loop, _recorded_deaths(battles, N))


def our_columns(smac_map: SmacMap) -> list[int]:
    """Our column of each unit in creation order: agents are numbered by type, x and y."""
    allies = place_groups(smac_map, smac_map.ally_spawns)

    def rank(index: int) -> tuple[int, float, float]:
        unit = allies[index]
        return CUSTOM_TYPE_ORDER.index(unit.unit), unit.point_x + unit.dx, unit.point_y + unit.dy

    ranked = sorted(range(len(allies)), key=rank)
    agents = [ranked.index(index) for index in range(len(allies))]
    return [*agents, *range(len(allies), len(allies) + smac_map.n_enemies)]


def _recorded_deaths(battles: Sequence[dict[str, Any]], N: int) -> Deaths:
    first = np.full((2, len(battles)), np.nan)
    for b, battle in enumerate(battles):
        number = {tuple(tag): unit for unit, tag in enumerate(battle["tags"])}
        for death in battle["died"]:
            if death["killer_player"] is not None:
                side = int(number[tuple(death["tag"])] < N)
                first[side, b] = np.fmin(first[side, b], death["loop"])
    return Deaths(first[0], first[1])


def play_again(replay: Replay, seed: int) -> Played:
    """Our battles under the recorded orders, loop by loop, until the recorded ones end."""
    N, B = replay.smac_map.n_agents, len(replay.end_loop)
    first = np.full((2, B), np.nan)
    off: tuple[list[Reals], list[Reals]] = ([], [])
    keep = np.full((B, N), int(Order.KEEP))
    with BattleEnv(replay.smac_map, n_battles=B, seed=seed, threads=1) as env:
        env.reset()
        for loop in range(int(replay.end_loop.max())):
            step, within = divmod(loop, LOOPS_PER_STEP)
            if within:
                env.step_orders(keep, loops=1)
            else:
                for side, found in zip(off, _places_off(replay, step, env.units), strict=True):
                    side.append(np.stack([np.full(len(found), float(step)), found], axis=1))
                env.step_orders(replay.order[step], replay.target[step], replay.point[step], loops=1)
            fallen = env.units.alive == 0
            counts = np.stack([fallen[:, N:].sum(axis=1), fallen[:, :N].sum(axis=1)])
            first[np.isnan(first) & (counts > 0) & (loop < replay.end_loop)] = loop
    return Played(Deaths(first[0], first[1]), np.concatenate(off[0]), np.concatenate(off[1]))


def _places_off(replay: Replay, step: int, units: Units) -> tuple[Reals, Reals]:
    """How far attacked enemies and moved agents are from where the orders of one step say they are, cells."""
    alive = units.alive > 0
    order, target, point = replay.order[step], replay.target[step], replay.point[step]
    place = np.stack([units.x, units.y], axis=-1)  # [B, U, 2]
    b, i = np.nonzero(order == Order.ATTACK_UNIT)
    told = alive[b, target[b, i]]
    b, i = b[told], i[told]
    enemies = np.linalg.norm(place[b, target[b, i]] - point[b, i], axis=-1)
    b, i = np.nonzero((order == Order.MOVE) & alive[:, : units.n_agents])
    starts = point[b, i, None] - MOVES * MOVE_CELLS  # [., 4, 2]: one of them is where the unit was
    agents = np.linalg.norm(starts - place[b, i, None], axis=-1).min(axis=-1)
    return enemies, agents


def numbers_of(deaths: Deaths) -> dict[str, Number]:
    """Mean times of the first deaths, environment steps."""
    return {
        "first_dead_enemy_steps": mean(deaths.enemies[~np.isnan(deaths.enemies)] / LOOPS_PER_STEP),
        "first_dead_agent_steps": mean(deaths.agents[~np.isnan(deaths.agents)] / LOOPS_PER_STEP),
    }


def off_at_steps(off: Reals) -> dict[int, Number]:
    """Mean distance from the recorded places at each of `OFF_AT_STEPS` of which an order tells one."""
    found = {step: off[off[:, 0] == step, 1] for step in OFF_AT_STEPS}
    return {step: mean(distances) for step, distances in found.items() if len(distances)}
