"""A unit that a debug command creates moves columns, and nothing else in the battle."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("s2clientprotocol")

from envs.battle import fields
from envs.battle.opening import LONG_AGO
from envs.sc2api.battle import Battle, Command
from envs.sc2api.ids import COMPUTER, PLAYER
from envs.smac.maps import load_map
from envs.smac.units import UnitType

CORNERS = {PLAYER: (2.5, 8.5), COMPUTER: (29.5, 23.4)}


def create(battle: Battle, unit: UnitType, owner: int, x: float, y: float) -> int:
    """Create one of the map's own units, which do nothing without an order; returns its column."""
    before = set(battle.tags)
    assert battle.create(unit, battle.custom_ids[unit], owner, x, y)
    (tag,) = set(battle.tags) - before
    return battle.column[tag]


def numbers(battle: Battle, tags: list[int]) -> np.ndarray:
    """The rows `f` of units; flights to units that have died do not count."""
    f, k = battle.arrays.f[0].copy(), battle.arrays.k[0]
    target = k[fields.SHOT_TARGET]
    f[fields.FLIGHT, (target < 0) | (k[fields.ALIVE, target] == 0)] = 0
    return f[:, [battle.column[tag] for tag in tags]]


def test_units_created_far_away_change_no_other_units_battle() -> None:
    """Colossi sweep, stalkers' shots fly and zealots' second blows come while columns move and are freed."""
    alone, joined = (Battle(load_map("1c3s5z"), 3) for _ in range(2))
    for battle in (alone, joined):
        battle.give([Command(u, fields.ATTACK_MOVE, x=23.0, y=16.0) for u in range(9)])
    seen = set()
    for loop in range(240):
        alone.step(1)
        joined.step(1)
        k = joined.arrays.k[0]
        sweeps = k[fields.SWEPT_A : fields.SWEPT_B + 1].any()
        burns = k[fields.BURNS_A : fields.BURNS_A + 8].any()
        busy = sweeps, burns, (k[fields.SHOT_TARGET] >= 0).any(), not all(alone.alive)
        seen.update(n for n, happens in enumerate(busy) if happens)
        if loop % 6 == 0:
            owner = (PLAYER, COMPUTER)[loop % 12 == 0]
            create(joined, UnitType.ZEALOT, owner, *CORNERS[owner])
        living = [tag for tag, lives in zip(alone.tags, alone.alive, strict=True) if lives]
        np.testing.assert_array_equal(numbers(alone, living), numbers(joined, living), f"loop {loop}")
    assert seen == {0, 1, 2, 3}
    assert 0 < len(living) < 18


def test_burns_to_come_stay_with_their_victims() -> None:
    battle = Battle(load_map("2c_vs_64zg"), 0)
    dead, victims = battle.tags[2], [battle.tags[65], battle.tags[40]]  # bits 63 and 38, seen from the agents
    battle.kill([dead])
    battle.step(1)
    battle.arrays.k[0, fields.BURNS_A + 3, 0] = -(1 << 63) | 1 << 38
    battle.arrays.k[0, fields.BURNS_B + 3, 1] = 1 << 38
    create(battle, UnitType.COLOSSUS, PLAYER, 5.5, 25.5)
    assert dead not in battle.tags  # its column is free, so everybody's has changed
    battle.step(3)  # loops 1 to 3
    health = battle.arrays.f[0, fields.HEALTH]
    assert [health[battle.column[tag]] for tag in victims] == pytest.approx([20, 5], abs=0.06)
    assert sorted(health[3:].tolist())[2:] == [35] * 61  # 10, 5 more as they are light; they regenerate


def test_a_dead_colossus_keeps_its_column_until_its_lances_have_burnt() -> None:
    battle = Battle(load_map("2c_vs_64zg"), 0)
    colossus, victim = battle.tags[0], battle.tags[10]
    battle.kill([colossus])
    battle.step(1)
    battle.arrays.k[0, fields.BURNS_A + 2, 0] = 1 << 8
    create(battle, UnitType.COLOSSUS, PLAYER, 5.5, 25.5)
    assert colossus in battle.tags
    battle.step(2)
    assert battle.arrays.f[0, fields.HEALTH, battle.column[victim]] == pytest.approx(20, abs=0.06)
    create(battle, UnitType.COLOSSUS, PLAYER, 5.5, 25.5)
    assert colossus not in battle.tags


def test_the_enemies_keep_their_common_way() -> None:
    alone, joined = (Battle(load_map("2c_vs_64zg"), 1) for _ in range(2))
    tags = list(alone.tags)
    create(joined, UnitType.COLOSSUS, PLAYER, 5.5, 25.5)
    assert (alone.arrays.k[0, fields.ROUTE] >= 0).any()
    for _ in range(4):
        alone.step(8)
        joined.step(8)
        np.testing.assert_array_equal(numbers(alone, tags), numbers(joined, tags))


def test_a_created_unit_is_as_new_as_one_of_a_battle_that_begins() -> None:
    battle = Battle(load_map("MMM"), 2)
    at = battle.type_ids.index(battle.custom_ids[UnitType.MARAUDER])
    begun = battle.arrays.f[0, :, at].copy(), battle.arrays.k[0, :, at].copy()
    battle.step(5)
    new = create(battle, UnitType.MARAUDER, PLAYER, 5.5, 20.5)
    f, k = battle.arrays.f[0, :, new], battle.arrays.k[0, :, new]
    own_place = [fields.X, fields.Y, fields.GOAL_X, fields.GOAL_Y]
    assert f[own_place].tolist() == [5.5, 20.5] * 2
    f[own_place] = begun[0][own_place]
    np.testing.assert_array_equal(f[: fields.HEALTH_BEFORE], begun[0][: fields.HEALTH_BEFORE])
    assert f[[fields.FACING_X, fields.FACING_Y]].tolist() == [1, 0]
    ago = [fields.HIT_AGO, fields.OTHER_AGO]
    assert (k[ago] == LONG_AGO).all()
    no_trait = [*ago, fields.ROUTE, fields.NEAR]
    k[no_trait] = begun[1][no_trait]
    np.testing.assert_array_equal(k, begun[1])


@pytest.mark.parametrize("owner", [PLAYER, COMPUTER])
def test_a_unit_created_at_a_wall_can_walk(owner: int) -> None:
    battle = Battle(load_map("3m"), 0)
    new = create(battle, UnitType.MARINE, owner, 1.0, 7.0)
    assert battle.arrays.f[0, : fields.Y + 1, new].tolist() == [2.3125, 7.3125]  # .375 - 1/16 off the walls
    battle.give([Command(new, fields.MOVE, x=6.0, y=12.0)])
    battle.step(16)
    assert battle.arrays.f[0, fields.X, new] > 3


def test_the_last_loops_deaths_are_noticed_though_columns_move() -> None:
    battle = Battle(load_map("MMM"), 0)
    marine, medivac = 2, 9
    tag = battle.tags[medivac]
    battle.arrays.f[0, fields.HEALTH, marine] = 1
    battle.give([Command(medivac, fields.HEAL, target=marine)])
    battle.arrays.f[0, fields.HEALTH, marine] = 0  # it dies at the end of the loop, seen healed till then
    battle.step(1)
    create(battle, UnitType.MARINE, PLAYER, 5.5, 20.5)
    assert battle.arrays.k[0, fields.ORDER, battle.column[tag]] == fields.HEAL
    battle.step(1)
    assert battle.arrays.k[0, fields.ORDER, battle.column[tag]] == fields.STOP
