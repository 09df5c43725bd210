"""Weapons, armor, shields: one test per rule, numbers worked out from StarCraft II's Liberty data by hand."""

import numpy as np
import pytest
from small_battles import Battle

from envs.battle import fields
from envs.battle.fields import Order
from envs.smac.units import UnitType

MARINE, MARAUDER, MEDIVAC, STALKER, ZEALOT, COLOSSUS, HYDRALISK, ZERGLING, BANELING, CRAWLER = UnitType


def duel(attacker: UnitType, victim: UnitType, distance: float, seed: int = 0) -> Battle:
    """Column 0, the victim, is an agent without orders; column 1, the attacker, an enemy at so many cells."""
    return Battle([(victim, 10, 16)], [(attacker, 10 + distance, 16)], seed=seed)


@pytest.mark.parametrize(
    ("attacker", "victim", "distance", "first"),
    [
        (MARINE, MARINE, 4, 6),
        (MARINE, MARAUDER, 4, 5),  # armor 1 is taken from what reaches health
        (MARINE, ZEALOT, 4, 6),  # shields have no armor
        (MARAUDER, MARINE, 4, 10),
        (MARAUDER, STALKER, 4, 20),  # +10 against armored
        (STALKER, ZEALOT, 4, 10),
        (STALKER, STALKER, 4, 14),  # +4 against armored
        (ZEALOT, MARINE, 0.9, 8),
        (HYDRALISK, MARINE, 4, 12),
        (ZERGLING, MARINE, 0.8, 5),
        (ZERGLING, MARAUDER, 1.0, 4),
        (BANELING, MARINE, 0.8, 35),  # 20 and 15 more against light
        (BANELING, MARAUDER, 1.1, 19),  # 20 less armor
        (CRAWLER, MARINE, 5, 25),
        (CRAWLER, STALKER, 5, 30),  # +5 against armored
    ],
)
def test_the_first_hit_takes_damage_bonus_and_armor_into_account(
    attacker: UnitType, victim: UnitType, distance: float, first: float
) -> None:
    losses = duel(attacker, victim, distance).losses(0, 30)
    assert losses[0][1] == pytest.approx(first)


@pytest.mark.parametrize(
    ("attacker", "victim", "period_s", "distance"),
    [
        (MARINE, ZEALOT, 0.8608, 4),
        (MARAUDER, ZEALOT, 1.5, 4),
        (STALKER, ZEALOT, 1.44, 4),
        (HYDRALISK, ZEALOT, 0.83, 4),
        (ZERGLING, ZEALOT, 0.696, 0.9),
        (CRAWLER, ZEALOT, 1.6, 5),
    ],
)
def test_attacks_come_in_the_weapons_period_with_a_jitter_of_minus_one_to_two_loops(
    attacker: UnitType, victim: UnitType, period_s: float, distance: float
) -> None:
    gaps: list[int] = []
    for seed in range(8):
        hits = [loop for loop, _ in duel(attacker, victim, distance, seed).losses(0, 120)]
        gaps += np.diff(hits).tolist()
    period_loops = 16 * period_s
    assert min(gaps) >= np.floor(period_loops - 1)
    assert max(gaps) <= np.ceil(period_loops + 2) + 1  # a projectile lands on whole loops
    assert np.mean(gaps) == pytest.approx(period_loops + 0.5, abs=0.45)  # 0.9 loops / sqrt(40) at the least


def test_a_marine_kills_a_zealot_that_does_not_fight_back_with_29_shots() -> None:
    """50 shield: 8 shots of 6, the ninth takes 2 and 4 - 1 = 3 health; then 97 at 5 a shot, 20 shots."""
    battle = duel(MARINE, ZEALOT, 4)
    hits = []
    while battle.health(0) > 0:
        hits += [(loop + 0, lost) for loop, lost in battle.losses(0, 1)]
        assert len(hits) < 40
    assert [lost for _, lost in hits[:9]] == [6.0] * 8 + [5.0]
    assert [lost for _, lost in hits[9:28]] == [5.0] * 19
    assert len(hits) == 29
    loops = int(battle.env._battles.loops[0])
    assert 28 * (13.77 - 1) <= loops <= 28 * (13.77 + 2) + 4


def test_the_damage_point_passes_before_the_hit() -> None:
    """Whole loops each: one or two to notice the victim, then the damage point, then the flight.

    Stalker: .167 s = 2.7 -> 3 loops, then 4 - 1.25 cells at 18.75 cells/s = 2.3 -> 3 loops. A marauder has
    no damage point and 1 cell of flight at 20 cells/s: .8 -> 1 loop.
    """
    assert duel(STALKER, STALKER, 4).losses(0, 12)[0][0] in (7, 8)
    assert duel(MARAUDER, STALKER, 2).losses(0, 12)[0][0] in (2, 3)


def test_projectiles_take_their_time_and_land_though_the_attacker_has_died() -> None:
    """Hydralisk: .208 s = 3.3 -> 4 loops of damage point, 1 cell at 40 cells/s -> 1 loop of flight.

    Crawler: .3332 s = 5.3 -> 6 loops; 6.75 cells from 12 cells/s on, accelerating by 140: .24 s = 3.8 -> 4.
    """
    near, far = duel(HYDRALISK, MARINE, 2), duel(CRAWLER, MARINE, 8)
    assert near.losses(0, 12)[0][0] in (6, 7)
    assert far.losses(0, 16)[0][0] in (11, 12)
    orphan = duel(CRAWLER, MARINE, 8)
    orphan.loops(9)
    assert orphan.life(0) == 45
    orphan.set(fields.HEALTH, 1, 0.0)
    assert orphan.losses(0, 8)[0][1] == 25


@pytest.mark.parametrize(
    ("attacker", "range_cells"), [(MARINE, 5), (STALKER, 6), (HYDRALISK, 5), (CRAWLER, 7)]
)
def test_range_is_measured_from_edge_to_edge(attacker: UnitType, range_cells: float) -> None:
    """Agents attack what they are told to; at the order they shoot when in range, else they walk first."""
    radii = {MARINE: 0.375, STALKER: 0.625, HYDRALISK: 0.625, CRAWLER: 0.875}[attacker] + 0.375
    for extra, walks in ((-0.05, False), (0.05, True)):
        x = 10 + range_cells + radii + extra
        battle = Battle([(attacker, 10, 16)], [(MARINE, x, 16)])
        battle.loops(1, Order.ATTACK_UNIT, target=1)
        moved = battle.position(0)[0] - 10 > 0.01
        assert moved is (walks and attacker is not CRAWLER)
        assert battle.losses(1, 12) != [] or attacker is CRAWLER or walks


def test_shields_come_back_ten_seconds_after_the_last_damage_at_two_points_a_second() -> None:
    battle = Battle([(ZEALOT, 10, 16)], [(MARINE, 25, 16)])
    battle.set(fields.SHIELD, 0, 20.0)
    battle.set(fields.SHIELD_WAIT, 0, 160.0)
    battle.loops(159)
    assert battle.shield(0) == 20
    battle.loops(17)
    assert battle.shield(0) == pytest.approx(22, abs=0.13)
    battle.loops(240)
    assert battle.shield(0) == 50
    assert battle.health(0) == 100


@pytest.mark.parametrize(
    ("unit", "per_second"), [(ZERGLING, 0.2734), (HYDRALISK, 0.2734), (MARINE, 0), (ZEALOT, 0)]
)
def test_zerg_heal_themselves(unit: UnitType, per_second: float) -> None:
    battle = Battle([(unit, 10, 16)], [(MARINE, 28, 16)])
    battle.set(fields.HEALTH, 0, 10.0)
    battle.loops(160)
    assert battle.health(0) == pytest.approx(10 + 10 * per_second)


def test_a_zealot_strikes_twice_and_the_second_blow_is_lost_with_its_life() -> None:
    losses = duel(ZEALOT, MARINE, 0.9).losses(0, 14)
    assert [lost for _, lost in losses] == [8, 8]
    assert losses[1][0] - losses[0][0] == pytest.approx(0.28 * 16, abs=1)
    interrupted = duel(ZEALOT, MARINE, 0.9)
    while interrupted.life(0) == 45:
        interrupted.loops(1)
    interrupted.set(fields.HEALTH, 1, 0.0)
    assert interrupted.losses(0, 10) == []


def test_colossus_lances_sweep_a_line_across_the_target() -> None:
    """Both lances hit the target; 1.2 cells to the side as well; 1.2 cells behind nothing burns."""
    colossus, target = (COLOSSUS, 4, 16), (ZEALOT, 9, 16)
    battle = Battle([colossus], [target, (ZEALOT, 9, 17.2), (ZEALOT, 10.2, 16), (ZEALOT, 9, 13)])
    battle.loops(1, Order.ATTACK_UNIT, target=1)
    before = [battle.life(unit) for unit in range(1, 5)]
    for _ in range(20):
        for unit, (_, x, y) in enumerate([target, (ZEALOT, 9, 17.2), (ZEALOT, 10.2, 16), (ZEALOT, 9, 13)], 1):
            battle.put(unit, x, y)  # nobody walks
        battle.loops(1)
    assert [a - battle.life(unit) for unit, a in enumerate(before, 1)] == [40, 40, 0, 0]


def test_a_baneling_bursts_once_over_all_ground_enemies_near_and_spares_its_own() -> None:
    battle = Battle(
        [(MARAUDER, 12.0, 16), (MARINE, 10.8, 16), (MARINE, 14, 16)],
        [(BANELING, 10, 16), (BANELING, 10, 18)],
    )
    battle.set(fields.COOLDOWN, 4, 1000.0)  # the second one only looks on
    types = battle.env.units.types.tolist()
    marauder, near, far = types.index(MARAUDER), types.index(MARINE), types.index(MARINE) + 1
    while battle.health(3) > 0:
        battle.loops(1)
    assert battle.life(near) == 45 - 35
    assert battle.life(marauder) == 125 - 19  # 2 cells away: within 2.2
    assert battle.life(far) == 45
    assert battle.health(4) == 30


def test_a_baneling_bursts_when_it_is_killed() -> None:
    battle = Battle([(BANELING, 10, 16)], [(MARAUDER, 11.5, 16), (MARAUDER, 16, 16)])
    battle.set(fields.HEALTH, 0, -1.0)
    battle.loops(1)
    assert battle.health(0) == 0
    assert battle.health(1) == 125 - 19
    assert battle.health(2) == 125


def test_a_medivac_heals_nine_points_a_second_for_a_third_of_an_energy_each() -> None:
    battle = Battle([(MARINE, 10, 16), (MEDIVAC, 12, 16)], [(MARINE, 30, 30)])
    types = battle.env.units.types.tolist()
    marine, medivac = types.index(MARINE), types.index(MEDIVAC)
    battle.set(fields.HEALTH, marine, 10.0)
    battle.loops(17, Order.HEAL, agent=medivac, target=marine)
    assert battle.health(marine) == pytest.approx(10 + 9, abs=9 / 16 + 1e-6)
    spent = 0.33 * (battle.health(marine) - 10)
    assert battle.env.units.energy[0, medivac] == pytest.approx(50 + 17 * 0.5625 / 16 - spent, abs=0.05)


def test_a_medivac_starts_with_five_energy_or_not_at_all_and_heals_no_machine() -> None:
    battle = Battle([(MARINE, 10, 16), (MEDIVAC, 12, 16)], [(MARINE, 30, 30)])
    types = battle.env.units.types.tolist()
    marine, medivac = types.index(MARINE), types.index(MEDIVAC)
    battle.set(fields.HEALTH, marine, 10.0)
    battle.set(fields.ENERGY, medivac, 4.0)
    battle.loops(8, Order.HEAL, agent=medivac, target=marine)
    assert battle.health(marine) == 10
    battle.loops(40)  # 1 energy comes back in 28 loops
    assert battle.health(marine) > 10
    machine = Battle([(STALKER, 10, 16), (MEDIVAC, 12, 16)], [(MARINE, 30, 30)])
    types = machine.env.units.types.tolist()
    machine.set(fields.HEALTH, types.index(STALKER), 10.0)
    machine.loops(16, Order.HEAL, agent=types.index(MEDIVAC), target=types.index(STALKER))
    assert machine.health(types.index(STALKER)) == 10


def test_a_spine_crawler_never_moves() -> None:
    battle = Battle([(MARINE, 10, 16)], [(CRAWLER, 21, 16)])
    battle.loops(60, Order.ATTACK_UNIT, target=1)
    assert battle.position(1) == (21, 16)


def test_melee_cannot_reach_the_air() -> None:
    battle = Battle([(MEDIVAC, 10, 16)], [(ZERGLING, 10.5, 16), (MARINE, 14, 16)])
    assert battle.losses(0, 20)[0][1] == 5  # the marine's 6 less armor
    only_melee = Battle([(MEDIVAC, 10, 16)], [(ZERGLING, 10.5, 16)])
    assert only_melee.losses(0, 40) == []


def test_what_the_dead_were_ordered_is_over() -> None:
    battle = duel(MARINE, MARINE, 4)
    battle.set(fields.HEALTH, 0, 0.0)
    battle.loops(3)
    assert battle.env.units.alive[0].tolist() == [0, 1]
    assert battle.env.units.shot_at[0, 1] == -1
    assert battle.health(0) == 0


def test_duels_of_equals_are_even_and_the_stronger_type_wins() -> None:
    """A stalker (160 life, 10 per 1.44 s) keeps most of its life against a marine (45 life, 6 per .86 s)."""

    def fight(one: UnitType, other: UnitType, seed: int) -> tuple[float, float]:
        battle = Battle([(one, 12, 16)], [(other, 15, 16)], seed=seed)
        battle.loops(1, Order.ATTACK_UNIT, target=1)
        for _ in range(1000):
            if not battle.env.units.alive[0].all():
                break
            battle.loops(1)
        return battle.life(0), battle.life(1)

    wins = [fight(MARINE, MARINE, seed)[0] > 0 for seed in range(12)]
    assert 1 <= sum(wins) <= 11
    stalker, marine = fight(STALKER, MARINE, 0)
    # five hits at 5.8, 28.8, 51.8, ... loops: the marine fires some 8 times in 97 loops, all into shields
    assert marine == 0
    assert 160 - 9 * 6 <= stalker <= 160 - 6 * 6
    zealot, zergling = fight(ZEALOT, ZERGLING, 0)
    # 35 life: two full strikes and one blow; a zergling bites some 4 times meanwhile, into shields
    assert zergling == 0
    assert zealot >= 150 - 6 * 5
