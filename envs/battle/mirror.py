"""The battles of a `BattleEnv` as the enemies see them: sides swapped, and the ground turned where asked.

A team is made from it as from the environment itself. Axes: B battles, N agents, E enemies, U = N + E units.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from itertools import product
from typing import Final, NamedTuple, cast

import numpy as np

from envs.battle import fields, kernel
from envs.battle.env import BattleEnv
from envs.battle.views import Units
from envs.battle.world import Orders, Views, Worlds, make_battles
from envs.errors import InputError
from envs.smac.actions import DIRECTIONS, FIRST_ATTACK, MOVE_CELLS, NORTH
from envs.smac.memory import LAST_ACTION, make_memory
from envs.smac.smac_map import MAP_SIZE_CELLS, EnemyOrder, MapType, SmacMap, SpawnGroup
from envs.smac.tables import layout_tables
from envs.smac.units import CUSTOM_TYPE_ORDER, UnitType
from envs.types import BoolArray, EnvSpec, IntArray, TimeStep

_COPIED_F: Final = (
    fields.HEALTH, fields.SHIELD, fields.ENERGY, fields.COOLDOWN, fields.X, fields.Y, fields.GOAL_X,
    fields.GOAL_Y,
)  # fmt: skip
_COPIED_K: Final = (fields.ALIVE, fields.ORDER)
_INDICES_K: Final = (fields.ORDER_TARGET, fields.TARGET, fields.SHOT_AT)


class Turn(NamedTuple):
    """Which axes are turned over, so that the enemies stand where agents do."""

    x: bool = False
    y: bool = False


UNTURNED: Final = Turn()


def turn_of(smac_map: SmacMap) -> Turn:
    """The turn under which the sides of a map change places; InputError that says why there is none."""
    ours, theirs = Counter(smac_map.ally_types), Counter(smac_map.enemy_types)
    if ours != theirs:
        raise InputError(f"{smac_map.name} is not symmetric: its sides have different units")
    for turn in (Turn(*axes) for axes in product((True, False), repeat=2)):
        axes = tuple(axis for axis, turned in enumerate(turn) if turned)
        grids = smac_map.walkable, smac_map.colossus_walkable
        if not all((np.flip(grid, axes) == grid).all() for grid in grids):
            continue
        if _places(smac_map.ally_spawns, turn) == _places(smac_map.enemy_spawns, UNTURNED):
            return turn
    raise InputError(f"{smac_map.name} is not symmetric: its sides stand on different ground")


def swapped(smac_map: SmacMap) -> SmacMap:
    """The map with the enemies as agents; its ground is the same."""
    kind = smac_map.map_type
    ally, versus, enemy = kind.partition("v")
    return replace(
        smac_map,
        ally_race=smac_map.enemy_race,
        enemy_race=smac_map.ally_race,
        map_type=cast(MapType, enemy + versus + ally) if len(kind) == 3 and versus else kind,
        ally_spawns=smac_map.enemy_spawns,
        enemy_spawns=smac_map.ally_spawns,
        enemy_order=EnemyOrder("none"),
    )


def _places(groups: tuple[SpawnGroup, ...], turn: Turn) -> Counter[tuple[UnitType, float, float]]:
    """How many units of each type are created at each point, turned."""
    places: Counter[tuple[UnitType, float, float]] = Counter()
    for group in groups:
        x = MAP_SIZE_CELLS - group.x if turn.x else group.x
        y = MAP_SIZE_CELLS - group.y if turn.y else group.y
        places[group.unit, x, y] += group.count
    return places


class Mirror:
    """Makes time steps and units of the enemies' side, and turns its actions into orders.

    Its agents are the enemies, by type, then from west to east as they started; its enemies are the agents.
    """

    def __init__(self, env: BattleEnv, turn: Turn = UNTURNED) -> None:
        self._env, self._turn = env, turn
        self.smac_map = swapped(env.smac_map)
        self.spec: EnvSpec = self.smac_map.spec
        B, self._n = env.n_battles, env.spec.n_agents
        self.n_battles = B
        real, worlds = env._battles, env._worlds
        kinds = [UnitType(kind) for kind in worlds.t[0, fields.TYPE]]
        self._columns = np.tile(_columns(kinds, self._n, self.smac_map.enemy_types), (B, 1))  # [B, U]
        self._places = np.argsort(self._columns, axis=1)  # [B, U] where a real unit stands here
        self._kinds = np.array([CUSTOM_TYPE_ORDER.index(kind) for kind in kinds])  # [U]
        self._is_even = Counter(kinds[: self._n]) == Counter(kinds[self._n :])
        self._worlds = _worlds(worlds, self._columns[0], self.spec.n_agents)
        self._tables, self._memory = layout_tables(self.smac_map), make_memory(self.smac_map, B)
        self._battles = make_battles(B, fields.F_ROWS, fields.K_ROWS, len(kinds))._replace(
            episode=real.episode, loops=real.loops, terminated=real.terminated, truncated=real.truncated
        )
        self.units = Units(self._battles, self._worlds)

    @property
    def episodes(self) -> IntArray:
        """[B] number of the episode that each slot plays."""
        return self._env.episodes

    @property
    def commanded(self) -> IntArray:
        """[B, E] the real unit behind each agent of this side."""
        return self._columns[:, : self.spec.n_agents]

    def begin(self, slots: BoolArray) -> None:
        """Number the units in `slots` [B], whose battles have just begun.

        On a symmetric map an opponent's number is that of the unit which stands in its place on this side.
        """
        f, N, n = self._env._battles.f, self.spec.n_agents, self._n
        mine = np.arange(n, f.shape[2])
        for b in np.flatnonzero(slots):
            x, y = f[b, fields.X, n:], f[b, fields.Y, n:]
            here = (MAP_SIZE_CELLS - x if self._turn.x else x), (MAP_SIZE_CELLS - y if self._turn.y else y)
            self._columns[b, :N] = mine[np.lexsort((here[1], here[0], self._kinds[n:]))]
            if self._is_even:
                self._columns[b, N + np.lexsort((y, x, self._kinds[n:]))] = np.arange(n)
        self._places = np.argsort(self._columns, axis=1)
        self._memory.agents[slots, LAST_ACTION] = -1

    def remember(self, actions: IntArray, slots: BoolArray) -> None:
        """Keep the actions [B, E] of this side in `slots` [B], which observations may show."""
        self._memory.agents[slots, LAST_ACTION] = actions[slots]

    def look(self, won: BoolArray) -> TimeStep:
        """What this side sees now; `won` [B] is whether it has won."""
        real, f, k = self._env._battles, self._battles.f, self._battles.k
        columns = self._columns
        for row in _COPIED_F:
            f[:, row] = np.take_along_axis(real.f[:, row], columns, axis=1)
        for turned, rows in zip(
            self._turn, ((fields.X, fields.GOAL_X), (fields.Y, fields.GOAL_Y)), strict=True
        ):
            for row in rows if turned else ():
                f[:, row] = MAP_SIZE_CELLS - f[:, row]
        for row in (*_COPIED_K, *_INDICES_K):
            k[:, row] = np.take_along_axis(real.k[:, row], columns, axis=1)
        for row in _INDICES_K:
            index = k[:, row]
            k[:, row] = np.where(
                index >= 0, np.take_along_axis(self._places, np.maximum(index, 0), axis=1), -1
            )
        B, spec = self.n_battles, self.spec
        views = Views(
            np.empty((B, spec.n_agents, spec.obs_dim), np.float32),
            np.empty((B, spec.state_dim), np.float32),
            np.empty((B, spec.n_agents, spec.n_actions), np.bool_),
            np.empty(B, np.float32),
        )
        kernel.show(0, B, self._battles, self._worlds, self._tables, self._memory, views)
        return TimeStep(*views, real.terminated.copy(), real.truncated.copy(), won)

    def orders(self, actions: IntArray, *, keeps_orders: bool = False) -> Orders:
        """The orders to the `commanded` units that actions [B, E] of this side are, in the real battles.

        keeps_orders: stop is no new order, as for SMAC's heuristic team.
        """
        slot = actions - FIRST_ATTACK
        moves, aims = (actions >= NORTH) & (slot < 0), slot >= 0
        heals = self._worlds.t[0, fields.WEAPON, : self.spec.n_agents] == fields.HEAL_BEAM  # [E]
        attack = np.where(heals, fields.HEAL, fields.ATTACK_UNIT)
        order = np.where(aims, attack, np.where(moves, fields.MOVE, -1 if keeps_orders else fields.STOP))
        column = np.where(aims, np.where(heals, slot, self.spec.n_agents + slot), 0)
        target = np.where(aims, np.take_along_axis(self._columns, column, axis=1), -1)
        ways = np.array(DIRECTIONS)[np.where(moves, actions, 0)] * MOVE_CELLS  # [B, E, 2]
        ways *= [-1.0 if turned else 1.0 for turned in self._turn]
        places = [
            np.take_along_axis(self._env._battles.f[:, row], self.commanded, axis=1)
            for row in (fields.X, fields.Y)
        ]
        return Orders(order.astype(np.int64), target.astype(np.int64), np.stack(places, axis=-1) + ways)


def _columns(kinds: list[UnitType], n: int, foes: tuple[UnitType, ...]) -> IntArray:
    """[U] real columns: the enemies by type, then an agent of each type of `foes`, in the order of ids."""
    mine = sorted(range(n, len(kinds)), key=lambda column: CUSTOM_TYPE_ORDER.index(kinds[column]))
    agents = {kind: [column for column in range(n) if kinds[column] is kind] for kind in set(foes)}
    return np.array([*mine, *(agents[kind].pop(0) for kind in foes)])


def _worlds(worlds: Worlds, columns: IntArray, n: int) -> Worlds:
    """What teams and views read of the worlds, with their columns in another order."""
    t = worlds.t[:, :, columns]
    t[:, fields.TEAM] = 1 - t[:, fields.TEAM]
    return worlds._replace(
        n_agents=n,
        s=np.ascontiguousarray(worlds.s[:, :, columns]),
        t=np.ascontiguousarray(t),
        damage=np.ascontiguousarray(worlds.damage[:, columns[:, None], columns]),
    )
