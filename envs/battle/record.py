"""Watchable battles: a recorder that turns battles of SMAC's into one self-contained page.

The page (files in `viewer/`) needs no network. `live_page` is the same page for battles that are played now.
"""

from __future__ import annotations

import json
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from envs.battle.animation import animation
from envs.battle.recorded import RecordedBattle
from envs.errors import InputError
from envs.files import write_atomically
from envs.smac.actions import DIRECTIONS, NAMES
from envs.smac.shown import ShowsUnits
from envs.smac.smac_map import SmacMap
from envs.smac.units import LOOPS_PER_SECOND, LOOPS_PER_STEP
from envs.types import IntArray, TimeStep

SCRIPTS: Final = (
    "data.js", "terrain.js", "units.js", "camera.js", "stage.js", "panel.js", "agents.js", "live.js",
    "player.js",
)  # fmt: skip


class Recorder:
    """Records the battles of one slot of an environment that shows its units.

    Call `begin` after each reset of that slot, `step` after every step played, and `write` in the end.
    `player` is the team's name in the page's heading; the first `max_battles` battles are kept.
    """

    def __init__(self, player: str = "", *, slot: int = 0, max_battles: int = 4) -> None:
        self.player = player
        self.slot = slot
        self.max_battles = max_battles
        self._env: ShowsUnits | None = None
        self._battles: list[RecordedBattle] = []
        self._recording = False

    @property
    def n_battles(self) -> int:
        """Battles recorded so far, the running one included."""
        return len(self._battles)

    def begin(self, env: ShowsUnits, time_step: TimeStep) -> None:
        """Start a battle, after the reset that gave `time_step`; InputError where units are not shown."""
        if not hasattr(env, "shown_units"):
            raise InputError(
                f"{env.spec.name}: only battles on SMAC's maps, on the simulator or over StarCraft II's API, "
                "can be recorded as a page"
            )
        self._recording = self.n_battles < self.max_battles
        if self._recording:
            self._env = env
            self._battles.append(RecordedBattle(env, self.slot, time_step))

    def step(
        self,
        env: ShowsUnits,
        time_step: TimeStep,
        actions: IntArray,
        advantages: npt.NDArray[np.floating[Any]] | None = None,
    ) -> None:
        """Note what `env.step(actions)` led to.

        actions [B, N]; advantages [B, N, A] of the agents that chose them, None when unknown.
        """
        if self._recording:
            shown = None if advantages is None else np.asarray(advantages, np.float32)[self.slot]
            self._battles[-1].step(env, time_step, np.asarray(actions)[self.slot], shown)
            self._recording = not bool(time_step.done[self.slot])

    def page(self) -> str:
        """The page; ValueError when nothing was recorded."""
        if self._env is None:
            raise ValueError("no battle has been recorded")
        data = _head(self._env.smac_map, self.player)
        return _page(self._env.smac_map.name, data | {"battles": [battle.data() for battle in self._battles]})

    def picture(self) -> str:
        """The first battle as an animated picture; ValueError when nothing was recorded."""
        if self._env is None:
            raise ValueError("no battle has been recorded")
        return animation(self._battles[0], self._env.smac_map, self._env.spec.n_agents, self.player)

    def write(self, path: Path | str) -> None:
        """Write the page, or NAME.svg the picture, atomically; InputError when the file cannot be written."""
        path = Path(path)
        write_atomically(path, (self.picture() if path.suffix.lower() == ".svg" else self.page()).encode())


def live_page(smac_map: SmacMap, player: str, events: str, game: str) -> str:
    """The page that follows battles while they are played: `events` is where it finds their news.

    `game`: the name of this run of battles; a page of another one loads itself anew.
    """
    return _page(smac_map.name, _head(smac_map, player) | {"live": events, "game": game})


def _head(smac_map: SmacMap, player: str) -> dict[str, Any]:
    """What the page needs to know besides battles."""
    return {
        "player": player,
        "map": _map_data(smac_map),
        "n_agents": smac_map.spec.n_agents,
        "n_actions": smac_map.spec.n_actions,
        "actions": [[name, *way] for name, way in zip(NAMES, DIRECTIONS, strict=True)],
        "step_s": LOOPS_PER_STEP / LOOPS_PER_SECOND,
        "loops_per_second": LOOPS_PER_SECOND,
    }


def _page(title: str, data: dict[str, Any]) -> str:
    # "<" inside a script element could end it.
    text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
    page = _viewer_file("page.html")
    page = page.replace("/* style */", _viewer_file("style.css"))
    page = page.replace("/* scripts */", "\n".join(_viewer_file(name) for name in SCRIPTS))
    page = page.replace("/* opener */", _viewer_file("opener.js"))
    return page.replace("{title}", _escape(title)).replace('"{data}"', text)


def _map_data(smac_map: SmacMap) -> dict[str, Any]:
    """The ground, x first: 0 no unit may stand there, 1 colossi only, 2 all; levels in eighths."""
    ground = smac_map.walkable.astype(int) + smac_map.colossus_walkable
    return {
        "name": smac_map.name,
        "limit": smac_map.episode_limit,
        "ground": ground.ravel().tolist(),
        "level": np.round(smac_map.cliff_level * 8).astype(int).ravel().tolist(),
        "notes": list(smac_map.notes),
    }


def _viewer_file(name: str) -> str:
    return (resources.files("envs.battle") / "viewer" / name).read_text(encoding="utf-8")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
