"""Sc2Env: SMAC on the live game, one process of StarCraft II per battle."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from envs.compiled import announce
from envs.sc2.client import Game, GameSettings, LostGameError, game_seed, map_bytes, run_config
from envs.sc2.live import LiveEnv, Verdict
from envs.sc2.numbers import AGENTS, ENEMIES
from envs.sc2.reading import OrderWriter, Roster, game_tables, is_complete
from envs.smac.layout import write_views
from envs.smac.maps import SmacMap
from envs.smac.memory import LAST_ACTION, Memory, make_memory
from envs.smac.reward import RUNNING, WON, battle_outcome, step_reward
from envs.smac.shown import ShownUnits
from envs.smac.sightings import begin_memory, look
from envs.smac.tables import KNOWS_ENEMIES, LayoutTables
from envs.smac.units import LOOPS_PER_STEP
from envs.types import IntArray

END_OF_TIME_LOOPS: Final = 1 << 19
"""The game ends itself then; a new one is made before."""

_RESPAWN_LOOPS: Final = 2
_MAX_WAIT_LOOPS: Final = 64
_MARGIN_LOOPS: Final = 100


class Sc2Env(LiveEnv["LiveBattle"]):
    """B = `n_battles` battles, each in a separate game (a `MultiAgentEnv`).

    Games cannot be seeded by episode: the first game of slot 0 is seeded with `seed`, every other one with a
    number derived from it, and one battle follows the other in the same game. `reset` and `step` raise
    EpisodeLostError when a game was lost, InputError with the game's own words after several in a row.
    """

    def __init__(
        self, smac_map: SmacMap, *, n_battles: int = 1, seed: int = 0, settings: GameSettings | None = None
    ) -> None:
        super().__init__(smac_map, n_battles)
        self.smac_map = smac_map
        self.seed = seed
        settings = settings or GameSettings.from_environment()
        map_bytes(run_config(settings.version), smac_map.name)  # refuses a missing piece now
        announce("SMAC's layout", write_views, battle_outcome, step_reward, begin_memory)
        self._slots = [LiveBattle(smac_map, seed, slot, settings) for slot in range(n_battles)]
        self._pool = ThreadPoolExecutor(n_battles, thread_name_prefix="games") if n_battles > 1 else None

    @property
    def pids(self) -> list[int | None]:
        """[B] the games' processes."""
        return [slot.pid for slot in self._slots]

    def _play(self, running: list[int], actions: IntArray) -> dict[int, LostGameError]:
        """One step of every slot in `running`, at once when there are several; the losses by slot."""
        play = super()._play
        if self._pool is None or len(running) < 2:
            return play(running, actions)
        lost: dict[int, LostGameError] = {}
        for losses in self._pool.map(lambda b: play([b], actions), running):
            lost |= losses
        return lost

    def _judge(self, b: int) -> Verdict:
        slot = self._slots[b]
        roster, tables = slot.roster, slot.tables
        outcome = battle_outcome(tables, roster.utype, roster.health)
        won = outcome == WON
        reward = step_reward(
            tables, roster.health, roster.shield, slot.prev_health, slot.prev_shield, outcome
        )
        out_of_time = outcome == RUNNING and slot.steps >= self._spec.episode_limit
        return Verdict(reward, outcome != RUNNING, out_of_time, won)

    def _show(self, b: int) -> None:
        slot, shown = self._slots[b], self._shown
        r = slot.roster
        write_views(
            slot.tables, slot.memory, slot.steps, r.utype, r.x, r.y, r.health, r.shield, r.energy, r.cooldown,
            shown.obs[b], shown.state[b], shown.avail_actions[b],
        )  # fmt: skip

    def shown_units(self, slot: int) -> ShownUnits:
        """The units of the battle in a slot, to record or watch it; ValueError where none has begun."""
        if self.episodes[slot] < 0:
            raise ValueError("no battle has begun")
        return self._slots[slot].roster.shown_units()

    def save_replay(self, slot: int = 0) -> bytes:
        """The game of a slot so far, in the game's own format."""
        return self._slots[slot].save_replay()

    def close(self) -> None:
        """End the games."""
        super().close()
        if self._pool is not None:
            self._pool.shutdown()
            self._pool = None


class LiveBattle:
    """The battle of one slot and the game that it takes place in."""

    roster: Roster
    tables: LayoutTables

    def __init__(self, smac_map: SmacMap, seed: int, slot: int, settings: GameSettings) -> None:
        self._map, self._seed, self._slot, self._settings = smac_map, seed, slot, settings
        self._game: Game | None = None
        self._launches = 0
        self._orders = OrderWriter()
        self.memory = Memory(*(array[0] for array in make_memory(smac_map, 1)))
        self._battles = 0
        self._shown_tags: list[int] = []  # of the units in the last observation
        self._loop = 0
        self.steps = 0

    @property
    def pid(self) -> int | None:
        return None if self._game is None else self._game.pid

    def begin(self) -> None:
        """Start a battle: in a new game, or by killing all units of the running one; LostGameError."""
        if self._game is not None and self._is_near_the_end_of_time():
            self.close()
        is_new = self._game is None
        if self._game is None:
            races = self._map.ally_race, self._map.enemy_race
            seed = game_seed(self._seed, self._slot, self._launches)
            self._launches += 1
            self._game = Game(self._map.name, races, seed, self._settings)
        else:
            if self._shown_tags:
                self._game.kill_units(self._shown_tags)
            self._game.step(_RESPAWN_LOOPS)
        units = self._wait_for_units(self._game)
        self.roster = Roster(self._map, units)
        if is_new:
            self.tables = game_tables(self._map, self._game.info, self.roster)
        self.prev_health, self.prev_shield = self.roster.health.copy(), self.roster.shield.copy()
        self.steps = 0
        begin_memory(self.memory, np.uint64(game_seed(self._seed, self._slot, 0)), np.uint64(self._battles))
        self._battles += 1
        self._look()
        self._look()

    def _look(self) -> None:
        """Let the agents look for enemies, where the map's settings make a difference of it."""
        if self.tables.rules & KNOWS_ENEMIES:
            r = self.roster
            look(self.tables, self.memory, r.utype, r.x, r.y, r.health)

    def _is_near_the_end_of_time(self) -> bool:
        needed = self._map.episode_limit * LOOPS_PER_STEP + _MARGIN_LOOPS
        return self._loop + needed > END_OF_TIME_LOOPS

    def _wait_for_units(self, game: Game) -> list[object]:
        for _ in range(_MAX_WAIT_LOOPS):
            units = self._observe(game)
            if is_complete(self._map, units):
                return units
            game.step(1)
        raise LostGameError(f"the units of {self._map.name} did not come within {_MAX_WAIT_LOOPS} loops")

    def _observe(self, game: Game) -> list[object]:
        observation = game.observe()
        self._loop = observation.game_loop
        units = list(observation.raw_data.units)
        self._shown_tags = [unit.tag for unit in units if unit.owner in (AGENTS, ENEMIES)]
        return units

    def play(self, actions: list[int]) -> None:
        """One step with available actions [N]; LostGameError."""
        game = self._game
        if game is None:
            raise LostGameError("there is no game")
        self.prev_health[:], self.prev_shield[:] = self.roster.health, self.roster.shield
        game.act(self._orders.orders(self.roster, actions))
        game.step(LOOPS_PER_STEP)
        self.roster.update(self._observe(game))
        self.memory.agents[LAST_ACTION] = actions
        self._look()
        self.steps += 1

    def save_replay(self) -> bytes:
        """The game so far; ValueError when there is none."""
        if self._game is None:
            raise ValueError("no game has been started")
        return self._game.save_replay()

    def kill(self) -> None:
        """End the game at once."""
        if self._game is not None:
            self._game.kill()
            self._game = None

    def close(self) -> None:
        """End the game."""
        if self._game is not None:
            self._game.close()
            self._game = None
