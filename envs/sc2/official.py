"""OfficialEnv: SMAC as its authors distribute it, behind the contract of every environment here.

`official_v2` is SMACv2 the same way.

The package is not on PyPI under its name: PyPI's `smac` is AutoML's. See docs/starcraft2.md.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np

from envs.errors import InputError
from envs.sc2.client import GameSettings, LostGameError, game_seed, guard_pysc2, map_bytes, run_config
from envs.sc2.live import LiveEnv, Verdict
from envs.smac.maps import SmacMap

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


class OfficialEnv(LiveEnv["_Slot"]):
    """B = `n_battles` battles, each a StarCraft2Env (a `MultiAgentEnv`), stepped one after the other.

    With PyMARL's settings, the state without last actions. Seeds, failures and exceptions as in `Sc2Env`.
    """

    def __init__(
        self, smac_map: SmacMap, *, n_battles: int = 1, seed: int = 0, settings: GameSettings | None = None
    ) -> None:
        super().__init__(smac_map, n_battles)
        settings = settings or GameSettings.from_environment()
        map_bytes(run_config(settings.version), self._game_map(smac_map))
        make = self._maker(smac_map, settings)
        guard_pysc2(settings.deadline_s)
        self._slots = [_Slot(make, seed, slot) for slot in range(n_battles)]

    @staticmethod
    def _game_map(smac_map: SmacMap) -> str:
        """The name of the game's map file."""
        return smac_map.name

    @staticmethod
    def _maker(smac_map: SmacMap, settings: GameSettings) -> Callable[[int], Any]:
        """A function that makes the package's environment from a seed; InputError without the package."""
        kind = official_class()
        return lambda seed: kind(
            map_name=smac_map.name,
            seed=seed,
            game_version=settings.version,
            difficulty=str(settings.difficulty),
            state_last_action=False,
        )

    def _judge(self, b: int) -> Verdict:
        return self._slots[b].verdict

    def _show(self, b: int) -> None:
        env, shown = self._slots[b].env, self._shown
        shown.obs[b], shown.state[b] = env.get_obs(), env.get_state()
        shown.avail_actions[b] = np.asarray(env.get_avail_actions(), np.bool_)


class _Slot:
    """One StarCraft2Env, and a new one whenever the old one would count wrongly.

    SMAC adds to its largest possible return whenever units appear before the first episode has ended; so a
    reset before that end, or a game restarted by SMAC itself, takes a new object.
    """

    verdict: Verdict

    def __init__(self, make: Callable[[int], Any], seed: int, slot: int) -> None:
        self._make, self._seed, self._slot = make, seed, slot
        self._launches = 0
        self.env: Any = None

    def begin(self) -> None:
        """Start a battle; LostGameError."""
        if self.env is not None and self.env._episode_count == 0:
            self.close()
        if self.env is None:
            self.env = self._make(game_seed(self._seed, self._slot, self._launches))
            self._launches += 1
        with _losses():
            self.env.reset()
        if self.env.force_restarts:
            raise LostGameError("SMAC had to restart the game")

    def play(self, actions: list[int]) -> None:
        """One step, its outcome in `verdict`; LostGameError."""
        timeouts = self.env.timeouts
        with _losses():
            reward, ended, info = self.env.step(actions)
        if self.env.force_restarts or "battle_won" not in info:
            raise LostGameError("SMAC lost its game and started another")
        out_of_time = self.env.timeouts > timeouts
        self.verdict = Verdict(float(reward), ended and not out_of_time, out_of_time, info["battle_won"])

    def kill(self) -> None:
        """End the game."""
        self.close()

    def close(self) -> None:
        """End the game."""
        env, self.env = self.env, None
        if env is not None:
            with contextlib.suppress(Exception):
                env.close()


@contextlib.contextmanager
def _losses() -> Iterator[None]:
    """Turn what pysc2 and SMAC raise when a game does not start or answer into LostGameError."""
    try:
        yield
    except (InputError, KeyboardInterrupt, SystemExit):
        raise
    except Exception as error:
        raise LostGameError(f"{type(error).__name__}: {error}") from error
