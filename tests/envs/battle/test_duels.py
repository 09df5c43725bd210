"""One against one, all pairs of fighting types: winner and remaining life as the unit table has them."""

from __future__ import annotations

import math
from itertools import combinations_with_replacement

import pytest

from envs.battle.fields import ALIVE, Order, X
from envs.battle.roster import hit_damage
from envs.smac.units import CUSTOM_TYPE_ORDER, UNITS, UnitType

FIGHTERS = [t for t in UnitType if t not in (UnitType.MEDIVAC, UnitType.BANELING)]
GAP_CELLS = 0.05
SLACK_LOOPS = 1.0  # everything happens on whole loops


def hits_to_kill(attacker: UnitType, victim: UnitType) -> int:
    """Hits until all life is gone: armor counts for what reaches health, Zerg regenerate meanwhile."""
    stats, weapon = UNITS[victim], UNITS[attacker]
    shield, health, hits = stats.shield_max, stats.health_max, 0
    while True:
        rest = hit_damage(attacker, victim) - shield
        shield = max(-rest, 0.0)
        health -= max(rest - stats.armor, 0.5) if rest > 0 else 0
        hits += 1
        if health <= 0:
            return hits
        health += stats.health_regen_s * (weapon.period_s + 0.5 / 16) / weapon.hits


def hit_times(attacker: UnitType, count: int) -> list[tuple[float, float]]:
    """Earliest and latest loop of each of the first hits: damage point, period, jitter, flight or delay."""
    stats = UNITS[attacker]
    delays = [0.0]
    if attacker is UnitType.ZEALOT:
        delays = [0.0, 0.28 * 16]
    elif attacker is UnitType.COLOSSUS:  # both lances pass the middle at the sixth of eleven points
        delays = [(0.25 + 5 * 0.0312) * 16] * 2
    elif stats.projectile_speed_cells_s:
        delays = [GAP_CELLS / stats.projectile_speed_cells_s * 16]
    times = []
    for n in range(math.ceil(count / len(delays))):
        for delay in delays:
            start, period = stats.damage_point_s * 16 + delay, stats.period_s * 16
            times.append((start + n * (period - 1), start + n * (period + 2) + 2 * SLACK_LOOPS))
    return times[:count]


PAIRS = [
    pair
    for pair in combinations_with_replacement(sorted(FIGHTERS, key=CUSTOM_TYPE_ORDER.index), 2)
    if UnitType.SPINE_CRAWLER not in pair or pair[0] is not pair[1]
]


@pytest.mark.parametrize(("ally", "enemy"), PAIRS, ids=lambda t: t.name.lower())
def test_duel(battlefield, ally: UnitType, enemy: UnitType) -> None:
    kill_enemy, kill_ally = hits_to_kill(ally, enemy), hits_to_kill(enemy, ally)
    win_early, win_late = hit_times(ally, kill_enemy)[-1]
    lose_early, lose_late = hit_times(enemy, kill_ally)[-1]

    field = battlefield([(ally, 10, 10)], [(enemy, 13, 10)], passive=False)
    field.f[X, 1] = 10 + UNITS[ally].radius + UNITS[enemy].radius + GAP_CELLS
    field.order(0, Order.ATTACK_UNIT, target=1)
    loops = field.loops_until(lambda: field.k[ALIVE].min() == 0)

    assert min(win_early, lose_early) <= loops <= min(win_late, lose_late) + 3 * SLACK_LOOPS
    alive = field.k[ALIVE].tolist()
    if win_late + 3 < lose_early:
        assert alive == [1, 0]
    elif lose_late + 3 < win_early:
        assert alive == [0, 1]
    if sum(alive) == 1:
        winner, loser = (0, enemy) if alive[0] else (1, ally)
        kind = ally if winner == 0 else enemy
        landed_least = sum(late + 3 < loops for _, late in hit_times(loser, 100))
        landed_most = sum(early <= loops + SLACK_LOOPS for early, _ in hit_times(loser, 100))
        stats = UNITS[kind]
        damage = hit_damage(loser, kind)
        most_left = stats.health_max + stats.shield_max - landed_least * (damage - stats.armor)
        least_left = stats.health_max + stats.shield_max - landed_most * damage
        regenerated = stats.health_regen_s * loops / 16
        assert least_left <= field.life(winner) <= most_left + regenerated + 1e-9
