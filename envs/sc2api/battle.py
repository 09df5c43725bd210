"""A game on one map: loops, tags, orders, units that are created and killed, one battle after the other.

Columns are the simulator's (agents first). The map's trigger: a step that begins on an empty field ends with
the next battle, so a client that waits for an empty field sees one. It is battle `episode` of `seed`, as
`BattleEnv` plays it.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

import numpy as np

from envs.battle import fields
from envs.battle.combat import SWEEP_POINTS
from envs.battle.kernel import start_battles
from envs.battle.opening import LONG_AGO
from envs.battle.roster import make_world, make_world_of, plane_of, shared
from envs.battle.world import Battles, World, make_battles
from envs.compiled import announce
from envs.sc2api.columns import BURNS, UNIT_REFERENCES, rearranged
from envs.sc2api.ids import COMPUTER, PLAYER, custom_ids
from envs.sc2api.stepping import advance, give_orders, standing_point, way_length
from envs.smac.formation import Placed
from envs.smac.maps import SmacMap
from envs.smac.smac_map import GRID_PER_CELL, MAX_TEAM_UNITS
from envs.smac.units import SC2_UNIT_IDS, UNITS, UnitType

MAX_DEAD_TAGS: Final = 4096
"""Deaths that are told by an observation; where nobody asks for one, the oldest are forgotten."""

MAX_QUEUE: Final = 32

_FIRST_TAG: Final = 1 << 32
_TAG_STEP: Final = 1 << 18


@dataclass(frozen=True)
class Command:
    """An order to the unit in column `unit`; target -1 and point (0, 0) where the order has none."""

    unit: int
    order: int
    target: int = -1
    x: float = 0.0
    y: float = 0.0


class Battle:
    """The units of one game. `tags`, `owners`, `type_ids` and `alive` are by column."""

    def __init__(self, smac_map: SmacMap, seed: int) -> None:
        announce("the battle simulator's API", start_battles, advance, give_orders)
        self.smac_map = smac_map
        self.seed = seed
        self.custom_ids = custom_ids(self._own_types())
        self.game_loop = 0
        self.dead_tags: deque[int] = deque(maxlen=MAX_DEAD_TAGS)  # since they were last taken
        self.episode = -1
        self._map_world = self._load()
        self._next_tag = _FIRST_TAG
        self._start()

    def _load(self) -> World:
        """The units with which a battle begins."""
        return make_world(self.smac_map)

    def _own_types(self) -> tuple[UnitType, ...]:
        """The types that the map brings."""
        return self.smac_map.ally_types

    def _start(self) -> None:
        """Begin the next battle."""
        self.episode += 1
        types, n = [UnitType(kind) for kind in self._map_world.t[fields.TYPE]], self._map_world.n_agents
        self._hold(
            self._map_world,
            [self.custom_ids[unit] if u < n else SC2_UNIT_IDS[unit] for u, unit in enumerate(types)],
        )
        self.arrays: Battles = make_battles(1, fields.F_ROWS, fields.K_ROWS, len(types))
        self.arrays.episode[0] = self.episode
        start_battles(self.arrays, shared(self.world), np.ones(1, np.bool_), np.uint64(self.seed), False)

    def _hold(self, world: World, type_ids: list[int]) -> None:
        """Take over the units of a new battle, by column, with new tags and nothing to do."""
        self.world = world
        self._battle_loop = 0
        self._queues: dict[int, deque[Command]] = {}
        self._doomed: set[int] = set()
        self.type_ids = type_ids
        self.tags = [self._new_tag() for _ in type_ids]
        self._index()

    def _tell_who_acquires(self) -> None:
        """Units of a map's own types have acquire level Passive: they never act unordered."""
        customs = set(self.custom_ids.values())
        self.world.t[fields.ACQUIRES] = [number not in customs for number in self.type_ids]

    def _index(self) -> None:
        self.column = {tag: u for u, tag in enumerate(self.tags)}
        n = self.world.n_agents
        self.owners = [PLAYER if u < n else COMPUTER for u in range(len(self.tags))]

    def _new_tag(self) -> int:
        tag = self._next_tag
        self._next_tag += _TAG_STEP
        return tag

    @property
    def alive(self) -> list[bool]:
        """[U]"""
        return [value != 0 for value in self.arrays.k[0, fields.ALIVE].tolist()]

    def count(self, owner: int) -> int:
        """Units of a player that live."""
        return sum(lives and whose == owner for lives, whose in zip(self.alive, self.owners, strict=True))

    def type_of(self, column: int) -> UnitType:
        """The type of the unit in a column."""
        return UnitType(self.world.t[fields.TYPE, column])

    def give(self, commands: list[Command]) -> None:
        """Replace orders at once; the units' queues are forgotten."""
        for command in commands:
            self._queues.pop(command.unit, None)
        self._give(commands)

    def _give(self, commands: list[Command]) -> None:
        if not commands:
            return
        give_orders(
            self.arrays,
            self.world,
            np.array([command.unit for command in commands], np.int64),
            np.array([int(command.order) for command in commands], np.int64),
            np.array([command.target for command in commands], np.int64),
            np.array([(command.x, command.y) for command in commands], np.float64),
        )

    def queue(self, command: Command) -> bool:
        """Have a unit carry out a command after those it has; False when it has too many."""
        waiting = self._queues.setdefault(command.unit, deque())
        if len(waiting) >= MAX_QUEUE:
            return False
        waiting.append(command)
        self._take_from_queues()
        return True

    def _take_from_queues(self) -> None:
        """Units that have nothing left to do take their next command."""
        alive, order = self.arrays.k[0, fields.ALIVE], self.arrays.k[0, fields.ORDER]
        for unit in list(self._queues):
            while self._queues[unit] and alive[unit] and order[unit] == fields.STOP:
                self._give([self._queues[unit].popleft()])
            if not self._queues[unit] or not alive[unit]:
                del self._queues[unit]

    def kill(self, tags: list[int]) -> None:
        """Take units off the field with the next step; unknown tags are ignored. Banelings do not burst."""
        self._doomed.update(tag for tag in tags if tag in self.column)

    def step(self, loops: int) -> None:
        """Play `loops` game loops; on an empty field they are the wait for the next battle."""
        if any(self.alive):
            self._play(loops)
        else:
            self._start()
        self.game_loop += loops

    def _play(self, loops: int) -> None:
        """Play `loops` game loops of the battle."""
        before = self.alive
        self._remove_doomed()
        left = loops
        while left > 0:  # loop by loop while orders are queued
            count = 1 if self._queues else left
            advance(self.arrays, self.world, self._battle_loop, count)
            self._battle_loop += count
            left -= count
            if self._queues:
                self._take_from_queues()
        self._note_deaths(before)

    def _remove_doomed(self) -> None:
        f, k = self.arrays.f[0], self.arrays.k[0]
        gone = [self.column[tag] for tag in self._doomed if tag in self.column]
        self._doomed.clear()
        for row in (fields.ALIVE, fields.FIXED, fields.PHASE):
            k[row, gone] = 0
        k[fields.TARGET, gone] = -1
        for row in (fields.HEALTH, fields.SHIELD, fields.ENERGY, fields.COOLDOWN, fields.VX, fields.VY):
            f[row, gone] = 0.0

    def _note_deaths(self, before: list[bool]) -> None:
        lives = zip(self.tags, before, self.alive, strict=True)
        self.dead_tags.extend(tag for tag, was, now in lives if was and not now)

    def take_dead_tags(self) -> list[int]:
        """Tags of the units that died since this was last asked."""
        dead = list(self.dead_tags)
        self.dead_tags.clear()
        return dead

    def create(self, unit: UnitType, unit_id: int, owner: int, x: float, y: float) -> bool:
        """Put a unit near (x, y), in cells; False when there is no room for it."""
        keep = self._needed_columns()
        mine = [u for u in keep if self.owners[u] == PLAYER]
        if sum(self.owners[u] == owner for u in keep) >= MAX_TEAM_UNITS:
            return False
        at = len(mine) if owner == PLAYER else len(keep)
        sources = [*keep[:at], -1, *keep[at:]]
        self._rearrange(sources, unit, owner)
        self.tags = [self.tags[u] if u >= 0 else self._new_tag() for u in sources]
        self.type_ids = [self.type_ids[u] if u >= 0 else unit_id for u in sources]
        self._index()
        self._tell_who_acquires()
        self._enter(at, unit, x, y)
        return True

    def _needed_columns(self) -> list[int]:
        """Columns of the living, of the dead whose shots or burns still come, and of targets.

        A target stays until its attacker has noticed that it died.
        """
        k = self.arrays.k[0]
        needed = k[fields.ALIVE] != 0
        targets = k[[fields.TARGET, fields.ORDER_TARGET]][:, needed]
        needed |= (k[fields.SHOT_TARGET] >= 0) | k[list(BURNS)].any(axis=0)
        needed[targets[targets >= 0]] = True
        return [int(u) for u in np.flatnonzero(needed)]

    def _rearrange(self, sources: list[int], unit: UnitType, owner: int) -> None:
        """New arrays whose columns are the old ones `sources`, -1 for the new `unit`."""
        old, old_t, old_types = self.arrays, self.world.t, [self.type_of(u) for u in range(len(self.tags))]
        placed = [Placed(old_types[u] if u >= 0 else unit, 0.0, 0.0, 0.0, 0.0) for u in sources]
        owners = [self.owners[u] if u >= 0 else owner for u in sources]
        n = owners.count(PLAYER)
        world = make_world_of(self.smac_map, placed[:n], placed[n:])
        self.world = world
        place = {u: new for new, u in enumerate(sources) if u >= 0}
        self.arrays = rearranged(old, old_t, world, sources)
        self._queues = {
            place[unit]: deque(
                Command(place[unit], c.order, place.get(c.target, -1), c.x, c.y) for c in commands
            )
            for unit, commands in self._queues.items()
            if unit in place
        }

    def _enter(self, column: int, unit: UnitType, x: float, y: float) -> None:
        """Fill the column of a new unit."""
        f, k, stats = self.arrays.f[0], self.arrays.k[0], UNITS[unit]
        for row in UNIT_REFERENCES:
            k[row, column] = -1
        k[fields.ALIVE, column], k[fields.SWEEP_POINT, column] = 1, SWEEP_POINTS
        k[fields.HIT_AGO, column] = k[fields.OTHER_AGO, column] = LONG_AGO
        f[fields.FACING_X, column] = 1.0
        f[fields.HEALTH, column], f[fields.SHIELD, column] = stats.health_max, stats.shield_max
        f[fields.ENERGY, column] = stats.energy_start
        plane, clearance = plane_of(unit), self.world.s[fields.CLEARANCE, column]
        for row, value in enumerate(standing_point(self.world.terrain, plane, x, y, clearance)):
            on_grid = int(value * GRID_PER_CELL) / GRID_PER_CELL
            f[fields.X + row, column] = f[fields.GOAL_X + row, column] = on_grid

    def way_cells(self, plane: int, start: tuple[float, float], goal: tuple[float, float]) -> float:
        """Length of the way between two points; 0 when there is none."""
        return float(way_length(self.world.terrain, plane, *start, *goal))

    def set_value(self, tag: int, value_name: str, value: float) -> None:
        """Set `Energy`, `Life` or `Shields` of a unit, up to its maximum; life 0 kills it."""
        column = self.column.get(tag)
        if column is None or not self.alive[column]:
            return
        stats = UNITS[self.type_of(column)]
        row, most = {
            "Energy": (fields.ENERGY, stats.energy_max),
            "Life": (fields.HEALTH, stats.health_max),
            "Shields": (fields.SHIELD, stats.shield_max),
        }[value_name]
        if value_name == "Life" and value <= 0:
            self.kill([tag])
        else:
            self.arrays.f[0, row, column] = min(max(value, 0.0), most)
