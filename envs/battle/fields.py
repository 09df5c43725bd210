"""The rows of the simulator's arrays, and the orders a unit can have.

One battle is two arrays, `f[F_ROWS, U]` float64 and `k[K_ROWS, U]` int64, a column per unit (agents first);
`s[S_ROWS, U]` and `t[T_ROWS, U]` hold what never changes. Lengths are in cells, times in game loops,
speeds in cells per loop.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Final

# --- f: what changes, float64 -------------------------------------------------------------------------------
X: Final = 0
Y: Final = 1
HEALTH: Final = 2
SHIELD: Final = 3
ENERGY: Final = 4
COOLDOWN: Final = 5  # until the weapon is ready; runs to -1 < c <= 0 in the loop in which it becomes ready
WINDUP: Final = 6  # left of the damage point
BACKSWING: Final = 7  # left of standing still after a shot
SHIELD_WAIT: Final = 8  # until shields regenerate
DX: Final = 9  # the walk of this loop, before walls and collisions
DY: Final = 10
SPEED: Final = 11  # current, of units that accelerate
GOAL_X: Final = 12  # point of the order
GOAL_Y: Final = 13
FLIGHT: Final = 14  # left of the flight of this unit's projectile
CHANNEL: Final = 15  # until a zealot's second blow, or the next point of a colossus's sweep
SWEEP_X: Final = 16  # centre of a colossus's sweep
SWEEP_Y: Final = 17
SWEEP_DX: Final = 18  # its direction, a unit vector
SWEEP_DY: Final = 19
PUSH_X: Final = 20  # sum of this loop's collisions
PUSH_Y: Final = 21
VX: Final = 22  # the walk of the loop before
VY: Final = 23
HEALTH_BEFORE: Final = 24  # at the start of the step
SHIELD_BEFORE: Final = 25
FACING_X: Final = 26  # where the weapon points, a unit vector
FACING_Y: Final = 27
F_ROWS: Final = 28

# --- k: what changes, int64 ---------------------------------------------------------------------------------
ALIVE: Final = 0
ORDER: Final = 1
ORDER_TARGET: Final = 2  # unit of the order, -1 none
TARGET: Final = 3  # unit fought or healed now, -1 none
PHASE: Final = 4  # one of the values below
SHOT_TARGET: Final = 5  # unit that this unit's projectile flies to, -1 none in flight
SWEEP_POINT: Final = 6  # points of the sweep done; SWEEP_POINTS when there is no sweep
SWEPT_A: Final = 7  # bit per opposing unit: found by the first lance
SWEPT_B: Final = 8
LAST_ATTACKER: Final = 9
STEER_SIDE: Final = 10  # +1 left, -1 right
STEER_LOOPS: Final = 11  # for how long the side is kept
FIXED: Final = 12  # stands to fight: others yield
SHOT_AT: Final = 13  # unit shot at or healed since the last multiple of LOOPS_PER_STEP, -1 none
EXPLODED: Final = 14
NEAR: Final = 15  # scratch: a list of unit indices
HIT_AGO: Final = 16  # loops since LAST_ATTACKER's hit
SCAN_LOOP: Final = 17  # the loop of every eight in which the units of this battle look for targets
BURNS_A: Final = 18  # BURN_DELAY_LOOPS rows by loop: bit per opposing unit that the first lance will hurt
BURNS_B: Final = 22
OTHER_ATTACKER: Final = 26  # the one before LAST_ATTACKER, if another
OTHER_AGO: Final = 27  # loops since its hit
ROUTE: Final = 28  # the cells (codes) of the enemies' common way, one a column, -1 after the last
ROUTE_AT: Final = 29  # the column of the cell of it that this unit walks to
K_ROWS: Final = 30

READY: Final = 0
WINDING_UP: Final = 1
CHANNELLING: Final = 2
HEALING: Final = 3

# --- s: what a unit is, float64 -----------------------------------------------------------------------------
RADIUS: Final = 0
SEPARATION: Final = 1
STEP: Final = 2  # cells per loop
ACCELERATION: Final = 3  # cells per loop per loop; 0: at once
RANGE: Final = 4
SLOP: Final = 5
SCAN: Final = 6  # range within which a unit finds a target to fight, or to heal
PERIOD: Final = 7
DAMAGE_POINT: Final = 8
AFTER_SHOT: Final = 9  # backswing
SHOT_SPEED: Final = 10  # cells per loop; 0: hits at once
SHOT_ACCELERATION: Final = 11
ARMOR: Final = 12
HEALTH_MAX: Final = 13
SHIELD_MAX: Final = 14
REGENERATION: Final = 15  # health per loop
SECOND_BLOW: Final = 16  # time from a first blow to the second
SPLASH: Final = 17  # radius of an explosion
SHIELD_REGENERATION: Final = 18  # shield per loop
SHIELD_DELAY: Final = 19  # time without a hit after which shields regenerate
ENERGY_START: Final = 20
ENERGY_MAX: Final = 21
ENERGY_REGENERATION: Final = 22  # energy per loop
HEAL_RATE: Final = 23  # health per loop
HEAL_ENERGY: Final = 24  # per point of health
HEAL_START: Final = 25  # energy without which no healing begins
CLEARANCE: Final = 26  # how far the centre keeps off walls
ARC_COSINE: Final = 27  # of the angle to either side within which the weapon fires
TURN_COSINE: Final = 28  # of the angle by which the weapon turns in a loop
TURN_SINE: Final = 29
S_ROWS: Final = 30

# --- t: what a unit is, int64 -------------------------------------------------------------------------------
TEAM: Final = 0  # 0 agents, 1 enemies
WEAPON: Final = 1
PLANE: Final = 2
ACQUIRES: Final = 3  # chooses targets without an order
BIOLOGICAL: Final = 4
TYPE: Final = 5
FIRST_FOE: Final = 6  # columns FIRST_FOE to LAST_FOE (exclusive) are the other team
LAST_FOE: Final = 7
CREATED: Final = 8  # place in the order of creation, agents before enemies
T_ROWS: Final = 9

NO_WEAPON: Final = 0
SHOT: Final = 1
TWO_BLOWS: Final = 2
LANCES: Final = 3
EXPLOSION: Final = 4
HEAL_BEAM: Final = 5

GROUND: Final = 0
CLIFF_WALKER: Final = 1
AIR: Final = 2


KEEP: Final = -1
STOP: Final = 0
MOVE: Final = 1
ATTACK_UNIT: Final = 2
ATTACK_MOVE: Final = 3
HOLD: Final = 4
HEAL: Final = 5
ATTACK_GROUP: Final = 6


class Order(IntEnum):
    """What a unit is to do.

    `KEEP` leaves the order it has; `ATTACK_UNIT` and `HEAL` name a unit, `MOVE` and `ATTACK_MOVE` a point;
    `ATTACK_GROUP` attacks the closest opponent until it is dead, then the next.
    """

    KEEP = KEEP
    STOP = STOP
    MOVE = MOVE
    ATTACK_UNIT = ATTACK_UNIT
    ATTACK_MOVE = ATTACK_MOVE
    HOLD = HOLD
    HEAL = HEAL
    ATTACK_GROUP = ATTACK_GROUP
