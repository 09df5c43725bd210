"""A recorded battle as an animated picture (SVG), which a page or a README shows without a script.

It loops: units on the ground, life, shots, deaths, and the circle that one agent sees.
"""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from envs.battle.recorded import RecordedBattle
from envs.smac.smac_map import SmacMap

PIXELS: Final = 22
"""Of one cell."""
MARGIN_CELLS: Final = 2.5
CAPTION_PIXELS: Final = 46
STEP_S: Final = 0.18
"""Twice as fast as the game, where a step takes .357 s."""
HOLD_S: Final = 1.6
"""How long the end is shown."""
OURS, THEIRS, WATCHED = "#2f6fde", "#d8463b", "#ffcf4d"
GROUND, ROCK, INK = "#eceae4", "#c9c5ba", "#2b2b2b"
PLURALS = {"colossus": "colossi"}
X, Y, HEALTH, SHIELD, SHOT_AT = 0, 1, 2, 3, 5


class Clock:
    """Writes `animate` elements for values given frame by frame."""

    def __init__(self, n_frames: int) -> None:
        self.n_frames = n_frames
        self.duration_s = (n_frames - 1) * STEP_S + HOLD_S
        self.times = [round(frame * STEP_S / self.duration_s, 4) for frame in range(n_frames)]

    def animate(self, attribute: str, values: Sequence[str], *, jumps: bool = False, kind: str = "") -> str:
        """One attribute over the frames; values that repeat are left out where that changes nothing."""
        if len(set(values)) == 1:
            return ""
        last = len(values) - 1
        kept = [
            frame
            for frame in range(len(values))
            if frame in (0, last)
            or values[frame] != values[frame - 1]
            or (not jumps and values[frame] != values[frame + 1])
        ]
        text = ";".join(values[frame] for frame in [*kept, last])
        times = ";".join(f"{self.times[frame]:g}" for frame in kept) + ";1"
        name = "animateTransform" if kind else "animate"
        extra = f' type="{kind}"' if kind else ""
        mode = ' calcMode="discrete"' if jumps else ""
        return (
            f'<{name} attributeName="{attribute}"{extra} values="{text}" keyTimes="{times}"{mode} '
            f'dur="{self.duration_s:g}s" repeatCount="indefinite"/>'
        )


def animation(battle: RecordedBattle, smac_map: SmacMap, n_agents: int, player: str) -> str:
    """The picture of a battle, with the sight of the agent that lives longest."""
    frames = battle.frames().astype(float)  # [T + 1, 6, U]
    watched = int((frames[:, HEALTH, :n_agents] > 0).sum(axis=0).argmax())
    place, clock = Placement(frames, smac_map), Clock(len(frames))
    size = f"{place.width} {place.height + CAPTION_PIXELS}"
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" font-family="sans-serif" role="img">',
        f"<title>{html.escape(headline(battle, smac_map, n_agents))}</title>",
        f'<rect width="100%" height="100%" fill="{ROCK}"/>',
        ground(smac_map, place),
        sight(frames, battle.units[watched], watched, place, clock),
        *(shots(frames, unit, unit < n_agents, place, clock) for unit in range(len(battle.units))),
        *(
            figure(frames, unit, battle.units[unit], unit < n_agents, place, clock)
            for unit in range(len(battle.units))
        ),
        caption(battle, smac_map, n_agents, player, place, clock),
        "</svg>",
    ]
    return "\n".join(part for part in parts if part) + "\n"


class Placement:
    """Where a point of the map is in the picture, which shows as much of it as the units walk on."""

    def __init__(self, frames: npt.NDArray[np.float64], smac_map: SmacMap) -> None:
        x, y = frames[:, X] / 100, frames[:, Y] / 100
        standing = frames[:, HEALTH] > 0
        walkable = np.argwhere(smac_map.colossus_walkable)
        low, high = walkable.min(axis=0), walkable.max(axis=0) + 1
        self.left = max(float(x[standing].min()) - MARGIN_CELLS, float(low[0]) - 1)
        self.right = min(float(x[standing].max()) + MARGIN_CELLS, float(high[0]) + 1)
        self.bottom = max(float(y[standing].min()) - MARGIN_CELLS, float(low[1]) - 1)
        self.top = min(float(y[standing].max()) + MARGIN_CELLS, float(high[1]) + 1)
        self.width = round((self.right - self.left) * PIXELS)
        self.height = round((self.top - self.bottom) * PIXELS)

    def x(self, cells: float) -> float:
        """Pixels from the left."""
        return round((cells - self.left) * PIXELS, 1)

    def y(self, cells: float) -> float:
        """Pixels from the top; the map's y grows to the north."""
        return round((self.top - cells) * PIXELS, 1)


def ground(smac_map: SmacMap, place: Placement) -> str:
    """The cells on which units may stand, as one path of runs."""
    runs = []
    for y in range(smac_map.colossus_walkable.shape[1]):
        row = np.flatnonzero(np.diff(np.concatenate([[0], smac_map.colossus_walkable[:, y], [0]])))
        for start, stop in row.reshape(-1, 2):
            width = (stop - start) * PIXELS
            runs.append(f"M{place.x(start):g},{place.y(y + 1):g}h{width:g}v{PIXELS}h-{width:g}z")
    return f'<path d="{"".join(runs)}" fill="{GROUND}"/>'


def positions(frames: npt.NDArray[np.float64], unit: int, place: Placement) -> list[str]:
    """The unit's place in every frame."""
    return [f"{place.x(x / 100):g},{place.y(y / 100):g}" for x, y in frames[:, [X, Y], unit]]


def until_death(frames: npt.NDArray[np.float64], unit: int) -> list[str]:
    """1 while the unit lives, then 0."""
    return [str(int(health > 0)) for health in frames[:, HEALTH, unit]]


def figure(
    frames: npt.NDArray[np.float64],
    unit: int,
    kind: dict[str, Any],
    is_agent: bool,
    place: Placement,
    clock: Clock,
) -> str:
    """A unit: a disc with its type's letter, and its life as a bar above it."""
    where, radius = positions(frames, unit, place), round(max(kind["radius"], 0.35) * PIXELS, 1)
    most = kind["health_max"] + kind["shield_max"]
    life = [(health + shield) / 10 / most for health, shield in frames[:, [HEALTH, SHIELD], unit]]
    bars = [f"{2 * radius * min(1, part):.1f}" for part in life]
    color, letter = (OURS if is_agent else THEIRS), kind["type"][0].upper()
    return (
        f'<g transform="translate({where[0]})">{clock.animate("transform", where, kind="translate")}'
        f"<g>{clock.animate('opacity', until_death(frames, unit), jumps=True)}"
        f'<circle r="{radius}" fill="{color}" stroke="{INK}" stroke-width=".8"/>'
        f'<text y=".35em" font-size="{1.1 * radius:.1f}" fill="#fff" text-anchor="middle">{letter}</text>'
        f'<rect x="-{radius}" y="-{radius + 5:g}" width="{2 * radius:g}" height="3" fill="#0003"/>'
        f'<rect x="-{radius}" y="-{radius + 5:g}" width="{bars[0]}" height="3" fill="#3c9a4b">'
        f"{clock.animate('width', bars, jumps=True)}</rect></g></g>"
    )


def shots(frames: npt.NDArray[np.float64], unit: int, is_agent: bool, place: Placement, clock: Clock) -> str:
    """A line to whom the unit has shot or healed, in the frames in which it has."""
    target = frames[:, SHOT_AT, unit].astype(int)
    if (target < 0).all():
        return ""
    ends: dict[str, list[str]] = {name: [] for name in ("x1", "y1", "x2", "y2")}
    last = int(target[target >= 0][0])
    for frame, aim in enumerate(target):
        last = int(aim) if aim >= 0 else last
        at, to = frames[frame, [X, Y], unit] / 100, frames[frame, [X, Y], last] / 100
        for name, value in zip(
            ends, (place.x(at[0]), place.y(at[1]), place.x(to[0]), place.y(to[1])), strict=True
        ):
            ends[name].append(f"{value:g}")
    shown = ["1" if aim >= 0 else "0" for aim in target]
    color = OURS if is_agent else THEIRS
    moving = "".join(clock.animate(name, values, jumps=True) for name, values in ends.items())
    first = " ".join(f'{name}="{values[0]}"' for name, values in ends.items())
    return (
        f'<line {first} stroke="{color}" stroke-width="1.6" opacity="{shown[0]}">'
        f"{moving}{clock.animate('opacity', shown, jumps=True)}</line>"
    )


def sight(
    frames: npt.NDArray[np.float64], kind: dict[str, Any], unit: int, place: Placement, clock: Clock
) -> str:
    """The circle that an agent sees."""
    where = positions(frames, unit, place)
    return (
        f'<g transform="translate({where[0]})">{clock.animate("transform", where, kind="translate")}'
        f"<g>{clock.animate('opacity', until_death(frames, unit), jumps=True)}"
        f'<circle r="{kind["sight_cells"] * PIXELS:g}" fill="{OURS}" fill-opacity=".09" stroke="{OURS}" '
        f'stroke-dasharray="5 4"/><circle r="{kind["radius"] * PIXELS + 4:.1f}" fill="{WATCHED}"/></g></g>'
    )


def headline(battle: RecordedBattle, smac_map: SmacMap, n_agents: int) -> str:
    """Who fights whom, and how it ends."""

    def side(units: Sequence[dict[str, Any]]) -> str:
        counts = Counter(unit["type"].replace("_", " ") for unit in units)
        return ", ".join(
            f"{n} {name if n == 1 else PLURALS.get(name, f'{name}s')}" for name, n in counts.items()
        )

    ours, theirs = side(battle.units[:n_agents]), side(battle.units[n_agents:])
    return f"{smac_map.name}: {ours} against {theirs}, {battle.end}"


def caption(
    battle: RecordedBattle,
    smac_map: SmacMap,
    n_agents: int,
    player: str,
    place: Placement,
    clock: Clock,
) -> str:
    """Two lines below the ground, and how far the battle is."""
    by = f"Played by {player}. " if player else ""
    lines = [headline(battle, smac_map, n_agents), f"{by}The circle is all that the marked agent sees."]
    widths = [f"{place.width * frame / max(1, clock.n_frames - 1):.0f}" for frame in range(clock.n_frames)]
    font = min(14.0, 1.8 * (place.width - 20) / max(map(len, lines)))
    texts = (
        f'<text x="10" y="{place.height + y}" font-size="{font:.1f}" fill="{INK}">{html.escape(text)}</text>'
        for y, text in zip((20, 38), lines, strict=True)
    )
    return (
        f'<rect y="{place.height}" width="100%" height="{CAPTION_PIXELS}" fill="{GROUND}"/>{"".join(texts)}'
        f'<rect y="{place.height}" width="0" height="3" fill="{INK}">{clock.animate("width", widths)}</rect>'
    )
