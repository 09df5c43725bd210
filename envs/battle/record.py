"""Watchable battles: a recorder that turns battles of the simulator into one self-contained page.

The page (files in `viewer/`) needs no network. Numbers travel as base64 of little-endian arrays: positions
in hundredths of a cell; health, shields, energy and loops of cooldown in tenths; advantages as 16 bits of a
scale.
"""

from __future__ import annotations

import base64
import json
from importlib import resources
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from envs.battle.animation import animation
from envs.battle.env import BattleEnv
from envs.errors import InputError
from envs.files import write_atomically
from envs.smac.actions import DIRECTIONS, NAMES
from envs.smac.smac_map import SmacMap
from envs.smac.tables import SHOOT, SIGHT, layout_tables
from envs.smac.units import LOOPS_PER_SECOND, LOOPS_PER_STEP, UNITS, UnitType
from envs.types import BoolArray, IntArray, TimeStep

CENTI: Final = 100
DECI: Final = 10
SCRIPTS: Final = ("data.js", "terrain.js", "units.js", "camera.js", "stage.js", "panel.js", "player.js")


class Recorder:
    """Records the battles of one slot of a `BattleEnv`.

    Call `begin` after each reset of that slot, `step` after every step played, and `write` in the end.
    `player` is the team's name in the page's heading; the first `max_battles` battles are kept.
    """

    def __init__(self, player: str = "", *, slot: int = 0, max_battles: int = 4) -> None:
        self.player = player
        self.slot = slot
        self.max_battles = max_battles
        self._env: BattleEnv | None = None
        self._battles: list[_Battle] = []
        self._recording = False

    @property
    def n_battles(self) -> int:
        """Battles recorded so far, the running one included."""
        return len(self._battles)

    def begin(self, env: BattleEnv, time_step: TimeStep) -> None:
        """Start a battle, after the reset that gave `time_step`; InputError where units are not shown."""
        if not hasattr(env, "units"):
            raise InputError(
                f"{env.spec.name}: only battles on SMAC's maps, on the simulator, can be recorded as a page"
            )
        self._recording = self.n_battles < self.max_battles
        if self._recording:
            self._env = env
            self._battles.append(_Battle(env, self.slot, time_step))

    def step(
        self,
        env: BattleEnv,
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
        data = {
            "player": self.player,
            "map": _map_data(self._env.smac_map),
            "n_agents": self._env.spec.n_agents,
            "n_actions": self._env.spec.n_actions,
            "actions": [[name, *way] for name, way in zip(NAMES, DIRECTIONS, strict=True)],
            "step_s": LOOPS_PER_STEP / LOOPS_PER_SECOND,
            "loops_per_second": LOOPS_PER_SECOND,
            "battles": [battle.data() for battle in self._battles],
        }
        # "<" inside a script element could end it.
        text = json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")
        page = _viewer_file("page.html")
        page = page.replace("/* style */", _viewer_file("style.css"))
        page = page.replace("/* scripts */", "\n".join(_viewer_file(name) for name in SCRIPTS))
        return page.replace("{title}", _escape(self._env.smac_map.name)).replace('"{data}"', text)

    def picture(self) -> str:
        """The first battle as an animated picture; ValueError when nothing was recorded."""
        if self._env is None:
            raise ValueError("no battle has been recorded")
        return animation(self._battles[0], self._env.smac_map, self._env.spec.n_agents, self.player)

    def write(self, path: Path | str) -> None:
        """Write the page, or NAME.svg the picture, atomically; InputError when the file cannot be written."""
        path = Path(path)
        write_atomically(path, (self.picture() if path.suffix.lower() == ".svg" else self.page()).encode())


class _Battle:
    """One battle, frame by frame: frame t is what stood before step t, the last one is the end."""

    def __init__(self, env: BattleEnv, slot: int, time_step: TimeStep) -> None:
        self.slot = slot
        self.episode = int(env.episodes[slot])
        self.seed = int(env.seed)
        self.units = _unit_data(env, slot)
        self.frames: list[npt.NDArray[np.int16]] = []  # [6, U]
        self.avail: list[BoolArray] = []  # [N, A]
        self.actions: list[IntArray] = []  # [N]
        self.advantages: list[npt.NDArray[np.float32]] = []  # [N, A]
        self.rewards: list[float] = []
        self.end = "running"
        self._note(env, time_step)

    def step(
        self,
        env: BattleEnv,
        time_step: TimeStep,
        actions: IntArray,
        advantages: npt.NDArray[np.float32] | None,
    ) -> None:
        self.actions.append(actions.copy())
        if advantages is not None:
            self.advantages.append(advantages.copy())
        self.rewards.append(float(time_step.reward[self.slot]))
        if time_step.won[self.slot]:
            self.end = "won"
        elif time_step.truncated[self.slot]:
            self.end = "time"
        elif time_step.terminated[self.slot]:
            self.end = "lost" if env.units.alive[self.slot, env.spec.n_agents :].any() else "drawn"
        self._note(env, time_step)

    def _note(self, env: BattleEnv, time_step: TimeStep) -> None:
        """Append the units' present state, and every agent's available actions."""
        units, b = env.units, self.slot
        heals = units.types[b] == UnitType.MEDIVAC
        charge = np.where(heals, units.energy[b], np.maximum(units.cooldown[b], 0))
        columns = [
            units.x[b] * CENTI,
            units.y[b] * CENTI,
            np.where(units.alive[b] > 0, np.maximum(units.health[b] * DECI, 1), 0),
            units.shield[b] * DECI,
            charge * DECI,
            units.shot_at[b],
        ]
        self.frames.append(np.stack([np.round(column) for column in columns]).astype("<i2"))
        self.avail.append(time_step.avail_actions[b].copy())

    def data(self) -> dict[str, Any]:
        """Plain data for the page."""
        names = ("x", "y", "health", "shield", "charge", "shot_at")
        frames = np.stack(self.frames, axis=1)  # [6, T + 1, U]
        data: dict[str, Any] = {name: _base64(rows) for name, rows in zip(names, frames, strict=True)}
        T = len(self.actions)
        data |= {
            "episode": self.episode,
            "seed": self.seed,
            "units": self.units,
            "end": self.end,
            "steps": T,
            "rewards": [round(reward, 4) for reward in self.rewards],
            "avail": _base64(np.packbits(np.array(self.avail).reshape(len(self.avail), -1), axis=1)),
            "actions": _base64(np.array(self.actions, np.uint8)),
        }
        if T and len(self.advantages) == T:
            advantages = np.nan_to_num(np.array(self.advantages), neginf=0, posinf=0)
            scale = float(np.abs(advantages).max()) / 32767 or 1.0
            data["advantages"] = _base64(np.round(advantages / scale).astype("<i2"))
            data["advantage_scale"] = scale
        return data


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


def _unit_data(env: BattleEnv, b: int) -> list[dict[str, Any]]:
    """What the units of battle b are, agents first."""
    units, tables = env.units, layout_tables(env.smac_map)
    rows = zip(units.types[b], units.radius[b], units.health_max[b], units.shield_max[b], strict=True)
    return [
        {
            "type": UnitType(kind).name.lower(),
            "radius": float(radius),
            "health_max": float(health),
            "shield_max": float(shield),
            "sight_cells": float(tables.kinds[SIGHT, kind]),
            "shoot_cells": float(tables.kinds[SHOOT, kind]),
            "projectile": UNITS[UnitType(kind)].projectile_speed_cells_s > 0,
            "splash": UNITS[UnitType(kind)].splash_radius,
        }
        for kind, radius, health, shield in rows
    ]


def _base64(array: npt.NDArray[Any]) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode("ascii")


def _viewer_file(name: str) -> str:
    return (resources.files("envs.battle") / "viewer" / name).read_text(encoding="utf-8")


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
