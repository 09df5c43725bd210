"""Walking: steering around other units, and walls. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.fields import (
    ACCELERATION,
    AIR,
    ALIVE,
    CLEARANCE,
    DX,
    DY,
    FACING_X,
    FACING_Y,
    FIXED,
    NEAR,
    PLANE,
    SEPARATION,
    SPEED,
    STEER_LOOPS,
    STEER_SIDE,
    STEP,
    TEAM,
    VX,
    VY,
    X,
    Y,
)
from envs.battle.terrain import is_clear, is_walkable, next_point
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper

LOOK_AHEAD_CELLS: Final = 0.4  # edge to edge, about two loops' walk: only closer units are in the way
ALONG: Final = 0.25  # share of one's own speed at which a unit ahead counts as moving along
STEER_KEPT_LOOPS: Final = 8  # how long a side is kept after the way was last blocked
STEER_TRIES: Final = 8  # units whose tangents are tried one after the other
MEETING: Final = 0.5  # share of its own speed at which a team mate comes the other way
GRAZE: Final = 0.999  # share of the contact distance within which a way is blocked, so that a tangent is free


@helper
def _look_around(f: Reals, k: Ints, w: World, i: int, target: int) -> int:
    """List in k[NEAR] the units close enough to be in the way of unit i; returns their number."""
    count = 0
    for j in range(f.shape[1]):
        rx, ry = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
        reach = w.s[SEPARATION, i] + w.s[SEPARATION, j] + LOOK_AHEAD_CELLS
        if rx * rx + ry * ry > reach * reach or k[ALIVE, j] == 0 or j == i or j == target:  # noqa: SIM109
            continue
        if w.t[PLANE, j] == w.t[PLANE, i]:
            k[NEAR, count] = j
            count += 1
    return count


@helper
def _blocker(
    f: Reals, k: Ints, w: World, i: int, count: int, ux: float, uy: float, far: float
) -> tuple[int, bool]:
    """The first of the `count` units of k[NEAR] that blocks a walk of `far` cells along (ux, uy), -1 none.

    A unit that moves along does not block; nor does a team mate that does not fight, unless it comes the
    other way (True): both then keep to the right.
    """
    first, best, meets = -1, np.inf, False
    for n in range(count):
        j = k[NEAR, n]
        rx, ry = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
        ahead = rx * ux + ry * uy
        if ahead <= 0.0 or ahead >= best:
            continue
        across = rx * uy - ry * ux
        reach = GRAZE * (w.s[SEPARATION, i] + w.s[SEPARATION, j])
        along = f[VX, j] * ux + f[VY, j] * uy
        if across * across >= reach * reach or along > ALONG * w.s[STEP, i]:
            continue
        comes = False
        if w.t[TEAM, j] == w.t[TEAM, i] and k[FIXED, j] == 0:
            comes = along < -MEETING * w.s[STEP, j]
            if not comes:
                continue
        if ahead - np.sqrt(reach * reach - across * across) < far:
            first, best, meets = j, ahead, comes
    return first, meets


@helper
def _steer(
    f: Reals, k: Ints, w: World, i: int, target: int, ux: float, uy: float, far: float
) -> tuple[float, float, int]:
    """The direction that unit i takes instead of (ux, uy), and the unit in its way (-1 none).

    It walks around a blocker on the tangent of one side; when another unit blocks that way, on its tangent;
    and so on. Where no way is free it presses on straight ahead.
    """
    count = _look_around(f, k, w, i, target)
    straight_x, straight_y = ux, uy
    blocker, meets = _blocker(f, k, w, i, count, ux, uy, far)
    if blocker < 0:
        return ux, uy, -1
    if k[STEER_LOOPS, i] <= 0:
        is_left = ux * (f[Y, blocker] - f[Y, i]) > uy * (f[X, blocker] - f[X, i])
        k[STEER_SIDE, i] = -1 if is_left or meets else 1
    k[STEER_LOOPS, i] = STEER_KEPT_LOOPS
    side = k[STEER_SIDE, i]
    other = blocker
    for _ in range(STEER_TRIES):
        rx, ry = f[X, other] - f[X, i], f[Y, other] - f[Y, i]
        distance = np.sqrt(rx * rx + ry * ry)
        if distance < 1e-9:
            break
        sine = min((w.s[SEPARATION, i] + w.s[SEPARATION, other]) / distance, 1.0)
        cosine = np.sqrt(1.0 - sine * sine)
        ux = (rx * cosine - side * ry * sine) / distance
        uy = (ry * cosine + side * rx * sine) / distance
        other, _ = _blocker(f, k, w, i, count, ux, uy, np.inf)
        if other < 0:
            break
    else:
        return straight_x, straight_y, blocker
    return ux, uy, blocker


@helper
def walk(f: Reals, k: Ints, w: World, i: int, goal_x: float, goal_y: float, target: int) -> bool:
    """Plan this loop's walk of unit i towards the goal; True when the goal is reached.

    `target` is the unit walked to (-1 none): it is not in the way. A unit walks whole loops: how far a weapon
    reaches is tested when a loop begins, and does not cut the walk.
    """
    plane = w.t[PLANE, i]
    px, py = next_point(w.terrain, plane, f[X, i], f[Y, i], goal_x, goal_y, w.s[CLEARANCE, i])
    dx, dy = px - f[X, i], py - f[Y, i]
    distance = np.sqrt(dx * dx + dy * dy)
    if distance < 1e-9:
        return True
    step = w.s[STEP, i]
    if w.s[ACCELERATION, i] > 0.0:
        f[SPEED, i] = min(f[SPEED, i] + w.s[ACCELERATION, i], step)
        if target < 0:  # it stops at a point; a unit that it follows may go on
            braking = np.sqrt(2.0 * w.s[ACCELERATION, i] * distance)
            f[SPEED, i] = min(f[SPEED, i], max(braking, w.s[ACCELERATION, i]))
        step = f[SPEED, i]
    length = min(step, distance)
    ux, uy = dx / distance, dy / distance
    if plane != AIR:
        ux, uy, blocker = _steer(f, k, w, i, target, ux, uy, distance)
        if blocker >= 0:
            length = step
    f[DX, i], f[DY, i] = ux * length, uy * length
    f[FACING_X, i], f[FACING_Y, i] = ux, uy
    return bool(distance <= step and px == goal_x and py == goal_y)


@helper
def displace(f: Reals, w: World, i: int, dx: float, dy: float) -> None:
    """Move unit i by (dx, dy), along the wall where there is one."""
    x, y = f[X, i] + dx, f[Y, i] + dy
    plane, clearance = w.t[PLANE, i], w.s[CLEARANCE, i]
    if is_clear(w.terrain, plane, x, y, clearance):
        f[X, i], f[Y, i] = x, y
    elif is_clear(w.terrain, plane, x, f[Y, i], clearance):
        f[X, i] = x
    elif is_clear(w.terrain, plane, f[X, i], y, clearance):
        f[Y, i] = y
    elif is_walkable(w.terrain, plane, x, y) and not is_clear(w.terrain, plane, f[X, i], f[Y, i], clearance):
        f[X, i], f[Y, i] = x, y  # it was put closer to a wall than it may come, and leaves


@helper
def _walk_off(f: Reals, w: World, i: int, dx: float, dy: float) -> None:
    """Make unit i's walk of (dx, dy); where a corner stops it, it goes around the corner."""
    x, y = f[X, i], f[Y, i]
    displace(f, w, i, dx, dy)
    length = np.sqrt(dx * dx + dy * dy)
    moved_x, moved_y = f[X, i] - x, f[Y, i] - y
    if moved_x * moved_x + moved_y * moved_y > 0.25 * length * length:
        return
    plane, clearance = w.t[PLANE, i], w.s[CLEARANCE, i]
    if abs(dx) >= abs(dy):
        side = clearance if dx > 0.0 else -clearance
        above = is_walkable(w.terrain, plane, x + dx + side, y + clearance)
        below = is_walkable(w.terrain, plane, x + dx + side, y - clearance)
        if above != below:
            to = y + length if above else y - length
            if is_clear(w.terrain, plane, x, to, clearance):
                f[X, i], f[Y, i] = x, to
    else:
        side = clearance if dy > 0.0 else -clearance
        right = is_walkable(w.terrain, plane, x + clearance, y + dy + side)
        left = is_walkable(w.terrain, plane, x - clearance, y + dy + side)
        if right != left:
            to = x + length if right else x - length
            if is_clear(w.terrain, plane, to, y, clearance):
                f[X, i], f[Y, i] = to, y


@helper
def move_all(f: Reals, k: Ints, w: World) -> None:
    """Make every planned walk."""
    for i in range(f.shape[1]):
        if f[DX, i] != 0.0 or f[DY, i] != 0.0:
            _walk_off(f, w, i, f[DX, i], f[DY, i])
        f[VX, i], f[VY, i] = f[DX, i], f[DY, i]
        f[DX, i] = f[DY, i] = 0.0
        if k[STEER_LOOPS, i] > 0:
            k[STEER_LOOPS, i] -= 1
