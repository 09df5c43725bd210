"""Sc2Env: SMAC on the live game, one process of StarCraft II per battle."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from envs.compiled import announce
from envs.errors import EpisodeLostError
from envs.sc2.client import Game, GameSettings, LostGameError, game_seed, map_bytes, run_config
from envs.sc2.failures import Failures
from envs.sc2.reading import OrderWriter, Roster, game_tables, is_complete
from envs.smac.layout import LayoutTables, write_views
from envs.smac.maps import SmacMap
from envs.smac.reward import RUNNING, WON, battle_outcome, step_reward
from envs.smac.units import LOOPS_PER_STEP
from envs.types import BoolArray, EnvSpec, IntArray, TimeStep

END_OF_TIME_LOOPS: Final = 1 << 19
"""The game ends itself then; a new one is made before."""

_RESPAWN_LOOPS: Final = 2
_MAX_WAIT_LOOPS: Final = 64
_MARGIN_LOOPS: Final = 100


class Sc2Env:
    """B = `n_battles` battles, each in a game of its own (a `MultiAgentEnv`).

    Games cannot be seeded by episode: the first game of slot 0 is seeded with `seed`, every other one with a
    number made of it, and battles follow each other as the game has them. `reset` and `step` raise
    EpisodeLostError when a game was lost, InputError with the game's own words after several in a row.
    """

    def __init__(
        self,
        smac_map: SmacMap,
        *,
        n_battles: int = 1,
        seed: int = 0,
        settings: GameSettings | None = None,
    ) -> None:
        if n_battles < 1:
            raise ValueError(f"n_battles is {n_battles}; an Sc2Env plays at least one battle")
        self.smac_map = smac_map
        self.seed = seed
        self.next_episode = 0
        self._spec = smac_map.spec
        settings = settings or GameSettings.from_environment()
        map_bytes(run_config(settings.version), smac_map.name)  # a missing piece is better said now
        announce("SMAC's layout", write_views, battle_outcome, step_reward)
        self._slots = [LiveBattle(smac_map, seed, slot, settings) for slot in range(n_battles)]
        B, N = n_battles, self._spec.n_agents
        self._obs = np.zeros((B, N, self._spec.obs_dim), np.float32)
        self._state = np.zeros((B, self._spec.state_dim), np.float32)
        self._avail = np.zeros((B, N, self._spec.n_actions), np.bool_)
        self._avail[:, :, 0] = True
        self._terminated = np.ones(B, np.bool_)  # nothing has begun
        self._truncated, self._won = np.zeros(B, np.bool_), np.zeros(B, np.bool_)
        self.failures = Failures(smac_map.name)
        self._pool = ThreadPoolExecutor(B, thread_name_prefix="games") if B > 1 else None

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @property
    def n_battles(self) -> int:
        return len(self._slots)

    @property
    def pids(self) -> list[int | None]:
        """[B] the games' processes."""
        return [slot.pid for slot in self._slots]

    def reset(self, mask: BoolArray | None = None) -> TimeStep:
        """Start the next episodes in the slots of `mask` [B] (all when None); the others stay as they are."""
        chosen = np.ones(self.n_battles, np.bool_) if mask is None else np.asarray(mask)
        if chosen.shape != (self.n_battles,) or chosen.dtype != np.bool_:
            raise ValueError(f"mask is {chosen.dtype} {chosen.shape}, not bool ({self.n_battles},)")
        for b in np.flatnonzero(chosen).tolist():
            self._begin(self._slots[b])
            self._terminated[b] = self._truncated[b] = self._won[b] = False
            self._show(b)
        self.next_episode += int(chosen.sum())
        return self._time_step(np.zeros(self.n_battles, np.float32))

    def _begin(self, slot: LiveBattle) -> None:
        """Start a battle, in a new game as often as it takes; InputError when it takes too often."""
        while True:
            try:
                return slot.begin()
            except LostGameError as error:
                slot.kill()
                self.failures.note(error)

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step (8 game loops) of every battle that has not ended; actions [B, N].

        ValueError naming battle, agent and action when one is not available; then no battle is advanced.
        EpisodeLostError when games were lost: then no battle of this round counts, and all have to be reset.
        """
        actions = np.asarray(actions)
        shape = self.n_battles, self._spec.n_agents
        if actions.shape != shape or actions.dtype.kind not in "iu":
            raise ValueError(f"actions are {actions.dtype} {actions.shape}, not integers {shape}")
        running = np.flatnonzero(~(self._terminated | self._truncated)).tolist()
        self._check_available(running, actions)
        rewards = np.zeros(self.n_battles, np.float32)
        lost = self._each(running, lambda b: self._slots[b].play(actions[b].tolist()))
        if lost:
            self._lose(lost)
        for b in running:
            rewards[b] = self._judge(b)
            self._show(b)
        return self._time_step(rewards)

    def _check_available(self, running: list[int], actions: IntArray) -> None:
        for b in running:
            for agent, action in enumerate(actions[b].tolist()):
                if not (0 <= action < self._spec.n_actions and self._avail[b, agent, action]):
                    able = np.flatnonzero(self._avail[b, agent]).tolist()
                    raise ValueError(
                        f"battle {b}, agent {agent}: action {action} is not available, only {able}"
                    )

    def _each(self, slots: list[int], play: Callable[[int], None]) -> dict[int, LostGameError]:
        """Call `play` for every slot, at once when there are several; what was lost, by slot."""
        lost: dict[int, LostGameError] = {}

        def attempt(b: int) -> None:
            try:
                play(b)
            except LostGameError as error:
                lost[b] = error

        if self._pool is None or len(slots) < 2:
            for b in slots:
                attempt(b)
        else:
            list(self._pool.map(attempt, slots))
        return lost

    def _lose(self, lost: dict[int, LostGameError]) -> None:
        """End the round: games that were lost are killed, and no battle goes on."""
        self._terminated[:], self._truncated[:], self._won[:] = True, False, False
        for b in lost:
            self._slots[b].kill()
        for error in lost.values():
            self.failures.note(error)
        slots = np.isin(np.arange(self.n_battles), list(lost))
        raise EpisodeLostError(slots, "; ".join(str(error) for error in lost.values()))

    def _judge(self, b: int) -> float:
        """The reward of the step just played, and whether it ended the battle."""
        slot = self._slots[b]
        roster, tables = slot.roster, slot.tables
        outcome = battle_outcome(tables, roster.utype, roster.health)
        self._terminated[b] = outcome != RUNNING
        self._truncated[b] = outcome == RUNNING and slot.steps >= self._spec.episode_limit
        self._won[b] = outcome == WON
        if self._terminated[b] or self._truncated[b]:
            self.failures.forget()
        return step_reward(
            tables, roster.health, roster.shield, slot.prev_health, slot.prev_shield, outcome == WON
        )

    def _show(self, b: int) -> None:
        r = self._slots[b].roster
        write_views(
            self._slots[b].tables, r.utype, r.x, r.y, r.health, r.shield, r.energy, r.cooldown,
            self._obs[b], self._state[b], self._avail[b],
        )  # fmt: skip

    def _time_step(self, rewards: np.ndarray[tuple[int], np.dtype[np.float32]]) -> TimeStep:
        return TimeStep(
            obs=self._obs.copy(),
            state=self._state.copy(),
            avail_actions=self._avail.copy(),
            reward=rewards,
            terminated=self._terminated.copy(),
            truncated=self._truncated.copy(),
            won=self._won.copy(),
        )

    def save_replay(self, slot: int = 0) -> bytes:
        """The game of a slot so far, in the game's own format."""
        return self._slots[slot].save_replay()

    def close(self) -> None:
        """End the games."""
        for slot in self._slots:
            slot.close()
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
        self._shown_tags: list[int] = []  # of the units in the last observation
        self._loop = 0
        self.steps = 0

    @property
    def pid(self) -> int | None:
        return None if self._game is None else self._game.pid

    def begin(self) -> None:
        """Start a battle: in a new game, or by killing everybody in the one there is; LostGameError."""
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
        self._shown_tags = [unit.tag for unit in units if unit.owner in (1, 2)]
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
