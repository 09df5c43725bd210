"""One against one, all pairs of fighting types: winner and remaining life as the unit table has them."""

from __future__ import annotations

import math
from itertools import product

import pytest

from envs.battle.fields import ALIVE, Order, X
from envs.battle.roster import hit_damage
from envs.smac.units import UNITS, UnitType

FIGHTERS = [t for t in UnitType if t not in (UnitType.MEDIVAC, UnitType.BANELING)]
PAIRS = list(product(FIGHTERS, repeat=2))
GAP_CELLS = 0.05
SLACK_LOOPS = 1.0  # everything happens on whole loops


# Hits that kill, by attacker (row) and victim (column), worked out by hand. Marine on zealot: eight of 6
# leave 2 of 50 shields, the ninth takes those and 4 - 1 of 100 health, then twenty of 5. Zealots and colossi
# hit twice an attack. What Zerg regenerate meanwhile counts: a zergling of 35 would die of six marine hits,
# but has regenerated 5 * .89 s * .2734 = 1.2 before the sixth.
HITS = """
               marine marauder stalker zealot colossus hydralisk zergling spine_crawler
marine              8       25      30     29       65        14        7            80
marauder            5        7       9     17       19         9        4            18
stalker             4        8      10     13       21         7        3            20
zealot              6       18      22     21       48        11        5            52
colossus            3       14      17     11       38         6        3            39
hydralisk           4       12      14     14       31         7        3            31
zergling            9       32      36     35       80        17        8           108
spine_crawler       2        5       6      7       12         4        2            11
"""
HEAD, *ROWS = [line.split() for line in HITS.strip().splitlines()]
BY_HAND = [(row[0], victim, int(hits)) for row in ROWS for victim, hits in zip(HEAD, row[1:], strict=True)]


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


def turning_loops(unit: UnitType) -> int:
    """Loops that a half turn delays a first attack: by 62.5 degrees a loop, to within 11.25 degrees.

    A colossus fires within 56.25 degrees, 55 are left after two loops; a spine crawler turns by 22.5.
    """
    return {UnitType.COLOSSUS: 1, UnitType.SPINE_CRAWLER: 7}.get(unit, 2)


def hit_times(attacker: UnitType, count: int, is_enemy: bool) -> list[tuple[float, float]]:
    """Earliest and latest loop of each of the first hits: damage point, period, jitter, flight or delay.

    An enemy looks for targets in one of the first eight loops, and turns around.
    """
    stats = UNITS[attacker]
    delays = [0.0]
    if attacker is UnitType.ZEALOT:
        delays = [0.0, 0.28 * 16]
    elif attacker is UnitType.COLOSSUS:  # both lances come within .43 cells in the second loop, and burn in 4
        delays = [2.0 + 4.0] * 2
    elif stats.projectile_speed_cells_s:
        delays = [GAP_CELLS / stats.projectile_speed_cells_s * 16]
    times = []
    for n in range(math.ceil(count / len(delays))):
        for delay in delays:
            start, period = stats.damage_point_s * 16 + delay, stats.period_s * 16
            if is_enemy:
                start += turning_loops(attacker)
            latest = start + n * (period + 2) + 2 * SLACK_LOOPS + (7 if is_enemy else 0)
            times.append((start + n * (period - 1), latest))
    return times[:count]


@pytest.mark.parametrize(("attacker", "victim", "hits"), BY_HAND)
def test_hits_to_kill_are_those_worked_out_by_hand(attacker: str, victim: str, hits: int) -> None:
    assert hits_to_kill(UnitType[attacker.upper()], UnitType[victim.upper()]) == hits


@pytest.mark.parametrize(("ally", "enemy"), PAIRS, ids=lambda t: t.name.lower())
def test_duel(battlefield, ally: UnitType, enemy: UnitType) -> None:
    kill_enemy, kill_ally = hits_to_kill(ally, enemy), hits_to_kill(enemy, ally)
    win_early, win_late = hit_times(ally, kill_enemy, False)[-1]
    lose_early, lose_late = hit_times(enemy, kill_ally, True)[-1]

    field = battlefield([(ally, 10, 10)], [(enemy, 26, 10)], passive=False)
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
        landed_least = sum(late + 3 < loops for _, late in hit_times(loser, 100, alive[0] == 1))
        landed_most = sum(early <= loops + SLACK_LOOPS for early, _ in hit_times(loser, 100, alive[0] == 1))
        stats = UNITS[kind]
        damage = hit_damage(loser, kind)
        most_left = stats.health_max + stats.shield_max - landed_least * (damage - stats.armor)
        least_left = stats.health_max + stats.shield_max - landed_most * damage
        regenerated = stats.health_regen_s * loops / 16
        assert least_left <= field.life(winner) <= most_left + regenerated + 1e-9


# What a baneling's burst of 20, 35 on light units, 80 on structures, leaves: shields first, then armor.
LEFT_BY_A_BANELING = {
    UnitType.MARINE: 45 - 35,
    UnitType.MARAUDER: 125 - (20 - 1),
    UnitType.STALKER: 160 - 20,
    UnitType.ZEALOT: 150 - 35,
    UnitType.COLOSSUS: 350 - 20,
    UnitType.HYDRALISK: 80 - 35,
    UnitType.ZERGLING: 0,
    UnitType.BANELING: 30 - 20,  # whose turn had not come yet
    UnitType.SPINE_CRAWLER: 300 - (80 - 2),
}


@pytest.mark.parametrize("baneling_is_agent", [True, False])
@pytest.mark.parametrize("other", LEFT_BY_A_BANELING, ids=lambda t: t.name.lower())
def test_a_baneling_bursts_as_soon_as_it_attacks_and_dies_of_it(
    battlefield, other: UnitType, baneling_is_agent: bool
) -> None:
    teams = [UnitType.BANELING, other] if baneling_is_agent else [other, UnitType.BANELING]
    field = battlefield([(teams[0], 10, 10)], [(teams[1], 26, 10)], passive=False)
    field.f[X, 1] = 10 + sum(UNITS[kind].radius for kind in teams) + GAP_CELLS
    if baneling_is_agent:
        field.order(0, Order.ATTACK_UNIT, target=1)  # else the enemy acquires the passive agent by itself
    baneling = 0 if baneling_is_agent else 1
    loops = field.loops_until(lambda: field.k[ALIVE, baneling] == 0)
    assert loops <= (1 if baneling_is_agent else 8 + turning_loops(UnitType.BANELING))
    assert field.life(1 - baneling) == pytest.approx(LEFT_BY_A_BANELING[other], abs=0.05)  # regeneration
