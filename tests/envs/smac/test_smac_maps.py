"""The 23 maps: SMAC's dimensions, the ground, who stands where."""

from __future__ import annotations

from importlib import resources

import numpy as np
import pytest

from envs.errors import InputError
from envs.smac.maps import MAP_NAMES, load_map
from envs.smac.units import UNITS, UnitType

# map | agents | enemies | limit | races | map type | type bits | actions | obs | state with and without last
TABLE = """
3m           |  3 |  3 |  60 | T/T | marines                  | 0 |  9 |  30 |   48 |  21
8m           |  8 |  8 | 120 | T/T | marines                  | 0 | 14 |  80 |  168 |  56
25m          | 25 | 25 | 150 | T/T | marines                  | 0 | 31 | 250 |  950 | 175
2s3z         |  5 |  5 | 120 | P/P | stalkers_and_zealots     | 2 | 11 |  80 |  120 |  65
3s5z         |  8 |  8 | 150 | P/P | stalkers_and_zealots     | 2 | 14 | 128 |  216 | 104
MMM          | 10 | 10 | 150 | T/T | MMM                      | 3 | 16 | 160 |  290 | 130
5m_vs_6m     |  5 |  6 |  70 | T/T | marines                  | 0 | 12 |  55 |   98 |  38
8m_vs_9m     |  8 |  9 | 120 | T/T | marines                  | 0 | 15 |  85 |  179 |  59
10m_vs_11m   | 10 | 11 | 150 | T/T | marines                  | 0 | 17 | 105 |  243 |  73
27m_vs_30m   | 27 | 30 | 180 | T/T | marines                  | 0 | 36 | 285 | 1170 | 198
3s5z_vs_3s6z |  8 |  9 | 170 | P/P | stalkers_and_zealots     | 2 | 15 | 136 |  230 | 110
MMM2         | 10 | 12 | 180 | T/T | MMM                      | 3 | 18 | 176 |  322 | 142
2m_vs_1z     |  2 |  1 | 150 | T/P | marines                  | 0 |  7 |  16 |   26 |  12
2s_vs_1sc    |  2 |  1 | 300 | P/Z | stalkers                 | 0 |  7 |  17 |   27 |  13
3s_vs_3z     |  3 |  3 | 150 | P/P | stalkers                 | 0 |  9 |  36 |   54 |  27
3s_vs_4z     |  3 |  4 | 200 | P/P | stalkers                 | 0 | 10 |  42 |   61 |  31
3s_vs_5z     |  3 |  5 | 250 | P/P | stalkers                 | 0 | 11 |  48 |   68 |  35
6h_vs_8z     |  6 |  8 | 150 | Z/P | hydralisks               | 0 | 14 |  78 |  140 |  56
bane_vs_bane | 24 | 24 | 200 | Z/Z | bane                     | 2 | 30 | 336 |  984 | 264
2c_vs_64zg   |  2 | 64 | 400 | P/Z | colossus                 | 0 | 70 | 332 |  342 | 202
corridor     |  6 | 24 | 400 | P/Z | zealots                  | 0 | 30 | 156 |  282 | 102
so_many_baneling | 7 | 32 | 100 | P/Z | zealots              | 0 | 38 | 202 |  397 | 131
1c3s5z       |  9 |  9 | 180 | P/P | colossi_stalkers_zealots | 3 | 15 | 162 |  270 | 135
"""
ROWS = [[cell.strip() for cell in line.split("|")] for line in TABLE.strip().splitlines()]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0])
def test_dimensions_are_those_of_smac(row: list[str]) -> None:
    name, agents, enemies, limit, races, map_type, bits, actions, obs, state_with, state = row
    smac_map = load_map(name)
    spec = smac_map.spec
    assert (smac_map.n_agents, smac_map.n_enemies) == (int(agents), int(enemies))
    assert f"{smac_map.ally_race}/{smac_map.enemy_race}" == races
    assert (smac_map.map_type, smac_map.unit_type_bits) == (map_type, int(bits))
    assert (spec.name, spec.n_agents, spec.episode_limit) == (name, int(agents), int(limit))
    assert (spec.n_actions, spec.obs_dim, spec.state_dim) == (int(actions), int(obs), int(state))
    assert spec.state_dim + spec.n_agents * spec.n_actions == int(state_with)
    assert spec.unit_dim == 4 + (races[0] == "P") + int(bits)


def test_the_table_holds_every_map_and_data_holds_no_other() -> None:
    assert sorted(row[0] for row in ROWS) == sorted(MAP_NAMES)
    files = [file.name for file in (resources.files("envs.smac") / "data").iterdir()]
    assert sorted(files) == sorted(f"{name}.json" for name in MAP_NAMES)
    assert all(load_map(name).name == name for name in MAP_NAMES)


CELLS = dict.fromkeys(MAP_NAMES, 504) | {
    "3s_vs_3z": 784,
    "3s_vs_4z": 784,
    "3s_vs_5z": 784,
    "2s_vs_1sc": 232,
    "6h_vs_8z": 212,
    "2m_vs_1z": 444,
    "bane_vs_bane": 444,
    "2c_vs_64zg": 416,
    "corridor": 418,
    "so_many_baneling": 394,
}


@pytest.mark.parametrize("name", MAP_NAMES)
def test_walkable_are_the_cells_of_the_real_game(name: str) -> None:
    smac_map = load_map(name)
    assert smac_map.walkable.sum() == CELLS[name]
    assert smac_map.colossus_walkable.sum() == (444 if name == "2c_vs_64zg" else CELLS[name])
    assert not (smac_map.walkable & ~smac_map.colossus_walkable).any()
    assert (smac_map.cliff_level[smac_map.colossus_walkable] > 0).all()
    assert f"{CELLS[name]} cells" in smac_map.notes[1]


# map | cell | may a unit stand there | what shows it
SEEN = """
3m         | 29,16 | yes | available moves of 26 501 recorded rows
3m         | 30,16 | no  | the same
3m         | 16,7  | yes | the same
3m         | 16,6  | no  | the same
MMM2       | 2,16  | yes | the outermost points that agents are ordered to
MMM2       | 1,16  | no  | the same
MMM2       | 16,24 | yes | the same
MMM2       | 16,25 | no  | the same
2c_vs_64zg | 15,13 | yes | replays: zerglings on row 13, 316 times
2c_vs_64zg | 15,12 | no  | nobody is ever seen there, and no order leads there
2c_vs_64zg | 28,6  | yes | a zergling seen there
2c_vs_64zg | 28,7  | yes | the same
2c_vs_64zg | 29,7  | yes | the same
corridor   | 26,14 | yes | units seen there
corridor   | 26,15 | yes | the same
"""
SIGHTS = [[cell.strip() for cell in line.split("|")] for line in SEEN.strip().splitlines()]


@pytest.mark.parametrize("row", SIGHTS, ids=lambda row: f"{row[0]}-{row[1]}")
def test_units_stand_where_recordings_of_the_real_game_show_them(row: list[str]) -> None:
    name, cell, seen, _ = row
    x, y = map(int, cell.split(","))
    assert load_map(name).walkable[x, y] == (seen == "yes")


def test_corridor_has_one_choke_six_cells_wide_between_its_rooms() -> None:
    walkable = load_map("corridor").walkable
    assert np.flatnonzero(walkable[:, 12] & walkable[:, 13]).tolist() == [10, 11, 12, 13, 14, 15]
    assert not walkable[:10, 13].any()
    assert not walkable[16:, 12].any()


def test_ground_units_climb_by_the_ramps_and_colossi_over_the_cliff() -> None:
    smac_map = load_map("2c_vs_64zg")
    foot = smac_map.colossus_walkable & ~smac_map.walkable
    assert foot[5:27, 12].all()
    assert not foot[:, 13:19].any()
    ramp = smac_map.walkable & (smac_map.cliff_level > 1) & (smac_map.cliff_level < 2)
    assert sorted(set(np.argwhere(ramp)[:, 0].tolist())) == [4, 5, 6, 25, 26, 27]
    assert smac_map.cliff_level[4, 15] < smac_map.cliff_level[5, 15] < smac_map.cliff_level[6, 15]


def test_terrain_is_read_with_north_at_the_top_and_x_first() -> None:
    walkable = load_map("corridor").walkable
    assert walkable[27, 28]  # the zerglings' corner, north-east
    assert walkable[4, 4]  # the attack point, south-west
    assert not walkable[4, 28]
    assert not walkable[27, 4]


def test_maps_are_shared_and_cannot_be_written_to() -> None:
    assert load_map("3m") is load_map("3m")
    for grid in (load_map("3m").walkable, load_map("3m").colossus_walkable, load_map("3m").cliff_level):
        with pytest.raises(ValueError, match="read-only"):
            grid[0, 0] = 1


def test_agents_are_in_the_order_of_custom_types_and_enemies_in_creation_order() -> None:
    marine, marauder, medivac = UnitType.MARINE, UnitType.MARAUDER, UnitType.MEDIVAC
    mmm2 = load_map("MMM2")
    assert mmm2.ally_types == (marauder,) * 2 + (marine,) * 7 + (medivac,)
    assert mmm2.enemy_types == (marine,) * 8 + (marauder,) * 3 + (medivac,)
    assert load_map("bane_vs_bane").ally_types == (UnitType.BANELING,) * 4 + (UnitType.ZERGLING,) * 20
    assert load_map("bane_vs_bane").enemy_types == (UnitType.ZERGLING,) * 20 + (UnitType.BANELING,) * 4
    colossi = load_map("1c3s5z")
    kinds = (UnitType.COLOSSUS,) + (UnitType.STALKER,) * 3 + (UnitType.ZEALOT,) * 5
    assert colossi.ally_types == colossi.enemy_types == kinds


def test_spawns_and_orders_are_those_of_the_map_scripts() -> None:
    corridor = load_map("corridor")
    assert (corridor.ally_spawns[0].x, corridor.ally_spawns[0].y) == (19.0397, 19.1198)
    assert corridor.enemy_order.kind == "attack_move"
    assert corridor.enemy_order.points == ((4.47, 4.3298),)
    assert load_map("2s_vs_1sc").enemy_order.kind == "none"
    assert load_map("2c_vs_64zg").enemy_order.kind == "attack_units"
    assert [group.count for group in load_map("2c_vs_64zg").ally_spawns] == [1, 1]
    between = load_map("2m_vs_1z").enemy_order
    assert (between.kind, between.points) == ("attack_move_between", ((13.0, 12.0), (19.0, 12.0)))


def test_every_map_says_what_is_exact_and_what_is_a_choice() -> None:
    for name in MAP_NAMES:
        notes = load_map(name).notes
        assert notes[0].startswith("Exact")
        assert len(notes) >= 2
    assert "choke" in load_map("corridor").notes[1]


def test_an_unknown_map_is_refused_with_the_nearest_names() -> None:
    with pytest.raises(InputError, match=r"unknown map 'coridor': did you mean 'corridor'"):
        load_map("coridor")


def test_every_unit_type_has_a_race_attributes_and_life() -> None:
    assert set(UNITS) == set(UnitType)
    for unit, stats in UNITS.items():
        assert stats.race in "TPZ"
        assert (stats.shield_max > 0) == (stats.race == "P")
        assert stats.can_attack != (unit is UnitType.MEDIVAC)


def test_numbers_of_units_are_floats_so_that_arrays_made_of_them_are_too() -> None:
    whole = {"hits", "attributes", "bonus_against", "is_air", "crosses_cliffs", "shoots_air", "race"}
    for stats in UNITS.values():
        numbers = [value for name, value in vars(stats).items() if name not in whole]
        assert {type(value) for value in numbers} == {float}
