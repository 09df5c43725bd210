"""SMAC's shaped reward and the end of a battle, as kernels on one battle.

Source: SMAC's `reward_battle`, `update_units` and `only_medivac_left`, with the map's settings.
"""

from __future__ import annotations

from typing import Final

from envs.compiled import helper, kernel
from envs.smac.tables import (
    DEATH,
    DEFEAT,
    DOOMED_MEDIVACS,
    MEDIVACS_HEAL,
    NEGATIVE_SCALE,
    REWARD_ONLY_POSITIVE,
    REWARD_REGENERATION,
    REWARD_SPARSE,
    SCALE_RATE,
    WIN,
    LayoutTables,
    Reals,
)
from envs.smac.units import UnitType
from envs.types import IntArray

RUNNING: Final = 0
WON: Final = 1
LOST: Final = 2
DRAWN: Final = 3
"""Both sides died together: the battle has ended, and nobody won."""

_MEDIVAC = int(UnitType.MEDIVAC)


@kernel
def battle_outcome(tables: LayoutTables, utype: IntArray, health: Reals) -> int:
    """RUNNING, WON, LOST or DRAWN, from the types and health [U] of all units.

    Where medivacs heal, a side that has only them left has lost. SMAC looks at the agents first, and so calls
    it a loss when both sides die together; it wants exactly one enemy medivac, SMACv2 any number.
    """
    n = tables.n_agents
    allies = allies_that_fight = 0
    for i in range(n):
        if health[i] > 0.0:
            allies += 1
            if utype[i] != _MEDIVAC:
                allies_that_fight += 1
    enemies = enemy_medivacs = 0
    for u in range(n, n + tables.n_enemies):
        if health[u] > 0.0:
            enemies += 1
            if utype[u] == _MEDIVAC:
                enemy_medivacs += 1
    if (allies == 0 and enemies > 0) or (tables.rules & MEDIVACS_HEAL and allies_that_fight == 0):
        return LOST
    only_medivacs = 0 < enemies == enemy_medivacs <= tables.counts[DOOMED_MEDIVACS]
    if (allies > 0 and enemies == 0) or only_medivacs:
        return WON
    return DRAWN if allies == 0 and enemies == 0 else RUNNING


@kernel
def step_reward(
    tables: LayoutTables, health: Reals, shield: Reals, prev_health: Reals, prev_shield: Reals, outcome: int
) -> float:
    """The reward of a step that led to `outcome`, with SMAC's settings.

    By default |damage done to the enemies + 10 per enemy that died| (+ 200 for a win), scaled to 20 per
    battle. All arrays [U], agents first, now and before the step. What enemies regenerate counts against the
    damage, but SMAC takes the sum without its sign: healing that outweighs damage is rewarded.
    """
    reward = 0.0
    if tables.rules & REWARD_SPARSE:
        if outcome == WON:
            reward = 1.0
        elif outcome == LOST:
            reward = -1.0
    else:
        reward = _shaped(tables, health, shield, prev_health, prev_shield)
        if outcome == WON:
            reward += tables.numbers[WIN]
        elif outcome == LOST:
            reward += tables.numbers[DEFEAT]
    rate = tables.numbers[SCALE_RATE]
    return reward / (tables.max_reward / rate) if rate > 0.0 else reward


@helper
def _shaped(
    tables: LayoutTables, health: Reals, shield: Reals, prev_health: Reals, prev_shield: Reals
) -> float:
    """The reward for damage and deaths."""
    n, death = tables.n_agents, float(tables.numbers[DEATH])
    damage, deaths = _losses(n, n + tables.n_enemies, health, shield, prev_health, prev_shield)
    gained = damage + death * deaths
    if tables.rules & REWARD_ONLY_POSITIVE:
        return abs(gained) if tables.rules & REWARD_REGENERATION else max(gained, 0.0)
    lost, fallen = _losses(0, n, health, shield, prev_health, prev_shield)
    return gained - float(tables.numbers[NEGATIVE_SCALE]) * (lost + death * fallen)


@helper
def _losses(
    first: int, last: int, health: Reals, shield: Reals, prev_health: Reals, prev_shield: Reals
) -> tuple[float, int]:
    """Health and shields that units `first` to `last` lost, and how many of them died.

    One that was dead before has been counted; one that died now counts with all it had.
    """
    damage = 0.0
    deaths = 0
    for u in range(first, last):
        if prev_health[u] <= 0.0:
            continue
        damage += prev_health[u] + prev_shield[u]
        if health[u] > 0.0:
            damage -= health[u] + shield[u]
        else:
            deaths += 1
    return damage, deaths
