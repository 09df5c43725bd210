"""OfficialEnv: SMAC as its authors distribute it, driven as every other environment here.

The package is not on PyPI under its name: PyPI's `smac` is AutoML's. See docs/starcraft2.md.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from envs.errors import EpisodeLostError, InputError
from envs.sc2.client import GameSettings, LostGameError, game_seed, guard_pysc2, map_bytes, run_config
from envs.sc2.failures import Failures
from envs.smac.maps import SmacMap
from envs.types import BoolArray, EnvSpec, FloatArray, IntArray, TimeStep

COMMIT: Final = "d6aab33f76abc3849c50463a8592a84f59a5ef84"
INSTALL: Final = f"pip install --no-deps 'smac @ git+https://github.com/oxwhirl/smac.git@{COMMIT}'"


def official_class() -> Any:
    """The official StarCraft2Env; InputError when it is not installed, or another `smac` is."""
    if importlib.util.find_spec("smac") is None:
        raise InputError(f"--env smac needs the official SMAC package: {INSTALL}")
    if importlib.util.find_spec("smac.env") is None:
        raise InputError(
            "the installed package 'smac' is not SMAC but AutoML's SMAC3, which has that name on PyPI; "
            f"uninstall it and {INSTALL}"
        )
    try:
        return importlib.import_module("smac.env").StarCraft2Env
    except (ImportError, AttributeError) as error:
        raise InputError(f"the official SMAC package cannot be imported ({error}): {INSTALL}") from None


class OfficialEnv:
    """B = `n_battles` battles, each a StarCraft2Env (a `MultiAgentEnv`), stepped one after the other.

    With PyMARL's settings, the state without last actions. Seeds, failures and exceptions as in `Sc2Env`.
    """

    def __init__(
        self, smac_map: SmacMap, *, n_battles: int = 1, seed: int = 0, settings: GameSettings | None = None
    ) -> None:
        if n_battles < 1:
            raise ValueError(f"n_battles is {n_battles}; an OfficialEnv plays at least one battle")
        self.next_episode = 0
        self._spec = smac_map.spec
        settings = settings or GameSettings.from_environment()
        map_bytes(run_config(settings.version), smac_map.name)
        self.failures = Failures(smac_map.name)
        kind = official_class()
        guard_pysc2(settings.deadline_s)
        self._slots = [_Slot(kind, smac_map.name, seed, slot, settings) for slot in range(n_battles)]
        B, N = n_battles, self._spec.n_agents
        self._obs = np.zeros((B, N, self._spec.obs_dim), np.float32)
        self._state = np.zeros((B, self._spec.state_dim), np.float32)
        self._avail = np.zeros((B, N, self._spec.n_actions), np.bool_)
        self._avail[:, :, 0] = True
        self._terminated = np.ones(B, np.bool_)
        self._truncated, self._won = np.zeros(B, np.bool_), np.zeros(B, np.bool_)

    @property
    def spec(self) -> EnvSpec:
        return self._spec

    @property
    def n_battles(self) -> int:
        return len(self._slots)

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

    def _begin(self, slot: _Slot) -> None:
        while True:
            try:
                return slot.begin()
            except LostGameError as error:
                slot.close()
                self.failures.note(error)

    def step(self, actions: IntArray) -> TimeStep:
        """Play one step (8 game loops) of every battle that has not ended; as `Sc2Env.step`."""
        actions = np.asarray(actions)
        shape = self.n_battles, self._spec.n_agents
        if actions.shape != shape or actions.dtype.kind not in "iu":
            raise ValueError(f"actions are {actions.dtype} {actions.shape}, not integers {shape}")
        running = np.flatnonzero(~(self._terminated | self._truncated)).tolist()
        for b in running:
            for agent, action in enumerate(actions[b].tolist()):
                if not (0 <= action < self._spec.n_actions and self._avail[b, agent, action]):
                    able = np.flatnonzero(self._avail[b, agent]).tolist()
                    raise ValueError(
                        f"battle {b}, agent {agent}: action {action} is not available, only {able}"
                    )
        rewards = np.zeros(self.n_battles, np.float32)
        for b in running:
            try:
                self._play(b, actions[b].tolist(), rewards)
            except LostGameError as error:
                self._terminated[:], self._truncated[:], self._won[:] = True, False, False
                self._slots[b].close()
                self.failures.note(error)
                raise EpisodeLostError(np.arange(self.n_battles) == b, str(error)) from error
        return self._time_step(rewards)

    def _play(self, b: int, actions: list[int], rewards: FloatArray) -> None:
        reward, ended, timed_out, won = self._slots[b].play(actions)
        rewards[b] = reward
        self._terminated[b], self._truncated[b], self._won[b] = ended and not timed_out, timed_out, won
        if ended:
            self.failures.forget()
        self._show(b)

    def _show(self, b: int) -> None:
        env = self._slots[b].env
        self._obs[b], self._state[b] = env.get_obs(), env.get_state()
        self._avail[b] = np.asarray(env.get_avail_actions(), np.bool_)

    def _time_step(self, rewards: FloatArray) -> TimeStep:
        return TimeStep(
            obs=self._obs.copy(),
            state=self._state.copy(),
            avail_actions=self._avail.copy(),
            reward=rewards,
            terminated=self._terminated.copy(),
            truncated=self._truncated.copy(),
            won=self._won.copy(),
        )

    def close(self) -> None:
        """End the games."""
        for slot in self._slots:
            slot.close()


class _Slot:
    """One StarCraft2Env, and a new one whenever the old one would count wrongly.

    SMAC adds to its largest possible return whenever units appear before the first episode has ended; so a
    reset before that end, or a game restarted by SMAC itself, takes a new object.
    """

    def __init__(self, kind: Any, map_name: str, seed: int, slot: int, settings: GameSettings) -> None:
        self._kind, self._map_name, self._seed, self._slot = kind, map_name, seed, slot
        self._settings = settings
        self._launches = 0
        self.env: Any = None

    def begin(self) -> None:
        """Start a battle; LostGameError."""
        if self.env is not None and self.env._episode_count == 0:
            self.close()
        if self.env is None:
            self.env = self._kind(
                map_name=self._map_name,
                seed=game_seed(self._seed, self._slot, self._launches),
                game_version=self._settings.version,
                difficulty=str(self._settings.difficulty),
                state_last_action=False,
            )
            self._launches += 1
        with _losses():
            self.env.reset()
        if self.env.force_restarts:
            raise LostGameError("SMAC had to restart the game")

    def play(self, actions: list[int]) -> tuple[float, bool, bool, bool]:
        """Reward, ended, ended by the time limit, won; LostGameError."""
        timeouts = self.env.timeouts
        with _losses():
            reward, ended, info = self.env.step(actions)
        if self.env.force_restarts or "battle_won" not in info:
            raise LostGameError("SMAC lost its game and started another")
        return float(reward), bool(ended), self.env.timeouts > timeouts, bool(info["battle_won"])

    def close(self) -> None:
        """End the game."""
        env, self.env = self.env, None
        if env is not None:
            with contextlib.suppress(Exception):
                env.close()


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    """What pysc2 and SMAC raise when a game does not start or does not answer."""
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        raise LostGameError(f"{type(error).__name__}: {error}") from error
