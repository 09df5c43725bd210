"""Weapons: hits, shots, blows, explosions, healing, and death. Rules: docs/battlefield.md."""

from __future__ import annotations

from typing import Final

import numpy as np

from envs.battle.fields import (
    AFTER_SHOT,
    AIR,
    ALIVE,
    ARC_COSINE,
    ARMOR,
    BACKSWING,
    CHANNEL,
    CHANNELLING,
    COOLDOWN,
    DAMAGE_POINT,
    ENERGY,
    EXPLODED,
    EXPLOSION,
    FACING_X,
    FACING_Y,
    FIXED,
    FLIGHT,
    HEAL_ENERGY,
    HEAL_RATE,
    HEAL_START,
    HEALING,
    HEALTH,
    HEALTH_MAX,
    HIT_AGO,
    LANCES,
    LAST_ATTACKER,
    OTHER_AGO,
    OTHER_ATTACKER,
    PERIOD,
    PHASE,
    PLANE,
    RADIUS,
    RANGE,
    READY,
    SECOND_BLOW,
    SHIELD,
    SHIELD_DELAY,
    SHIELD_WAIT,
    SHOT_ACCELERATION,
    SHOT_AT,
    SHOT_SPEED,
    SHOT_TARGET,
    SLOP,
    SPLASH,
    SWEEP_DX,
    SWEEP_DY,
    SWEEP_POINT,
    SWEEP_X,
    SWEEP_Y,
    SWEPT_A,
    SWEPT_B,
    TARGET,
    TEAM,
    TURN_COSINE,
    TURN_SINE,
    TWO_BLOWS,
    VX,
    VY,
    WEAPON,
    WINDING_UP,
    WINDUP,
    X,
    Y,
)
from envs.battle.world import Ints, Reals, World
from envs.compiled import helper
from envs.smac.rng import Seeds, uniform
from envs.smac.units import LOOPS_PER_SECOND

MIN_DAMAGE: Final = 0.5
JITTER_LOW_LOOPS: Final = -1.0
JITTER_HIGH_LOOPS: Final = 2.0
SWEEP_POINTS: Final = 11
SWEEP_PERIOD_LOOPS: Final = 0.0227 * LOOPS_PER_SECOND
SPLASH_SHARE: Final = 0.75  # of its radius by which a victim is closer to a lance or an explosion


@helper
def gap(f: Reals, w: World, i: int, j: int) -> float:
    """Distance from edge to edge, cells."""
    dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
    return float(np.sqrt(dx * dx + dy * dy) - w.s[RADIUS, i] - w.s[RADIUS, j])


@helper
def hit(f: Reals, k: Ints, w: World, i: int, j: int, damage: float) -> None:
    """Unit i deals `damage` to unit j: shields absorb first, armor reduces the rest."""
    f[SHIELD_WAIT, j] = w.s[SHIELD_DELAY, j]
    if k[LAST_ATTACKER, j] != i:
        k[OTHER_ATTACKER, j], k[OTHER_AGO, j] = k[LAST_ATTACKER, j], k[HIT_AGO, j]
        k[LAST_ATTACKER, j] = i
    k[HIT_AGO, j] = 0
    absorbed = min(f[SHIELD, j], damage)
    f[SHIELD, j] -= absorbed
    rest = damage - absorbed
    if rest > 0.0:
        f[HEALTH, j] -= max(rest - w.s[ARMOR, j], MIN_DAMAGE)


@helper
def explode(f: Reals, k: Ints, w: World, i: int) -> None:
    """Baneling i bursts, once: every opposing ground unit near takes its damage."""
    k[EXPLODED, i] = 1
    f[HEALTH, i] = 0.0
    for j in range(f.shape[1]):
        if k[ALIVE, j] != 0 and w.t[TEAM, j] != w.t[TEAM, i] and w.t[PLANE, j] != AIR:
            dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
            reach = w.s[SPLASH, i] + SPLASH_SHARE * w.s[RADIUS, j]
            if dx * dx + dy * dy <= reach * reach:
                hit(f, k, w, i, j, w.damage[i, j])


@helper
def flight_loops(distance: float, speed: float, acceleration: float) -> float:
    """Loops that a projectile takes over `distance` cells."""
    if distance <= 0.0:
        return 0.0
    if acceleration <= 0.0:
        return distance / speed
    return float((np.sqrt(speed * speed + 2.0 * acceleration * distance) - speed) / acceleration)


@helper
def shoot(f: Reals, k: Ints, w: World, rng: Seeds, i: int, j: int) -> None:
    """Unit i attacks unit j at the end of its damage point, and its cooldown starts.

    WINDUP holds what loops overshot (-2 < w <= 0); it is taken from the cooldown, so that periods are
    exact on average though everything happens on whole loops.
    """
    jitter = JITTER_LOW_LOOPS + (JITTER_HIGH_LOOPS - JITTER_LOW_LOOPS) * uniform(rng)
    f[COOLDOWN, i] = w.s[PERIOD, i] - w.s[DAMAGE_POINT, i] + jitter + f[WINDUP, i]
    f[BACKSWING, i] = w.s[AFTER_SHOT, i]
    k[SHOT_AT, i] = j
    weapon = w.t[WEAPON, i]
    if weapon == EXPLOSION:
        explode(f, k, w, i)
    elif weapon == LANCES:
        dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
        length = np.sqrt(dx * dx + dy * dy)
        k[SWEEP_POINT, i] = k[SWEPT_A, i] = k[SWEPT_B, i] = 0
        f[CHANNEL, i] = SWEEP_PERIOD_LOOPS
        f[SWEEP_X, i], f[SWEEP_Y, i] = f[X, j], f[Y, j]
        f[SWEEP_DX, i] = -dy / length if length > 0.0 else 1.0
        f[SWEEP_DY, i] = dx / length if length > 0.0 else 0.0
    elif w.s[SHOT_SPEED, i] > 0.0:
        if k[SHOT_TARGET, i] >= 0 and k[ALIVE, k[SHOT_TARGET, i]] != 0:  # the last one is still in the air
            hit(f, k, w, i, k[SHOT_TARGET, i], w.damage[i, k[SHOT_TARGET, i]])
        k[SHOT_TARGET, i] = j
        f[FLIGHT, i] = flight_loops(gap(f, w, i, j), w.s[SHOT_SPEED, i], w.s[SHOT_ACCELERATION, i])
    else:
        hit(f, k, w, i, j, w.damage[i, j])
        if weapon == TWO_BLOWS:
            k[PHASE, i] = CHANNELLING
            f[CHANNEL, i] = w.s[SECOND_BLOW, i]


@helper
def begin_attack(f: Reals, k: Ints, w: World, rng: Seeds, i: int, j: int) -> None:
    """Unit i, weapon ready and unit j in range, starts its damage point; without one it shoots at once."""
    f[WINDUP, i] = w.s[DAMAGE_POINT, i] + f[COOLDOWN, i]
    if w.s[DAMAGE_POINT, i] <= 0.0:
        shoot(f, k, w, rng, i, j)
    else:
        k[PHASE, i] = WINDING_UP


@helper
def wind_up(f: Reals, k: Ints, w: World, rng: Seeds, i: int) -> bool:
    """Continue unit i's damage point; False when its target has died, which ends it without a cooldown."""
    j = k[TARGET, i]
    if j < 0 or k[ALIVE, j] == 0:
        k[PHASE, i] = READY
        return False
    f[WINDUP, i] -= 1.0
    if f[WINDUP, i] <= 0.0:
        k[PHASE, i] = READY
        if gap(f, w, i, j) <= w.s[RANGE, i] + w.s[SLOP, i]:
            shoot(f, k, w, rng, i, j)
    return True


@helper
def turn_to(f: Reals, w: World, i: int, j: int) -> bool:
    """Turn unit i's weapon towards unit j for a loop; True when it points there closely enough to fire."""
    dx, dy = f[X, j] - f[X, i], f[Y, j] - f[Y, i]
    distance = np.sqrt(dx * dx + dy * dy)
    if distance < 1e-9:
        return True
    dx, dy = dx / distance, dy / distance
    x, y = f[FACING_X, i], f[FACING_Y, i]
    cosine = x * dx + y * dy
    if cosine >= w.s[TURN_COSINE, i]:
        f[FACING_X, i], f[FACING_Y, i] = dx, dy
        return True
    side = 1.0 if x * dy - y * dx >= 0.0 else -1.0
    cos, sin = w.s[TURN_COSINE, i], side * w.s[TURN_SINE, i]
    f[FACING_X, i], f[FACING_Y, i] = x * cos - y * sin, x * sin + y * cos
    return bool(f[FACING_X, i] * dx + f[FACING_Y, i] * dy >= w.s[ARC_COSINE, i])


@helper
def continue_blows(f: Reals, k: Ints, w: World, i: int) -> None:
    """One loop of zealot i between its first blow and its second."""
    f[CHANNEL, i] -= 1.0
    if f[CHANNEL, i] <= 0.0:
        k[PHASE, i] = READY
        j = k[SHOT_AT, i] if k[SHOT_AT, i] >= 0 else k[TARGET, i]
        if j >= 0 and k[ALIVE, j] != 0 and gap(f, w, i, j) <= w.s[RANGE, i] + w.s[SLOP, i]:
            hit(f, k, w, i, j, w.damage[i, j])


@helper
def fly_projectiles(f: Reals, k: Ints, w: World) -> None:
    """One loop of every projectile; those of dead attackers land too."""
    for i in range(f.shape[1]):
        j = k[SHOT_TARGET, i]
        if j >= 0:
            f[FLIGHT, i] -= 1.0
            if f[FLIGHT, i] <= 0.0:
                k[SHOT_TARGET, i] = -1
                if k[ALIVE, j] != 0:
                    hit(f, k, w, i, j, w.damage[i, j])


@helper
def heal(f: Reals, k: Ints, w: World, i: int, j: int) -> None:
    """One loop of medivac i's beam on unit j."""
    missing = w.s[HEALTH_MAX, j] - f[HEALTH, j]
    if k[PHASE, i] != HEALING and f[ENERGY, i] < w.s[HEAL_START, i]:
        return
    amount = min(w.s[HEAL_RATE, i], missing, f[ENERGY, i] / w.s[HEAL_ENERGY, i])
    if amount <= 0.0 or f[HEALTH, j] <= 0.0:
        k[PHASE, i] = READY
        return
    k[PHASE, i] = HEALING
    k[SHOT_AT, i] = j
    f[HEALTH, j] += amount
    f[ENERGY, i] = max(f[ENERGY, i] - amount * w.s[HEAL_ENERGY, i], 0.0)


@helper
def bury(f: Reals, k: Ints, w: World) -> None:
    """Take units without health out of the battle; banelings among them burst, which may kill more."""
    again = True
    while again:
        again = False
        for i in range(f.shape[1]):
            if k[ALIVE, i] != 0 and f[HEALTH, i] <= 0.0:
                if w.t[WEAPON, i] == EXPLOSION and k[EXPLODED, i] == 0:
                    explode(f, k, w, i)
                k[ALIVE, i] = 0
                k[FIXED, i] = 0
                k[PHASE, i] = READY
                k[TARGET, i] = -1
                k[SWEEP_POINT, i] = SWEEP_POINTS
                f[HEALTH, i] = f[SHIELD, i] = f[ENERGY, i] = f[COOLDOWN, i] = f[VX, i] = f[VY, i] = 0.0
                again = True
