"""One process of StarCraft II: started through pysc2, watched, and ended when its host ends.

pysc2 and the descriptors are imported only when a game is started.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import os
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from envs.errors import InputError, LanError
from envs.processes import guarded
from envs.sc2.descriptors import INSTALL, sc2_protocol

RACES: Final = {"T": "Terran", "Z": "Zerg", "P": "Protoss"}
LOG_QUOTE_BYTES: Final = 2000


class LostGameError(LanError):
    """The game crashed, does not answer, or answers nonsense; it cannot be used any more."""


@dataclass(frozen=True, kw_only=True)
class GameSettings:
    """How games are started. `version` such as "4.10", None: the newest installed."""

    version: str | None = None
    difficulty: int = 7  # VeryHard, as in SMAC
    deadline_s: int = 120  # for every answer, and for the start

    @classmethod
    def from_environment(cls) -> GameSettings:
        """With the version that `$SC2_VERSION` names, if any."""
        return cls(version=os.environ.get("SC2_VERSION") or None)


def game_seed(seed: int, slot: int, launch: int) -> int:
    """The seed, 32 bits, of a game: `seed` itself for the first game of the first slot."""
    if slot == launch == 0:
        return seed & 0xFFFFFFFF
    digest = hashlib.sha256(f"{seed} {slot} {launch}".encode()).digest()
    return int.from_bytes(digest[:4], "little")


def run_config(version: str | None) -> Any:
    """pysc2's settings for the installed game; InputError when pysc2, the game or the version is missing."""
    sc2_protocol()  # before pysc2 is imported
    try:
        flags = importlib.import_module("absl.flags")
        run_configs = importlib.import_module("pysc2.run_configs")
    except ImportError as error:
        raise InputError(
            f"the live game needs pysc2, which cannot be imported ({error}): {INSTALL}"
        ) from None
    if not flags.FLAGS.is_parsed():
        flags.FLAGS.mark_as_parsed()
    launch_error = importlib.import_module("pysc2.lib.sc_process").SC2LaunchError
    try:
        return run_configs.get(version=version)
    except (launch_error, OSError) as error:
        raise InputError(f"StarCraft II cannot be started: {error}") from None
    except ValueError as error:
        raise InputError(
            f"StarCraft II {version} is not installed; choose another with SC2_VERSION: {error}"
        ) from None


def map_bytes(config: Any, map_name: str) -> bytes:
    """The map's file, which the client sends to the game; InputError when it is not installed."""
    path = Path(config.data_dir) / "Maps" / "SMAC_Maps" / f"{map_name}.SC2Map"
    try:
        return path.read_bytes()
    except OSError:
        raise InputError(
            f"{path} is missing or cannot be read; copy the SMAC_Maps folder of the SMAC repository "
            f"(smac/env/starcraft2/maps) to {path.parent.parent}"
        ) from None


@cache
def _process_type() -> Any:
    """pysc2's process, started behind the guard, with its output in a file."""
    sc_process: Any = importlib.import_module("pysc2.lib.sc_process")

    class GuardedProcess(sc_process.StarcraftProcess):  # type: ignore[misc]
        def _launch(self, run_config: Any, args: list[str], *, log: Any = None, **_: Any) -> Any:
            return subprocess.Popen(
                guarded(args),
                cwd=run_config.cwd,
                env=run_config.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the host
            )

    return GuardedProcess


def guard_pysc2(deadline_s: int) -> None:
    """Have pysc2 itself start games behind the guard and wait for answers no longer than `deadline_s`."""
    importlib.import_module("absl.flags").FLAGS.sc2_timeout = deadline_s
    sc_process: Any = importlib.import_module("pysc2.lib.sc_process")
    sc_process.StarcraftProcess = _process_type()


class Game:
    """A game on one map, joined. The thread that starts it must outlive it: the game dies with it."""

    def __init__(self, smac_map_name: str, races: tuple[str, str], seed: int, settings: GameSettings) -> None:
        self._sc_pb = sc2_protocol()
        self._process: Any = None
        config = run_config(settings.version)
        data = map_bytes(config, smac_map_name)
        self._log = tempfile.TemporaryFile(prefix="sc2-log-")  # noqa: SIM115 - closed by close()
        try:
            with self._losses():
                binary = f"Versions/Base{config.version.build_version:05d}/SC2_x64"
                self._process = _process_type()(
                    config,
                    exec_path=str(Path(config.data_dir) / binary),
                    version=config.version,
                    timeout_seconds=settings.deadline_s,
                    log=self._log,
                )
                self._controller = self._process.controller
                self._controller.create_game(self._creation(smac_map_name, data, races, seed, settings))
                options = self._sc_pb.InterfaceOptions(raw=True, score=False)
                race = self._sc_pb.RequestJoinGame(options=options, race=self._race(races[0]))
                self._controller.join_game(race)
                self.info: Any = self._controller.game_info()
        except BaseException:
            self.close()
            raise

    def _race(self, letter: str) -> int:
        names = importlib.import_module("s2clientprotocol.common_pb2").Race
        return int(names.Value(RACES[letter]))

    def _creation(
        self, name: str, data: bytes, races: tuple[str, str], seed: int, settings: GameSettings
    ) -> Any:
        kinds = self._sc_pb.PlayerType
        create = self._sc_pb.RequestCreateGame(
            local_map=self._sc_pb.LocalMap(map_path=f"SMAC_Maps/{name}.SC2Map", map_data=data),
            realtime=False,
            random_seed=seed,
        )
        create.player_setup.add(type=kinds.Value("Participant"))
        create.player_setup.add(
            type=kinds.Value("Computer"), race=self._race(races[1]), difficulty=settings.difficulty
        )
        return create

    @property
    def pid(self) -> int | None:
        """The game's process, None when it has ended."""
        return self._process.pid if self._process is not None else None

    def observe(self) -> Any:
        """The raw observation's units and the game loop, as `Observation`; LostGameError."""
        with self._losses():
            response = self._controller.observe()
            if response.player_result:
                raise LostGameError("the game says that it is over, which no SMAC map ever is")
            return response.observation

    def act(self, actions: list[Any]) -> None:
        """Give orders; LostGameError."""
        with self._losses():
            self._controller.actions(self._sc_pb.RequestAction(actions=actions))

    def step(self, loops: int) -> None:
        """Play game loops; LostGameError."""
        with self._losses():
            if self._controller.step(loops) is None:
                raise LostGameError("the game has ended by itself")

    def kill_units(self, tags: list[int]) -> None:
        """Take units off the field with the next loop; LostGameError."""
        debug = importlib.import_module("s2clientprotocol.debug_pb2")
        with self._losses():
            self._controller.debug(debug.DebugCommand(kill_unit=debug.DebugKillUnit(tag=tags)))

    def save_replay(self) -> bytes:
        """The game so far, in the game's own format; LostGameError."""
        with self._losses():
            data: bytes = self._controller.save_replay()
        return data

    def log_tail(self) -> str:
        """The end of the game's log, for errors."""
        if self._log.closed:
            return ""
        size = self._log.seek(0, os.SEEK_END)
        self._log.seek(max(size - LOG_QUOTE_BYTES, 0))
        return self._log.read().decode("utf-8", "replace").strip()

    def close(self) -> None:
        """Ask the game to quit, and end it; calling it twice is harmless."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(Exception):
                process.close()
        self._log.close()

    def kill(self) -> None:
        """End a lost game at once, without asking it to quit."""
        process = self._process
        if process is not None:
            with contextlib.suppress(Exception):  # it may have ended
                process._proc.kill()
                process._proc.wait(10)
            with contextlib.suppress(Exception):
                process.controller.close()
            process._controller = None
        self.close()

    @contextlib.contextmanager
    def _losses(self) -> Iterator[None]:
        """Turn what pysc2, websocket or protobuf raise into LostGameError, with the end of the game's log."""
        try:
            yield
        except (InputError, LostGameError, KeyboardInterrupt, SystemExit):
            raise
        except Exception as error:
            said = self.log_tail()
            quoted = f"; the game's own log ends: {said}" if said else "; the game has written nothing"
            raise LostGameError(f"{type(error).__name__}: {error}{quoted}") from error
