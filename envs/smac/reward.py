"""SMAC's shaped reward and the end of a battle, as kernels on one battle.

Source: SMAC's `reward_battle`, `update_units` and `only_medivac_left`, with the default reward settings.
"""

from __future__ import annotations

from typing import Final

from envs.compiled import kernel
from envs.smac.layout import DEATH_REWARD, WIN_REWARD, LayoutTables, Reals
from envs.smac.units import UnitType
from envs.types import IntArray

RUNNING: Final = 0
WON: Final = 1
LOST: Final = 2
DRAWN: Final = 3
"""Both sides died together: the battle has ended, and nobody won."""

REWARD_SCALE: Final = 20.0
"""The highest return of a battle, unless the enemies regenerate."""

_MEDIVAC = int(UnitType.MEDIVAC)


@kernel
def battle_outcome(tables: LayoutTables, utype: IntArray, health: Reals) -> int:
    """RUNNING, WON, LOST or DRAWN, from the types and health [U] of all units.

    On maps of type MMM a side that has only medivacs left has lost; SMAC looks at the agents first, wants
    exactly one enemy medivac, and so calls it a loss when both sides die together.
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
    if (allies == 0 and enemies > 0) or (tables.is_mmm and allies_that_fight == 0):
        return LOST
    if (allies > 0 and enemies == 0) or (tables.is_mmm and enemies == 1 and enemy_medivacs == 1):
        return WON
    return DRAWN if allies == 0 and enemies == 0 else RUNNING


@kernel
def step_reward(
    tables: LayoutTables, health: Reals, shield: Reals, prev_health: Reals, prev_shield: Reals, won: bool
) -> float:
    """|damage done to the enemies + 10 per enemy that died| (+ 200 when `won`), scaled to 20 per battle.

    All arrays [U], agents first, now and before the step. An enemy that was dead before (prev_health 0) has
    been counted; one that died now counts with all it had. What enemies regenerate counts against the damage,
    but the sum without its sign: healing that outweighs damage is rewarded. Losses of agents cost nothing.
    """
    damage = 0.0
    deaths = 0.0
    for u in range(tables.n_agents, tables.n_agents + tables.n_enemies):
        if prev_health[u] <= 0.0:
            continue
        damage += prev_health[u] + prev_shield[u]
        if health[u] > 0.0:
            damage -= health[u] + shield[u]
        else:
            deaths += DEATH_REWARD
    reward = abs(damage + deaths)
    if won:
        reward += WIN_REWARD
    return reward / (tables.max_reward / REWARD_SCALE)
