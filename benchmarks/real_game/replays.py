"""Replays of trained teams in the real game, played again here with the orders that they gave.

A folder holds `MAP_*.json.xz`, each a list of battles with

    complete              a battle that is not is left out
    start_loop, end_loop  the first loop, and the first one after the battle, in the game
    born                  units in creation order: player, 1 the agents or 2
    tags                  of these units
    died                  loop, tag, killer_player (null where the battle's end removed the unit)
    orders                loop, unit, ability [number, ...], x and y in cells, target, a unit

Loops of deaths and orders count from the battle's start.

Ours drift away from the recorded ones, so only the beginning can be compared: the first deaths above all. An
order on a unit that has died here changes nothing.
"""

from __future__ import annotations

import json
import lzma
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.real_game.comparison import Number, Real, Row, compare, mean
from envs.battle.env import BattleEnv
from envs.battle.fields import Order
from envs.errors import InputError
from envs.files import read_regular
from envs.smac.formation import place_groups
from envs.smac.maps import MAP_NAMES, SmacMap, load_map
from envs.smac.units import CUSTOM_TYPE_ORDER, LOOPS_PER_STEP
from envs.text import one_line
from envs.types import IntArray

Reals = npt.NDArray[np.float64]

ORDERS: Final = {40: Order.STOP, 42: Order.MOVE, 45: Order.ATTACK_UNIT, 134: Order.HEAL}
"""By the number of the ability in replays of game version 4.10."""


class Deaths(NamedTuple):
    """What became of B battles.

    enemies [B] and agents [B]: loop of the first death, NaN without one; dead_* [B] until the recorded end;
    length [B] loops until the battle ended, or the recorded one did.
    """

    enemies: Reals
    agents: Reals
    dead_enemies: Reals
    dead_agents: Reals
    length: Reals


class Replay(NamedTuple):
    """B battles of one map over L steps, columns as ours: orders and targets [L, B, N], points [L, B, N, 2].

    `end_loop` [B]: the first loop after each battle.
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
    recorded, ours = numbers_of(replay.deaths), numbers_of(play_again(replay, seed))
    entries = [Real(map_name, "trained", metric, *number) for metric, number in recorded.items()]
    return [compare(map_name, entry.metric, ours[entry.metric], [entry]) for entry in entries]


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
            if kind == Order.MOVE:
                point[at] = given["x"], given["y"]
            elif kind != Order.STOP:
                target[at] = columns[given["target"]]
    return Replay(smac_map, order, target, point, end_loop, _recorded_deaths(battles, N, end_loop))


def our_columns(smac_map: SmacMap) -> list[int]:
    """Our column of each unit in creation order: agents are numbered by type, x and y."""
    allies = place_groups(smac_map, smac_map.ally_spawns)

    def rank(index: int) -> tuple[int, float, float]:
        unit = allies[index]
        return CUSTOM_TYPE_ORDER.index(unit.unit), unit.point_x + unit.dx, unit.point_y + unit.dy

    ranked = sorted(range(len(allies)), key=rank)
    agents = [ranked.index(index) for index in range(len(allies))]
    return [*agents, *range(len(allies), len(allies) + smac_map.n_enemies)]


def _recorded_deaths(battles: Sequence[dict[str, Any]], N: int, end_loop: IntArray) -> Deaths:
    first, dead = np.full((2, len(battles)), np.nan), np.zeros((2, len(battles)))
    for b, battle in enumerate(battles):
        number = {tuple(tag): unit for unit, tag in enumerate(battle["tags"])}
        for death in battle["died"]:
            if death["killer_player"] is not None:
                side = int(number[tuple(death["tag"])] < N)
                first[side, b] = np.fmin(first[side, b], death["loop"])
                dead[side, b] += 1
    return Deaths(*first, *dead, end_loop.astype(np.float64))


def play_again(replay: Replay, seed: int) -> Deaths:
    """Our battles under the recorded orders, loop by loop, until the recorded ones end."""
    N, B = replay.smac_map.n_agents, len(replay.end_loop)
    first, dead = np.full((2, B), np.nan), np.zeros((2, B))
    length = replay.end_loop.astype(np.float64)
    keep = np.full((B, N), int(Order.KEEP))
    with BattleEnv(replay.smac_map, n_battles=B, seed=seed, threads=1) as env:
        env.reset()
        for loop in range(int(replay.end_loop.max())):
            step, within = divmod(loop, LOOPS_PER_STEP)
            orders = (replay.order[step], replay.target[step], replay.point[step]) if not within else (keep,)
            shown = env.step_orders(*orders, loops=1)
            going = loop < replay.end_loop
            fallen = env.units.alive == 0
            counts = np.stack([fallen[:, N:].sum(axis=1), fallen[:, :N].sum(axis=1)])
            first[np.isnan(first) & (counts > 0) & going] = loop
            dead[:, going] = counts[:, going]
            length = np.where(going & shown.done, np.minimum(length, loop + 1), length)
    return Deaths(*first, *dead, length)


def numbers_of(deaths: Deaths) -> dict[str, Number]:
    """Means over the battles; times in environment steps."""
    return {
        "first_dead_enemy_steps": mean(_known(deaths.enemies) / LOOPS_PER_STEP),
        "first_dead_agent_steps": mean(_known(deaths.agents) / LOOPS_PER_STEP),
        "dead_enemies": mean(deaths.dead_enemies),
        "dead_allies": mean(deaths.dead_agents),
        "length_steps": mean(deaths.length / LOOPS_PER_STEP),
    }


def _known(values: Reals) -> Reals:
    return values[[not math.isnan(value) for value in values]]
