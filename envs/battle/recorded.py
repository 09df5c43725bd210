"""One recorded battle, frame by frame, and the numbers of it that the viewer's page reads.

Numbers travel as base64 of little-endian arrays: positions in hundredths of a cell; health, shields, energy
and loops of cooldown in tenths; advantages as 16 bits of a scale.
"""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from envs.smac.shown import ShownUnits, ShowsUnits
from envs.smac.smac_map import SmacMap
from envs.smac.tables import SHOOT, SIGHT, layout_tables
from envs.smac.units import UNITS, UnitType
from envs.types import BoolArray, IntArray, TimeStep

CENTI: Final = 100
DECI: Final = 10
ROWS: Final = ("x", "y", "health", "shield", "charge", "shot_at")
"""Of a frame."""

Frames = npt.NDArray[np.int16]
"""[T, 6, U]: `ROWS` of all units, by frame."""


class RecordedBattle:
    """The battle in one slot of an environment, begun by the reset that gave `time_step`.

    Frame t is what stood before step t, the last one is the end. Another thread may read a battle that is
    played: what has `steps` steps has all their numbers.
    """

    def __init__(self, env: ShowsUnits, slot: int, time_step: TimeStep) -> None:
        self.slot = slot
        self.episode = int(env.episodes[slot])
        self.seed = int(env.seed)
        shown = env.shown_units(slot)
        self.units = unit_data(shown, env.smac_map)
        self.n_agents = env.spec.n_agents
        self._n_choices = env.spec.n_agents * env.spec.n_actions
        self._heals = shown.types == UnitType.MEDIVAC
        self._noted: list[npt.NDArray[np.float64]] = []  # [8, U], in a hurry: the game waits
        self.avail: list[BoolArray] = []  # [N, A]
        self.actions: list[IntArray] = []  # [N]
        self.advantages: list[npt.NDArray[np.float32]] = []  # [N, A]
        self.rewards: list[float] = []
        self.end = "running"
        self._note(shown, time_step)

    @property
    def steps(self) -> int:
        """Steps played so far."""
        return len(self._noted) - 1

    def step(
        self,
        env: ShowsUnits,
        time_step: TimeStep,
        actions: IntArray,
        advantages: npt.NDArray[np.float32] | None,
    ) -> None:
        """Note the actions [N], chosen by the advantages [N, A] (None: unknown), that led to `time_step`."""
        shown = env.shown_units(self.slot)
        self.actions.append(actions.copy())
        if advantages is not None:
            self.advantages.append(advantages.copy())
        self.rewards.append(float(time_step.reward[self.slot]))
        self._note(shown, time_step)
        if time_step.won[self.slot]:
            self.end = "won"
        elif time_step.truncated[self.slot]:
            self.end = "time"
        elif time_step.terminated[self.slot]:
            self.end = "lost" if shown.alive[self.n_agents :].any() else "drawn"

    def _note(self, units: ShownUnits, time_step: TimeStep) -> None:
        """Append the units' present state, and every agent's available actions."""
        self.avail.append(time_step.avail_actions[self.slot].copy())
        self._noted.append(
            np.array(
                (
                    units.x, units.y, units.health, units.shield, units.energy, units.cooldown, units.shot_at,
                    units.alive,
                )
            )
        )  # fmt: skip

    def frames(self, first: int = 0, last: int | None = None) -> Frames:
        """Frames `first` to `last`, by default to the newest one."""
        noted = self._noted[first : None if last is None else last + 1]
        if not noted:
            return np.zeros((0, len(ROWS), len(self.units)), "<i2")
        x, y, health, shield, energy, cooldown, shot_at, alive = np.stack(noted, axis=1)
        life = np.where(alive > 0, np.maximum(health * DECI, 1), 0)
        charge = np.where(self._heals, energy, np.maximum(cooldown, 0))
        rows = (x * CENTI, y * CENTI, life, shield * DECI, charge * DECI, shot_at)
        return np.round(np.stack(rows, axis=1)).astype("<i2")

    def data(self, steps: int | None = None) -> dict[str, Any]:
        """Plain data for the page: the whole battle, or its first `steps` steps."""
        steps = self.steps if steps is None else steps
        return {
            "episode": self.episode,
            "seed": self.seed,
            "units": self.units,
            "steps": steps,
            **self._numbers(0, 0, steps),
        }

    def news(self, first: int, last: int) -> dict[str, Any]:
        """Plain data for a page that has the battle up to step `first`: what it lacks up to `last`."""
        return {"from": first, "steps": last, **self._numbers(first + 1, first, last)}

    def _numbers(self, begin: int, first: int, last: int) -> dict[str, Any]:
        """Steps `first` to `last` - 1, and frames `begin` to `last`."""
        frames, avail = self.frames(begin, last), self.avail[begin : last + 1]
        data: dict[str, Any] = {name: _base64(frames[:, row]) for row, name in enumerate(ROWS)}
        data |= {
            "end": self.end if last == self.steps else "running",
            "rewards": [round(reward, 4) for reward in self.rewards[first:last]],
            "avail": _base64(
                np.packbits(np.array(avail, np.bool_).reshape(len(avail), self._n_choices), axis=1)
            ),
            "actions": _base64(np.array(self.actions[first:last], np.uint8)),
        }
        if last > first and len(self.advantages) >= last:
            advantages = np.nan_to_num(np.array(self.advantages[first:last]), neginf=0, posinf=0)
            scale = float(np.abs(advantages).max()) / 32767 or 1.0
            data["advantages"] = _base64(np.round(advantages / scale).astype("<i2"))
            data["advantage_scale"] = scale
        return data


def unit_data(shown: ShownUnits, smac_map: SmacMap) -> list[dict[str, Any]]:
    """What the units of a battle are, agents first."""
    tables = layout_tables(smac_map)
    rows = zip(shown.types, shown.radius, shown.health_max, shown.shield_max, strict=True)
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
