"""Maps from a line: what a line means, and which lines are refused."""

from __future__ import annotations

import re

import pytest

from envs.errors import InputError
from envs.smac.map_line import map_of_line
from envs.smac.map_text import file_text
from envs.smac.maps import read_map
from envs.smac.smac_map import SmacMap
from envs.smac.units import UnitType


def made(line: str) -> SmacMap:
    return read_map(file_text(map_of_line(line, "made")))


def test_the_line_of_the_guide_means_what_it_says() -> None:
    smac_map = made("5 marines and a medivac against 3 zealots, 32 x 32, limit 120")
    assert smac_map.ally_types == (UnitType.MARINE,) * 5 + (UnitType.MEDIVAC,)
    assert smac_map.enemy_types == (UnitType.ZEALOT,) * 3
    assert (smac_map.episode_limit, smac_map.ally_race, smac_map.enemy_race) == (120, "T", "P")
    assert smac_map.walkable.sum() == 28 * 28  # of 32 x 32 the game uses as much
    assert [(group.x, group.y) for group in smac_map.ally_spawns] == [(9, 16), (9, 16)]  # as on SMAC's maps
    assert [(group.x, group.y) for group in smac_map.enemy_spawns] == [(23, 16)]
    assert smac_map.enemy_order.points == ((9, 16),)


def test_without_size_and_limit_the_ground_is_that_of_3m() -> None:
    smac_map = made("three Stalkers, a colossus VS two spine crawlers")
    assert (smac_map.episode_limit, int(smac_map.walkable.sum())) == (150, 28 * 18)
    assert smac_map.enemy_order.kind == "none"  # they cannot walk
    assert smac_map.unit_type_bits == 4


def test_the_ground_lies_in_the_middle() -> None:
    smac_map = made("1 marine against 1 marine, 10×7")
    x, y = smac_map.walkable.nonzero()
    assert (x.min(), x.max(), y.min(), y.max()) == (11, 20, 12, 18)
    assert (smac_map.ally_spawns[0].x, smac_map.enemy_spawns[0].x) == (13.5, 18.5)


def test_all_units_can_be_named_one_or_many() -> None:
    for unit in UnitType:
        name = unit.name.lower().replace("_", " ")
        many = "colossi" if name == "colossus" else f"{name}s"
        besides = ", a marine" if unit is UnitType.MEDIVAC else ""  # which cannot fight alone
        smac_map = made(f"a {name} and 2 {many}{besides} against an {name}{besides}")
        assert (smac_map.ally_types.count(unit), smac_map.enemy_types.count(unit)) == (3, 1)
    assert made("a marine against 2 medivacs").enemy_types == (UnitType.MEDIVAC,) * 2  # the battle goes on


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "say who fights whom, with `against` once"),
        ("5 marines", "say who fights whom"),
        ("a marine against a zealot against a zergling", "say who fights whom"),
        ("5 marins against 3 zealots", "unknown unit 'marins'; did you mean 'marines'"),
        ("many marines against 3 zealots", "'many' is no number; write digits, or a, an, one to twelve"),
        ("marines against 3 zealots", "'marines' is no number of units, such as `3 zealots`"),
        ("-5 marines against 3 zealots", "'-5 marines' is no number of units"),
        ("a marine against limit 5", "'limit 5' must stand once, after both teams"),
        ("a marine, limit 5 against a zealot", "'limit 5' must stand once, after both teams"),
        ("a marine against a zealot, limit 5, limit 6", "'limit 6' must stand once, after both teams"),
        ("a marine against a medivac", "enemies: are medivacs alone, which SMAC counts as beaten"),
        ("3 medivacs against a zealot", "allies: are medivacs alone, which SMAC counts as beaten"),
        ("a marine against a zealot, 33 x 32", "the ground is 4 to 32 cells wide and high"),
        ("a marine against a zealot, 8 x 3", "the ground is 4 to 32 cells wide and high"),
        (
            "a marine against a zealot, limit 0",
            "episode_limit_steps: must be a whole number of at least 1, not 0",
        ),
        ("a marine against a zealot, limit 9999999", "episode_limit_steps: must be at most 1000000"),
        ("0 marines against a zealot", r"allies\[0\]\.count: must be a whole number of at least 1, not 0"),
        ("65 marines against a zealot", "allies: has 65 units; a side has at most 64"),
        ("9" * 5000 + " marines against a zealot", r"is too large a number"),
        ("a marine and a zealot against a zealot", r"the agents are of several races \(marine and zealot\)"),
        ("20 colossi against 20 colossi, 4 x 4", "do not fit"),
    ],
)
def test_lines_that_are_no_map_are_refused_in_one_sentence(line: str, problem: str) -> None:
    with pytest.raises(InputError, match=problem) as refusal:
        map_of_line(line, "made")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 6_000


def test_the_name_is_checked_with_the_line() -> None:
    with pytest.raises(InputError, match=re.escape("--out: 3m is a map of SMAC")):
        map_of_line("a marine against a marine", "3m")
